"""Factur-X and ZUGFeRD: the printed invoice with its XML inside, still PDF/A-3b."""

import io

_RDF = b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def embed_xml(pdf: bytes, xml: bytes, language: str) -> bytes:
    """The PDF with the invoice's XML attached and named in its metadata."""
    import facturx
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import StreamObject

    attached = facturx.generate_from_binary(
        pdf, xml, flavor="factur-x", level="en16931", check_xsd=False,
        afrelationship="alternative", lang=language, xmp_compression=False,
    )  # fmt: skip
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(attached)))
    metadata = writer.root_object["/Metadata"].get_object()
    assert isinstance(metadata, StreamObject), "the metadata are a stream"
    # veraPDF reads no rdf:RDF without an attribute; the namespace may stand there as well.
    packet = metadata.get_data().replace(_RDF, b"").replace(b"<rdf:RDF", b"<rdf:RDF" + _RDF)
    metadata.set_data(packet)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()

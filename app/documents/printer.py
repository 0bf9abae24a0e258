"""Prints documents: the folder's looks, the view and the template make one PDF."""

import atexit
from datetime import datetime
from functools import cache
from pathlib import Path

from app.documents.document_content import DocumentKind, InvoiceDocument
from app.documents.document_folder import DocumentFolder, fonts_folder, load_document_folder
from app.documents.einvoice import einvoice_xml
from app.documents.einvoice_gaps import EinvoiceFormat
from app.documents.facturx_pdf import embed_xml
from app.documents.invoice_view import View, invoice_view
from app.documents.statement_document import StatementDocument
from app.documents.statement_view import statement_view
from app.documents.typst_process import PrintJob, TypstProcess

# A page beside the invoice of the console: read on a screen, and less than 100 KB.
PICTURE_DOTS = 96


def print_invoice(
    document: InvoiceDocument, folder: str, *, now: datetime, language: str = "", kind: str = ""
) -> bytes:
    """An invoice's document as PDF/A-3b, by its kind a receipt or a Factur-X. It takes a while."""
    if kind == EinvoiceFormat.FACTUR_X:
        return print_factur_x(document, folder, now=now, language=language)
    opened = load_document_folder(folder)
    kind = kind if kind == DocumentKind.RECEIPT else ""
    return print_view(invoice_view(document, opened, language, kind), opened, folder, now)


def picture_invoice(document: InvoiceDocument, folder: str, *, now: datetime) -> bytes:
    """The first page of an invoice's document as PNG, as its reader sees it."""
    opened = load_document_folder(folder)
    view = invoice_view(document, opened, "")
    return print_view(view, opened, folder, now, dots=PICTURE_DOTS)


def print_factur_x(
    document: InvoiceDocument, folder: str, *, now: datetime, language: str = ""
) -> bytes:
    """The invoice as PDF with its XML inside; EinvoiceIncomplete before anything is printed."""
    opened = load_document_folder(folder)
    xml = einvoice_xml(document, opened.seller, EinvoiceFormat.FACTUR_X)
    view = invoice_view(document, opened, language)
    return embed_xml(print_view(view, opened, folder, now), xml, str(view["language"]))


def write_einvoice(document: InvoiceDocument, folder: str, kind: EinvoiceFormat) -> bytes:
    """The invoice's XML, or EinvoiceIncomplete."""
    return einvoice_xml(document, load_document_folder(folder).seller, kind)


def print_statement(
    document: StatementDocument, folder: str, *, now: datetime, language: str = ""
) -> bytes:
    """A client's statement of account as PDF/A-3b."""
    opened = load_document_folder(folder)
    return print_view(statement_view(document, opened, language), opened, folder, now)


def print_view(
    view: View, opened: DocumentFolder, folder: str, now: datetime, *, dots: int | None = None
) -> bytes:
    kind = DocumentKind(str(view["kind"]))
    job = PrintJob(opened.template_root(kind), f"{kind}.typ", view, now, dots)
    return typst_process(*fonts_folder(folder)).print(job)


@cache
def typst_process(*fonts: Path) -> TypstProcess:
    """The one process that prints with these fonts; it is started by its first document."""
    process = TypstProcess(fonts)
    atexit.register(process.close)
    return process

"""The folder of documents: the seller, a logo, and templates of a user's own."""

from pathlib import Path

import pytest

from app.documents.document_content import DocumentKind
from app.documents.document_folder import (
    LOGO_MAX,
    TEMPLATES,
    BrokenDocumentFolder,
    load_document_folder,
)
from app.documents.printer import print_invoice
from tests.documents.samples import PRINTED_AT, SVG, invoice, text_of


def test_a_template_of_the_users_own_is_printed_with_the_seller_and_logo(tmp_path: Path) -> None:
    (tmp_path / "seller.toml").write_text('name = "Eigen AG"\ncountry = "CH"\nlanguage = "fr"\n')
    (tmp_path / "logo.svg").write_bytes(SVG)
    (tmp_path / "invoice.typ").write_text(
        "#let data = json(bytes(sys.inputs.data))\n"
        "#image(bytes(data.logo.content), format: data.logo.format)\n"
        "#data.seller.name: #data.title #data.number, #data.total"
    )

    opened = load_document_folder(str(tmp_path))
    own = print_invoice(invoice(1, language=""), str(tmp_path), now=PRINTED_AT)
    receipt = print_invoice(invoice(1), str(tmp_path), now=PRINTED_AT, kind="receipt")

    assert opened.template_root(DocumentKind.RECEIPT) == TEMPLATES
    assert " ".join(text_of(own).split()) == "Nordwind Eigen AG: Facture RE-2026-00471, 58,90 EUR"
    assert "Zahlungsbeleg" in text_of(receipt)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("seller.toml", b'nmae = "x"', "seller.toml: nmae: Extra inputs"),
        ("seller.toml", b'country = "Germany"', "seller.toml: country: String should match"),
        ("seller.toml", b'accent = "red"', "seller.toml: accent: String should match"),
        ("seller.toml", b"name = ", "seller.toml: Invalid value"),
        ("seller.toml", b"\xff", "seller.toml: 'utf-8'"),
        ("logo.png", b"x" * (LOGO_MAX + 1), "logo.png has more than"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, file: str, content: bytes, said: str
) -> None:
    (tmp_path / file).write_bytes(content)

    with pytest.raises(BrokenDocumentFolder) as broken:
        load_document_folder(str(tmp_path))

    assert said in broken.value.message


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenDocumentFolder, match="PAYDUE_DOCUMENTS_FOLDER"):
        load_document_folder(str(tmp_path / "nowhere"))

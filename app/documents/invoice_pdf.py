"""An invoice as a PDF: who owes what for what. Plain; its looks are another matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.rules import money

if TYPE_CHECKING:
    from fpdf import FPDF

_FONT = Path(__file__).parent / "fonts/DejaVuSans.ttf"
_WIDTHS = (90, 20, 30, 20, 30)
_HEADS = ("Description", "Quantity", "Price", "Tax %", "Net")


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """An invoice's content. Amounts are exact; `currency` is the ISO code they are in."""

    title: str
    number: str
    client: str
    currency: str
    dates: Mapping[str, str]
    lines: Sequence[Sequence[str]]
    amounts: Mapping[str, Any]


def render_pdf(document: InvoiceDocument) -> bytes:
    from fpdf import FPDF  # it brings an imaging library along; few processes ever print

    pdf = FPDF()
    pdf.set_title(f"{document.title} {document.number}")
    pdf.add_page()
    # Only the letters that are used go into the document; the fonts of every reader know Latin-1.
    pdf.add_font("DejaVu", fname=_FONT)
    pdf.set_font("DejaVu", size=16)
    _row(pdf, f"{document.title} {document.number}", 10)
    pdf.set_font("DejaVu", size=10)
    _row(pdf, document.client)
    for name, value in document.dates.items():
        _row(pdf, f"{name}: {value}")
    pdf.ln(4)
    _table(pdf, document.lines)
    pdf.ln(4)
    for name, amount in document.amounts.items():
        shown = money.text(amount, document.currency)
        _row(pdf, f"{name}: {shown} {document.currency.upper()}")
    return bytes(pdf.output())


def _table(pdf: "FPDF", lines: Sequence[Sequence[str]]) -> None:
    from fpdf.fonts import FontFace

    aligned = ("LEFT", *["RIGHT"] * 4)
    heads = FontFace(fill_color=230)
    with pdf.table(col_widths=_WIDTHS, text_align=aligned, headings_style=heads) as table:
        for cells in (_HEADS, *lines):
            row = table.row()
            for cell in cells:
                row.cell(cell)


def _row(pdf: "FPDF", said: str, height: int = 6) -> None:
    pdf.multi_cell(0, height, said, new_x="LMARGIN", new_y="NEXT")

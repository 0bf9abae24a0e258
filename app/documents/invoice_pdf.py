"""An invoice as a PDF: who owes what for what. Plain; its looks are another matter."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.control_characters import escape_controls, escape_lines
from app.errors import Refused
from app.rules import money

if TYPE_CHECKING:
    from fpdf import FPDF

_FONT = Path(__file__).parent / "fonts/DejaVuSans.ttf"
_WIDTHS = (90, 20, 30, 20, 30)
_HEADS = ("Description", "Quantity", "Price", "Tax %", "Net")
_ROW_HEIGHT = 5

# Printing takes CPU by the character and by the row. These bound it to a few seconds, far beyond
# any invoice that a person reads.
LINES_MAX = 2000
DESCRIPTION_MAX = 1000
DESCRIPTION_ROWS_MAX = 40
# Of all descriptions together; each of many lines gets its share.
TEXT_MAX = 100_000
# A client's name, or an invoice's number.
_NAME_MAX = 300


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """An invoice's content. Amounts are exact; `currency` is the ISO code they are in.

    Of each line there are its description and its four numbers.
    """

    title: str
    number: str
    client: str
    currency: str
    dates: Mapping[str, str]
    lines: Sequence[Sequence[str]]
    amounts: Mapping[str, Any]


def render_pdf(document: InvoiceDocument) -> bytes:
    """The document, with its texts cut to what a reader can use, over as many pages as it takes."""
    from fpdf import FPDF  # it brings an imaging library along; few processes ever print

    if len(document.lines) > LINES_MAX:
        raise Refused(f"the invoice has more than {LINES_MAX} lines; no document is made of it")
    title = _cut(f"{document.title} {escape_controls(document.number)}", _NAME_MAX)
    pdf = FPDF()
    pdf.str_alias_nb_pages = ""  # a text that says {nb} is no page count
    pdf.set_title(title)
    pdf.add_page()
    # Only the letters that are used go into the document; the fonts of every reader know Latin-1.
    pdf.add_font("DejaVu", fname=_FONT)
    pdf.set_font("DejaVu", size=16)
    _row(pdf, title, 10)
    pdf.set_font("DejaVu", size=10)
    _row(pdf, _cut(escape_controls(document.client[: _NAME_MAX + 1]), _NAME_MAX))
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
    """The lines under their heads; a line that does not fit on its page goes on on the next."""
    longest = min(DESCRIPTION_MAX, TEXT_MAX // max(len(lines), 1))
    wrapping = _Wrapping(pdf)
    _print_heads(pdf)
    for description, *numbers in lines:
        cells = (_cut(_clean(description[: longest + 1]), longest), *numbers)
        rows = [list(wrapping.rows(*one)) for one in zip(cells, _WIDTHS, strict=True)]
        if len(rows[0]) > DESCRIPTION_ROWS_MAX:
            rows[0] = [*rows[0][: DESCRIPTION_ROWS_MAX - 1], "…"]
        for row in zip_longest(*rows, fillvalue=""):
            if pdf.will_page_break(_ROW_HEIGHT):
                pdf.add_page()
                _print_heads(pdf)
            _print_row(pdf, row)
        pdf.line(pdf.l_margin, pdf.y, pdf.l_margin + sum(_WIDTHS), pdf.y)


def _print_heads(pdf: "FPDF") -> None:
    pdf.set_fill_color(230)
    _print_row(pdf, _HEADS, fill=True)


def _print_row(pdf: "FPDF", row: Sequence[str], *, fill: bool = False) -> None:
    for place, (text, width) in enumerate(zip(row, _WIDTHS, strict=True)):
        pdf.cell(width, _ROW_HEIGHT, text, align="R" if place else "L", fill=fill)
    pdf.ln(_ROW_HEIGHT)


class _Wrapping:
    """Breaks texts into rows of a width, between words where there are any.

    The document's own breaking measures each letter anew and takes most of a printing's time.
    """

    def __init__(self, pdf: "FPDF") -> None:
        self._pdf = pdf
        self._widths: dict[str, float] = {}

    def rows(self, text: str, width: float) -> Iterator[str]:
        for line in text.split("\n"):
            yield from self._rows_of_line(line, width - 2 * self._pdf.c_margin)

    def _rows_of_line(self, line: str, width: float) -> Iterator[str]:
        start, blank, used = 0, -1, 0.0
        for place, letter in enumerate(line):
            used += self._width(letter)
            if letter == " ":
                blank = place
            if used > width and place > start:
                end = blank if blank > start else place
                yield line[start:end]
                start = end + 1 if end == blank else end
                used = sum(map(self._width, line[start : place + 1]))
        yield line[start:]

    def _width(self, letter: str) -> float:
        if letter not in self._widths:
            self._widths[letter] = self._pdf.get_string_width(letter)
        return self._widths[letter]


def _clean(text: str) -> str:
    return escape_lines(text.replace("\r\n", "\n")).rstrip("\n")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _row(pdf: "FPDF", said: str, height: int = 6) -> None:
    pdf.multi_cell(0, height, said, new_x="LMARGIN", new_y="NEXT")

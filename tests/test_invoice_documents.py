"""The document of an invoice is printed whatever its lines hold, over as many pages as needed."""

import io
from collections.abc import Sequence
from decimal import Decimal

import pypdf
import pytest

from app.documents import invoice_pdf
from app.documents.invoice_pdf import InvoiceDocument, render_pdf
from app.errors import Refused

NUMBERS = ("2", "49.5", "20", "99")


def pages(lines: Sequence[Sequence[str]], number: str = "INV-1", client: str = "Ada") -> list[str]:
    """The text of each page, each row on a line of its own."""
    dates, amounts = {"Date": "2026-12-01"}, {"Total": Decimal("118.80")}
    content = render_pdf(
        InvoiceDocument("Invoice", number, client, "usd", dates, lines, amounts)
    )  # fmt: skip
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]


def test_a_long_description_is_printed_whole_beside_its_numbers() -> None:
    words = [f"word{number}" for number in range(100)]

    text = " ".join(pages([(" ".join(words), *NUMBERS)])).split()

    assert [one for one in text if one.startswith("word")] == words
    assert text.count("49.5") == 1


def test_lines_go_on_on_further_pages_under_the_same_heads() -> None:
    lines = [(f"line{number}", *NUMBERS) for number in range(200)]

    found = pages(lines)

    assert len(found) > 3
    assert all("Description" in page for page in found)
    text = " ".join(found).split()
    assert [one for one in text if one.startswith("line")] == [one[0] for one in lines]
    assert text[-3:] == ["Total:", "118.80", "USD"]


@pytest.mark.parametrize(
    "description",
    ["x" * 100_000, "x " * 50_000, "\n" * 100_000, "x\n" * 50_000, " " * 100_000, "\r\n", ""],
    ids=["letters", "words", "empty rows", "rows", "blanks", "a line end", "nothing"],
)
def test_no_description_takes_more_than_its_share_of_rows(description: str) -> None:
    found = pages([(description, *NUMBERS), ("the next one", *NUMBERS)])

    rows = sum(len(page.splitlines()) for page in found)
    assert rows < 5 * invoice_pdf.DESCRIPTION_ROWS_MAX
    assert "the next one" in "".join(found)


def test_a_number_wider_than_its_column_keeps_all_its_digits() -> None:
    widest = "9223372036854.775807"

    text = "".join(pages([("x", widest, "1", "20", widest)]))

    assert "".join(text.split()).count("7") >= 2 * widest.count("7")


def test_names_of_any_length_are_cut_and_no_text_is_a_page_count() -> None:
    found = pages([("{nb}", *NUMBERS)], number="N" * 9000, client="C" * 9000)

    text = "".join(found)
    assert len(found) == 1
    assert 100 < text.count("N") < 400
    assert 100 < text.count("C") < 400
    assert "{nb}" in text


def test_no_document_is_made_of_more_lines_than_anybody_reads() -> None:
    line = ("x", *NUMBERS)

    with pytest.raises(Refused, match="more than 2000 lines"):
        pages([line] * (invoice_pdf.LINES_MAX + 1))

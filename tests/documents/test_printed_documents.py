"""A document is printed whatever its texts hold, over as many pages as it takes."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from app.documents.invoice_view import invoice_view
from app.documents.printed_text import DESCRIPTION_MAX, NAME_MAX
from tests.documents.samples import (
    BUYER,
    FOLDER,
    gross_line,
    invoice,
    line,
    pages,
    printed,
    text_of,
)


def words(text: str) -> str:
    return " ".join(text.replace("\u200b", "").split())


def test_an_invoice_shows_all_that_a_payer_needs() -> None:
    document = invoice(4)

    text = words(text_of(printed(document)))

    assert "Rechnung" in text
    for shown in (
        "RE-2026-00471", "27. November 2026", "11. Dezember 2026", "01.11.2026 \u2013 30.11.2026",
        "PO-7781", "Filiale Süd", "Bäckerei Sonnenschein e.K.", "Marktplatz 3", "79098 Freiburg",
        "USt-IdNr. DE987654321", "Managed Workplace 1", "Rufbereitschaft werktags 8-18 Uhr",
        "495,00", "94,05", "589,05 EUR", "Visa •••• 4242", "489,05 EUR", "Zahlbar innerhalb",
        "IBAN DE75 5121 0800 1245 1261 99", "https://pay.nordwind.example/i/471",
        "Vielen Dank für die gute Zusammenarbeit.", "Seite 1 von",
    ):  # fmt: skip
        assert shown in text, shown


def test_prices_with_tax_are_printed_with_it_and_add_up_to_the_total() -> None:
    gross = [gross_line("With tax 1"), gross_line("With tax 2")]
    document = invoice(gross, tax_point=date(2026, 10, 31))

    view: dict[str, Any] = invoice_view(document, FOLDER)
    text = words(text_of(printed(document)))

    assert [one["net"] for one in view["lines"]] == ["11,90", "11,90"]
    for shown in ("Einzelpreis inkl. USt.", "Nettobetrag 20,00", "23,80 EUR", "31. Oktober 2026"):
        assert shown in text, shown
    mixed: dict[str, Any] = invoice_view(invoice([gross[0], line("5")]), FOLDER)
    assert [one["price"] for one in mixed["lines"]] == ["10,00", "5,00"]


def test_every_page_of_many_lines_carries_the_sum_over() -> None:
    document = invoice(120)

    found = [words(one) for one in pages(printed(document))]

    carried_over = [re.findall(r"Übertrag ([\d.,]+)", one) for one in found]
    assert len(found) > 3
    assert len(carried_over[0]) == 1
    for before, after in pairwise(carried_over):
        if after:
            assert before[-1] == after[0]
    view: dict[str, Any] = invoice_view(document, FOLDER)
    sums = {f"{one['carried']}" for one in view["lines"]}
    assert {one for page in carried_over for one in page} <= sums
    assert all(
        f"{name}" in " ".join(found) for name in ("Firewall-Pflege 3", "Backup & Recovery 118")
    )


def test_a_description_of_twenty_thousand_letters_is_printed_whole() -> None:
    said = " ".join(f"word{number:04}" for number in range(DESCRIPTION_MAX // 9))

    text = words(text_of(printed(invoice([line(title="", text=said), line(title="the next")]))))

    found = re.findall(r"word\d{4}", text)
    assert found == said.split()
    assert "the next" in text


@pytest.mark.parametrize(
    "description",
    ["x" * 100_000, "x " * 50_000, "\n" * 100_000, "x\n" * 50_000, " " * 100_000, "\r\n", ""],
    ids=["letters", "words", "empty rows", "rows", "blanks", "a line end", "nothing"],
)
def test_no_description_takes_more_than_its_share_of_pages(description: str) -> None:
    found = pages(printed(invoice([line(title=description), line(title="the next one")])))

    assert len(found) < 16
    assert "the next one" in "".join(found)


def test_a_number_wider_than_its_column_keeps_all_its_digits() -> None:
    widest = Decimal("9223372036854.775807")

    text = words(text_of(printed(invoice([line(quantity=widest, unit_price=widest)]))))

    assert text.count("9.223.372.036.854,775807") == 2


def test_names_of_any_length_are_cut() -> None:
    document = invoice(1, number="N" * 9000, buyer=replace(BUYER, name="C" * 9000))

    text = text_of(printed(document))

    assert NAME_MAX / 2 < text.count("C") < NAME_MAX * 2
    assert text.count("N") < NAME_MAX * 6


def test_texts_are_data_and_never_markup() -> None:
    hostile = (
        '#panic("x") $x^2$ *b* _i_ @ref <l> `raw` \\ // [/] #import "@preview/a:1" \x1b[31m \u202e'
    )

    text = words(text_of(printed(invoice([line(title=hostile, text=hostile)], notes=[hostile]))))

    shown = hostile.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert text.count(words(shown)) == 3

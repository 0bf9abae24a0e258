"""The published breakdowns: each amount by itself, its groups, and its value in home currency."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from app.rules.breakdown import Part, invoice_totals, line_totals
from app.rules.invoice import Line

D = Decimal
GROUPS = """recurringTerm recurring nonRecurring optional nonOptional optionalRecurring
    optionalNonRecurring nonOptionalRecurring nonOptionalNonRecurring recurringAnnual
    recurringMonthly recurringWeekly recurringQuarterly recurringSixMonthly recurringTwoYearly
    recurringThreeYearly recurringFourYearly recurringFiveYearly""".split()


def part(
    price: str, *, quantity: str = "1", discount: str = "0", tax: str = "0", cost: str = "0",
    counts: bool = True, recurring: bool = False,
) -> Part:  # fmt: skip
    line = Line(D(quantity), D(price), D(discount), D(tax), counts)
    return Part(line, D(cost), recurring)


def whole(
    parts: Sequence[Part], *, currency: str = "usd", rate: str = "1", period: int | None = None
) -> dict[str, Decimal]:
    return invoice_totals(
        parts, currency=currency, rate=D(rate), paid=D(7), due=D(11), period=period
    )  # fmt: skip


def test_a_line_shows_its_amounts_and_what_they_are_at_home() -> None:
    # Four of 25, a tenth off, taxed with a fifth; each costs us 15.
    shown = line_totals(part("25", quantity="4", discount="10", tax="20", cost="15"), D("0.5"))

    assert shown == {
        "netTotal": 108, "price": 90, "costPrice": 60, "profit": 30, "tax": 18, "discount": 10,
        "netTotalConverted": 54, "priceConverted": 45, "costPriceConverted": 30,
        "profitConverted": 15, "taxConverted": 9, "discountConverted": 5,
    }  # fmt: skip


def test_an_invoice_shows_what_follows_from_its_lines() -> None:
    shown = whole(
        [
            part("25", quantity="4", discount="10", tax="20", cost="15", recurring=True),
            part("30", tax="10", cost="40"),
            part("1000", quantity="3", discount="50", cost="9", counts=False),
        ],
        rate="2",
    )

    assert {name: shown[name] for name in shown if name.removesuffix("Converted") in OWN} == {
        **OWN,
        **{f"{name}Converted": amount * 2 for name, amount in OWN.items()},
    }
    assert shown["conversionRate"] == 2


OWN = {
    "amountPaid": D(7), "amountDue": D(11), "currentTotal": D(141), "cost": D(100),
    "profit": D(20), "taxTotal": D(21), "total": D(141), "subTotal": D(120),
    "totalDifference": D(0), "discount": D(10), "discountPercentage": D(10) * 100 / D(130),
    "totalRecurringPeriodAmount": D(108),
}  # fmt: skip


def test_an_invoice_without_lines_is_all_zero() -> None:
    shown = whole([])

    named = {"amountPaid", "amountDue", "conversionRate"}
    assert {amount for name, amount in shown.items() if name.removesuffix("Converted") not in named
            } == {0}  # fmt: skip


def test_a_currency_without_cents_is_rounded_to_whole_amounts() -> None:
    shown = whole([part("100.5", tax="10")], currency="jpy")

    assert (shown["subTotal"], shown["taxTotal"], shown["total"]) == (101, 10, 111)


@pytest.mark.parametrize(
    ("period", "group"),
    [
        (None, "recurring"),
        (0, "recurring"),
        (99, "recurring"),
        (1, "recurringWeekly"),
        (2, "recurringMonthly"),
        (3, "recurringAnnual"),
        (4, "recurringQuarterly"),
        (5, "recurringSixMonthly"),
        (6, "recurringFiveYearly"),
        (7, "recurringThreeYearly"),
        (8, "recurringTwoYearly"),
        (9, "recurringFourYearly"),
    ],
)
def test_each_group_adds_up_the_lines_that_belong_to_it(period: int | None, group: str) -> None:
    shown = whole([part("10", tax="10", recurring=True), part("200", tax="5")], period=period)

    filled = {
        "recurring": (10, 1, 11), "nonOptionalRecurring": (10, 1, 11), group: (10, 1, 11),
        "nonRecurring": (200, 10, 210), "nonOptionalNonRecurring": (200, 10, 210),
        "nonOptional": (210, 11, 221),
    }  # fmt: skip
    for name in GROUPS:
        found = tuple(shown[f"{name}{what}"] for what in ("SubTotal", "TaxTotal", "Total"))
        assert found == filled.get(name, (0, 0, 0)), name


def test_a_line_costs_nothing_and_does_not_recur_unless_it_is_said() -> None:
    plain = Part(Line(D(1), D(10), D(0), D(0)))

    assert (plain.cost, plain.is_recurring) == (0, False)

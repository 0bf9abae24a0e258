"""The published breakdowns of an invoice and of a line: `invoice_totals` and `line_totals`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from app.rules.invoice import Line, TaxRounding, totals

_ZERO = Decimal(0)
_GROUPS = """
    recurringTerm recurring nonRecurring optional nonOptional optionalRecurring
    optionalNonRecurring nonOptionalRecurring nonOptionalNonRecurring recurringAnnual
    recurringMonthly recurringWeekly recurringQuarterly recurringSixMonthly recurringTwoYearly
    recurringThreeYearly recurringFourYearly recurringFiveYearly
""".split()
# HaloPSA's codes of `period`.
_OF_PERIOD = {
    1: "recurringWeekly",
    2: "recurringMonthly",
    3: "recurringAnnual",
    4: "recurringQuarterly",
    5: "recurringSixMonthly",
    6: "recurringFiveYearly",
    7: "recurringThreeYearly",
    8: "recurringTwoYearly",
    9: "recurringFourYearly",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A line, what it costs us, and whether its template charges it each period."""

    line: Line
    unit_cost: Decimal = _ZERO
    is_recurring: bool = False

    @property
    def cost(self) -> Decimal:
        return self.line.quantity * self.unit_cost

    @property
    def discount(self) -> Decimal:
        return replace(self.line, discount_percent=_ZERO).net - self.line.net


def line_totals(part: Part, rate: Decimal) -> dict[str, Decimal]:
    """`price` is net and `netTotal` gross, as HaloPSA names a line's own amounts."""
    line = part.line
    return _with_converted(
        {
            "netTotal": line.net + line.tax,
            "price": line.net,
            "costPrice": part.cost,
            "profit": line.net - part.cost,
            "tax": line.tax,
            "discount": part.discount,
        },
        rate,
    )


def invoice_totals(
    parts: Sequence[Part],
    *,
    currency: str,
    rate: Decimal,
    paid: Decimal,
    due: Decimal,
    period: int | None,
    rounding: TaxRounding = TaxRounding.INVOICE,
) -> dict[str, Decimal]:
    """Every published sum of an invoice; those we have no data for (options, terms) are 0."""
    counting = [one for one in parts if one.line.counts]
    whole = totals([one.line for one in counting], currency, rounding)
    cost = sum((one.cost for one in counting), _ZERO)
    discount = sum((one.discount for one in counting), _ZERO)
    before = whole.net + discount
    amounts = {
        **_groups(counting, currency, period, rounding),
        "amountPaid": paid,
        "amountDue": due,
        "currentTotal": whole.gross,
        "cost": cost,
        "profit": whole.net - cost,
        "taxTotal": whole.tax,
        "total": whole.gross,
        "subTotal": whole.net,
        "totalDifference": _ZERO,
        "discount": discount,
        "discountPercentage": discount * 100 / before if before else _ZERO,
    }
    amounts["totalRecurringPeriodAmount"] = amounts["recurringTotal"]
    return {**_with_converted(amounts, rate), "conversionRate": rate}


def _groups(
    parts: Sequence[Part], currency: str, period: int | None, rounding: TaxRounding
) -> dict[str, Decimal]:
    recurring = [one for one in parts if one.is_recurring]
    once = [one for one in parts if not one.is_recurring]
    filled = {
        "recurring": recurring,
        "nonRecurring": once,
        "nonOptional": parts,
        "nonOptionalRecurring": recurring,
        "nonOptionalNonRecurring": once,
        _OF_PERIOD.get(period or 0, "recurring"): recurring,
    }
    found: dict[str, Decimal] = {}
    for group in _GROUPS:
        of_group = totals([one.line for one in filled.get(group, ())], currency, rounding)
        found[f"{group}SubTotal"] = of_group.net
        found[f"{group}TaxTotal"] = of_group.tax
        found[f"{group}Total"] = of_group.gross
    return found


def _with_converted(amounts: Mapping[str, Decimal], rate: Decimal) -> dict[str, Decimal]:
    """Each amount, and what it is in the home currency."""
    return {**amounts, **{f"{name}Converted": one * rate for name, one in amounts.items()}}

"""Raises the prices of templates' lines in the periods for which they go up.

The raised price and the day of its increase are written to the template in the transaction of the
invoice that bills it first, so that each increase is made once. The line keeps what it cost before:
a period that is billed again, and days that are billed later, have the price of their time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from app.ledger import invoicing
from app.ledger.invoice_input import InvoiceInput, LineInput
from app.ledger.recurring_templates import Template, line_days
from app.rules import calendar
from app.rules.home import Home
from app.rules.notation import moment
from app.rules.price_increase import PriceIncrease, increase_days, last_before, raised_price
from app.rules.schedule import BillingPeriod
from app.storage.column_types import significant
from app.storage.engines import Tx
from app.storage.tables.invoices import FullLineRow

_LAST = "auto_increase_last_date"
# A property of ours: what the line cost until each of its last increases, the oldest first.
PRICES_BEFORE = "auto_increase_prices_before"
_KEPT_MAX = 24


@dataclass(slots=True)
class RaisedLines:
    """By their ids, the lines whose price goes up, as they are after it; and what changes."""

    rows: dict[int, FullLineRow] = field(default_factory=dict)
    changes: dict[int, list[LineInput]] = field(default_factory=dict)

    def priced(self, row: FullLineRow) -> FullLineRow:
        return self.rows.get(row.id, row)


def raise_prices(
    templates: Mapping[int, Template],
    periods: Mapping[int, BillingPeriod],
    lines: Mapping[int, Sequence[FullLineRow]],
) -> RaisedLines:
    found = RaisedLines()
    for template_id, of_one in lines.items():
        template, period = templates[template_id], periods[template_id]
        for row in of_one:
            increase = _increase_of(template, row)
            cost = price_on(row, period.first)
            if cost != row.unit_price:
                found.rows[row.id] = row._replace(unit_price=cost)
            elif increase is not None and period.last is not None:
                _raise(found, template, period, row, increase)
    return found


def price_on(row: FullLineRow, day: date) -> Decimal:
    """The price of a template's line on a day: its own, or the one before a later increase."""
    for until, price in _prices_before(row):
        if day < until:
            return price
    return row.unit_price


def spans_of_one_price(
    row: FullLineRow, since: date, until: date
) -> Iterator[tuple[date, date, Decimal]]:
    """The days from one to another, cut where the price went up: first day, last day, price."""
    for raised_on, price in _prices_before(row):
        if since < raised_on <= until:
            yield since, raised_on - timedelta(days=1), price
            since = raised_on
    yield since, until, price_on(row, since)


def _prices_before(row: FullLineRow) -> list[tuple[date, Decimal]]:
    """By the days of increases, the oldest first. Whoever may edit the line may have edited it."""
    said = (row.extra or {}).get(PRICES_BEFORE)
    if not isinstance(said, list):
        return []
    try:
        found = [(date.fromisoformat(until), Decimal(price)) for until, price in said]
    except (TypeError, ValueError, ArithmeticError):
        return []
    return sorted(one for one in found if one[1].is_finite())


def _increase_of(template: Template, row: FullLineRow) -> PriceIncrease | None:
    """The line's own increase, or that of its template; of a price index Paydue knows nothing."""
    own, header = row.extra or {}, template.row.extra or {}
    if row.onetimecharge or own.get("use_rpi_increase"):
        return None
    found = _rate(own, "percent_increase", "auto_increase_period")
    if found is None and not own.get("exclude_auto_increase"):
        found = _rate(header, "invoice_percent_increase", "invoice_auto_increase_period")
    if found is None:
        return None
    anchor = line_days(row, template)[0] or template.schedule.starts_on
    return replace(found, last=_day(own.get(_LAST), template), anchor=anchor)


def _rate(said: Mapping[str, object], percent: str, period: str) -> PriceIncrease | None:
    """Most templates say nothing of it, and are passed over at once."""
    if not said.get(percent):
        return None
    found = PriceIncrease(_number(said.get(percent)), _code(said.get(period)))
    return found if found.applies else None


def _day(said: object, template: Template) -> date | None:
    if not isinstance(said, str):
        return None
    at = datetime.fromisoformat(said).replace(tzinfo=UTC)
    return calendar.business_day(at, template.timezone)


def _number(value: object) -> Decimal:
    return significant(Decimal(str(value or 0)))


def _code(value: object) -> int:
    return value if isinstance(value, int) else 0


def _raise(
    found: RaisedLines,
    template: Template,
    period: BillingPeriod,
    row: FullLineRow,
    increase: PriceIncrease,
) -> None:
    price, last = row.unit_price, last_before(increase, period.first)
    before = _prices_before(row)
    for day in increase_days(increase, period.first):
        before.append((day, price))
        price, last = raised_price(price, increase.percent, template.row.currency_iso), day
    if last != increase.last:
        values = {"unit_price": price} if price != row.unit_price else {}
        extra: dict[str, object] = {_LAST: moment(template.midnight(last))}
        if price != row.unit_price:
            extra[PRICES_BEFORE] = [[str(day), str(cost)] for day, cost in before[-_KEPT_MAX:]]
        given = LineInput(id=row.id, values=values, extra=extra, keeps_quantity=True)
        found.changes.setdefault(row.ihid, []).append(given)
    if price != row.unit_price:
        found.rows[row.id] = row._replace(unit_price=price)


async def save_raised(tx: Tx, raised: RaisedLines, *, now: datetime, who: str, home: Home) -> None:
    """Write the raised prices to the templates, with the days of their increases."""
    inputs = [InvoiceInput(id=one, changed_lines=lines) for one, lines in raised.changes.items()]
    if inputs:
        await invoicing.save_drafts(tx, inputs, now=now, who=who, home=home, templates=True)

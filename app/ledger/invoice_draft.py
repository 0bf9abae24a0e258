"""An invoice as it will be: the given values over its present ones, its lines, its totals.

Nothing here touches the database; `invoicing` reads the present rows and writes the drafts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar

from sqlalchemy import Table

from app.errors import InvalidField, NotFound, Refused
from app.ledger.invoice_input import LINES_MAX, InvoiceInput, LineInput
from app.rules import calendar, money
from app.rules.daily_rates import past_rate
from app.rules.home import Home
from app.rules.invoice import InvoiceKind, TaxRounding, totals
from app.rules.schedule import TemplateSchedule, due_date, is_occurrence
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow, Invoice, InvoiceLine, line_of

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)

RowT = TypeVar("RowT", FullInvoiceRow, FullLineRow)

# Beyond what Stripe takes in any currency, so that sums of lines keep all their digits.
_LINE_MAX = Decimal(money.MINOR_MAX)
# The audit names `nextcreationdate`, `currency_code` and each property of `extra` instead.
_NOT_AUDITED = frozenset({"extra", "currency_iso", "anchored_at"})


class Difference(NamedTuple):
    """A field that changes, as the audit names it."""

    name: str
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class Currencies:
    """The currencies a batch may need, with their rates of today; each client's, and its zone."""

    code_of: Mapping[int, str]
    rate_of: Mapping[int, Decimal]
    of_client: Mapping[int, int | None]
    timezone_of: Mapping[int, str | None]
    home: Home
    # By code, the daily rates around the batch's earlier days.
    daily: Mapping[str, Mapping[date, Decimal]] = field(default_factory=dict)

    def rate(self, currency_id: int, day: date) -> Decimal:
        """The rate of an invoice of that day: the day's own, or the currency's present one."""
        past = past_rate(self.daily.get(self.code_of[currency_id], {}), day)
        return past or self.rate_of[currency_id] or _NEW_INVOICE.currency_conversion_rate

    def choose(self, given: InvoiceInput) -> int:
        """The invoice's own, else its client's, else the home currency."""
        own = given.currency_code or self.of_client.get(given.client_id or 0)
        if own is not None:
            return own
        for currency_id, code in self.code_of.items():
            if code == self.home.currency:
                return currency_id
        raise Refused(f"{self.home.currency} is not among the currencies; name a currency_code")

    def day(self, client_id: int | None, instant: datetime) -> date:
        """The day at that instant where the client is."""
        return calendar.business_day(instant, self._timezone(client_id))

    def midnight(self, client_id: int | None, instant: datetime) -> datetime:
        """The instant at which that day begins where the client is."""
        return calendar.on_day(self.day(client_id, instant), None, self._timezone(client_id))

    def _timezone(self, client_id: int | None) -> str:
        return self.timezone_of.get(client_id or 0) or self.home.timezone


@dataclass(slots=True)
class DraftLine:
    """A line before and after. `given` is None when the caller says nothing about it."""

    before: FullLineRow | None
    after: FullLineRow
    given: LineInput | None = None

    @property
    def differences(self) -> list[Difference]:
        if self.before is None or self.before == self.after:
            return []
        return row_differences(self.before, self.after)

    @property
    def column_differences(self) -> list[Difference]:
        """Without the properties that are only kept for the client."""
        return [one for one in self.differences if one.name in LINES.c]


@dataclass(slots=True)
class Draft:
    """An invoice before and after. A new one has the id 0 until it is inserted."""

    before: FullInvoiceRow | None
    after: FullInvoiceRow
    # None when the lines are left as they are.
    lines: list[DraftLine] | None = None
    removed: list[FullLineRow] = field(default_factory=list)

    @property
    def id(self) -> int:
        return self.after.id

    @property
    def is_template(self) -> bool:
        return self.before.id < 0 if self.before else self.after.is_recurring_invoice

    @property
    def is_posted(self) -> bool:
        """Accounting has it already. A template goes to no accounting."""
        return self.before is not None and self.before.posted and not self.is_template

    @property
    def differences(self) -> list[Difference]:
        return row_differences(self.before, self.after) if self.before else []

    @property
    def is_changed(self) -> bool:
        lines = self.lines or ()
        return bool(self.differences or self.removed) or any(
            not line.before or line.differences for line in lines
        )

    @property
    def total_before(self) -> Decimal:
        return self.before.total if self.before else Decimal(0)

    @property
    def total_moves(self) -> bool:
        return self.total_before != self.after.total

    @property
    def owes_anew(self) -> bool:
        """The balance must be computed again: the total moves, or another kind of invoice owes.

        A new invoice whose lines come to nothing owes nothing from the start.
        """
        is_nothing = self.before is None and bool(self.lines) and self.after.total == 0
        return self.total_moves or self.kind_changes or is_nothing

    @property
    def kind_changes(self) -> bool:
        """A new invoice begins as a plain one."""
        kind = self.before.invoicetype if self.before else InvoiceKind.INVOICE
        return self.after.invoicetype != kind

    @property
    def tax_point_changes(self) -> bool:
        """The day that decides about its taxes: the invoice's own, unless it names another."""
        days = [
            one.tax_point_date or one.invoice_date.date()
            for one in (self.before, self.after)
            if one and one.invoice_date
        ]
        return len(set(days)) > 1

    @property
    def client_changes(self) -> bool:
        return self.before is not None and self.after.client_id != self.before.client_id

    @property
    def currency_changes(self) -> bool:
        return self.before is not None and self.after.currency_iso != self.before.currency_iso


def draft_header(
    given: InvoiceInput,
    row: FullInvoiceRow | None,
    currencies: Currencies,
    now: datetime,
    *,
    is_template: bool = False,
) -> Draft:
    """The invoice with the given values; its lines are still as they are."""
    start = row or _NEW_INVOICE
    extra = rows.merge_extra(start.extra, given.extra)
    after = _with_values(start, {**given.values, "extra": extra})
    if is_template:
        after = _with_schedule(after, row, given, currencies)
    if row is None or given.currency_code not in (None, row.currency_code):
        chosen = currencies.choose(given)
        after = after._replace(currency_code=chosen, currency_iso=currencies.code_of[chosen])
        if given.values.get("currency_conversion_rate") is None:  # the rate of its day, for good
            day = currencies.day(after.client_id, after.invoice_date or now)
            rate = currencies.rate(chosen, day)
            after = after._replace(currency_conversion_rate=rate)
    if row is None:
        after = after._replace(
            invoice_date=after.invoice_date or now.replace(microsecond=0),
            date_created=now,
            last_modified=now,
            is_recurring_invoice=is_template,
        )
        if "rounded_by_line" not in given.values:
            by_line = currencies.home.tax_rounding == TaxRounding.LINE
            after = after._replace(rounded_by_line=by_line)
    if not is_template:
        after = _with_due_day(after, row, given, currencies)
        if after.posted and not (row and row.posted) and after.dateposted is None:
            after = after._replace(dateposted=now.replace(microsecond=0))
    return Draft(row, after)


def _with_due_day(
    after: FullInvoiceRow,
    row: FullInvoiceRow | None,
    given: InvoiceInput,
    currencies: Currencies,
) -> FullInvoiceRow:
    """The invoice with the due day of its terms, unless its caller says or leaves another.

    HaloPSA writes 0 for terms that nobody has given.
    """
    before = row or _NEW_INVOICE
    is_changed = _terms(after) != _terms(before)
    if after.duedate != before.duedate or not is_changed or after.invoice_date is None:
        return after
    kind, days = _terms(after)
    if not kind and not days:
        return after
    invoiced = currencies.day(after.client_id, after.invoice_date)
    return after._replace(duedate=due_date(invoiced, kind, days))


def _terms(row: FullInvoiceRow) -> tuple[int, int]:
    """HaloPSA's `due_date_type` and `due_date_int`, or the days of `paymentterms`."""
    if not row.due_date_type and not row.due_date_int:
        days = (row.extra or {}).get("paymentterms")
        return 0, int(days) if isinstance(days, int | float) else 0
    return row.due_date_type or 0, row.due_date_int or 0


def _with_schedule(
    after: FullInvoiceRow,
    row: FullInvoiceRow | None,
    given: InvoiceInput,
    currencies: Currencies,
) -> FullInvoiceRow:
    """The template with the dates of its `schedule` object, where its own fields say no other.

    Clients post whole records back, so a field of its own that is as it was says nothing.
    """
    before = row or _NEW_INVOICE
    told = {
        name: value
        for name, value in given.schedule.items()
        if getattr(after, name) == getattr(before, name)
    }
    after = _with_values(after, told)
    if after.nextcreationdate == before.nextcreationdate or _is_in_series(after, currencies):
        return after
    return after._replace(anchored_at=after.nextcreationdate)


def _is_in_series(row: FullInvoiceRow, currencies: Currencies) -> bool:
    """The next date is one that the schedule comes to by itself, so it moves no other.

    A 28th of February that belongs to the 31sts would be followed by a 28th of March: a second
    period of that month.
    """
    if row.anchored_at is None or row.nextcreationdate is None:
        return False
    anchor, day = (
        currencies.day(row.client_id, one) for one in (row.anchored_at, row.nextcreationdate)
    )
    return TemplateSchedule(row.period).recurs and is_occurrence(anchor, row.period or 0, day)


def needs_existing_lines(one: Draft, given: InvoiceInput) -> bool:
    """An invoice that exists needs its lines when any of them, or its currency, changes."""
    return one.before is not None and (given.names_lines or one.currency_changes)


def draft_lines(one: Draft, given: InvoiceInput, existing: Sequence[FullLineRow]) -> None:
    """`lines` is the whole list; else lines are changed by their ids, and added at the end."""
    if one.before is not None and not needs_existing_lines(one, given):
        return
    _refuse_lines_beyond_limit(one, given, existing)
    if given.lines is None:
        lines = _merge_changes(given.changed_lines, existing)
    else:
        by_id = {row.id: row for row in existing}
        lines = [_line_of_list(one, by_id, place, each) for place, each in enumerate(given.lines)]
        one.removed = list(by_id.values())
    last = max((line.after.sequenceid for line in lines), default=-1)
    lines += [_new_line(each, last + place) for place, each in enumerate(given.added_lines, 1)]
    one.lines = lines


def _refuse_lines_beyond_limit(
    one: Draft, given: InvoiceInput, existing: Sequence[FullLineRow]
) -> None:
    """An older invoice with more lines may be changed, and shortened, but never grows."""
    listed = len(existing) if given.lines is None else len(given.lines)
    count = listed + len(given.added_lines)
    if count > max(LINES_MAX, len(existing)):
        what = f"invoice {one.id}" if one.id else "the invoice"
        raise InvalidField("lines", f"{what} would have {count} lines; {LINES_MAX} are allowed")


def draft_totals(one: Draft) -> None:
    """Totals come from the lines alone; no caller sets them."""
    if one.lines is None:
        return
    currency = one.after.currency_iso
    lines = [line_of(line.after) for line in one.lines]
    for place, line in enumerate(lines):
        if abs(line.amount) > _LINE_MAX:
            raise InvalidField(f"lines[{place}].unit_price", "comes to more than can be paid")
    found = totals(lines, currency, TaxRounding.of(by_line=one.after.rounded_by_line))
    money.to_minor(found.gross, currency, "total")
    one.after = one.after._replace(total=found.gross, tax_total=found.tax, revenue=found.net)
    if one.is_template:  # HaloPSA shows a template's total as due; nobody pays templates
        one.after = one.after._replace(amountdue=found.gross)


def _merge_changes(
    changed: Sequence[LineInput], existing: Sequence[FullLineRow]
) -> list[DraftLine]:
    """All lines that exist; the changed ones have their given values."""
    given = {each.id: each for each in changed}
    for line_id in given.keys() - {row.id for row in existing}:
        raise NotFound("InvoiceDetail", line_id)
    return [
        DraftLine(row, _line_after(row, row.sequenceid, given[row.id]), given[row.id])
        if row.id in given
        else DraftLine(row, row)
        for row in existing
    ]


def _line_after(row: FullLineRow, place: int, given: LineInput) -> FullLineRow:
    """The row at its place, unless it is given another one, with the given values."""
    extra = rows.merge_extra(row.extra, given.extra)
    return _with_values(row, {"sequenceid": place, **given.values, "extra": extra})


def _line_of_list(
    one: Draft, by_id: dict[int, FullLineRow], place: int, given: LineInput
) -> DraftLine:
    """A line of the whole list. Those taken out of `by_id` stay; those left in it are removed.

    A new invoice may be a copy of another one, lines' ids included: they mean nothing there.
    """
    if given.id is None or one.before is None:
        return _new_line(given, place)
    row = by_id.pop(given.id, None)
    if row is None:
        raise InvalidField(
            f"lines[{place}].id",
            f"{given.id} is not a line of invoice {one.id}, or is given twice",
        )
    return DraftLine(row, _line_after(row, place, given), given)


def _new_line(given: LineInput, place: int) -> DraftLine:
    return DraftLine(None, _line_after(_NEW_LINE, place, given), given)


def _with_values(row: RowT, values: Mapping[str, object]) -> RowT:
    return type(row)._make(map(values.get, row._fields, row))


def _defaults(table: Table) -> list[object]:
    """The values of a new row; its id is 0 until the database gives it one."""
    return [
        0 if one.primary_key else getattr(one.default, "arg", None)  # no default is NULL
        for one in table.c
    ]


_NEW_INVOICE = FullInvoiceRow._make(_defaults(INVOICES))
_NEW_LINE = FullLineRow._make(_defaults(LINES))


def changed_columns(before: RowT, after: RowT) -> list[str]:
    """The names of the columns that have another value after."""
    columns = zip(before._fields, before, after, strict=True)
    return [name for name, old, new in columns if old != new]


def row_differences(before: RowT, after: RowT) -> list[Difference]:
    return differences(before._asdict(), after._asdict())


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[Difference]:
    """The columns of `after` that differ; within `extra`, the properties that differ."""
    found = [
        Difference(name, before[name], value)
        for name, value in after.items()
        if name not in _NOT_AUDITED and before[name] != value
    ]
    old, new = (_properties(one.get("extra")) for one in (before, after))
    if "extra" not in after:
        return found
    return found + [
        Difference(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _properties(extra: object) -> Mapping[str, object]:
    return extra if isinstance(extra, Mapping) else {}

"""Bills the pro rata entries of templates' lines, and lets the lines' quantities follow.

An entry's days before the period that is billed, or within it, cost their share on a line of its
own. Whole periods from then on are billed by the template's line, whose quantity grows by the
entry's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import delete, select, update

from app.ledger import invoicing
from app.ledger.invoice_input import InvoiceInput, LineInput
from app.ledger.price_increases import spans_of_one_price
from app.ledger.prorata import (
    PRORATAS,
    OpenEntry,
    ProrataEntry,
    load_open_entries,
    load_open_rows,
    written,
)
from app.ledger.quantity_edits import is_fixed_quantity
from app.ledger.recurring_templates import LINES, Template
from app.rules import calendar
from app.rules.home import Home
from app.rules.money import plain
from app.rules.proration import prorated_sum
from app.rules.schedule import BillingPeriod, periods_between
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.invoices import FullLineRow

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DueEntries:
    """By template's line, its open entries: those that the invoice bills, and those that wait."""

    billed: Mapping[int, Sequence[OpenEntry]]
    waiting: Mapping[int, Sequence[OpenEntry]]


async def load_due_entries(
    tx: Tx,
    templates: Mapping[int, Template],
    periods: Mapping[int, BillingPeriod],
    lines: Iterable[FullLineRow],
) -> DueEntries:
    template_of = {line.id: line.ihid for line in lines if line.prorata_data}
    billed: dict[int, list[OpenEntry]] = {}
    waiting: dict[int, list[OpenEntry]] = {}
    for one in await load_open_rows(tx, template_of):
        template_id = template_of[one.line_id]
        is_due = _is_due(one.entry, templates[template_id], periods[template_id])
        (billed if is_due else waiting).setdefault(one.line_id, []).append(one)
    return DueEntries(billed, waiting)


def _is_due(entry: ProrataEntry, template: Template, period: BillingPeriod) -> bool:
    """An entry waits until the period that its first day lies in is billed."""
    if period.last is None or not entry.quantity or (entry.extra or {}).get("isinvoiced"):
        return False
    first = _first_day(entry, template)
    return first is None or first <= period.last


def _first_day(entry: ProrataEntry, template: Template) -> date | None:
    return None if entry.date is None else calendar.business_day(entry.date, template.timezone)


def with_quantities(
    template: Template, period: BillingPeriod, row: FullLineRow, due: DueEntries
) -> FullLineRow:
    """The line as this invoice has it: with what was there before the period began."""
    joined = (
        one.entry.quantity or Decimal(0)
        for one in due.billed.get(row.id, ())
        if (_first_day(one.entry, template) or period.first) <= period.first
    )
    return _with_more(row, joined)


def _with_more(row: FullLineRow, quantities: Iterable[Decimal]) -> FullLineRow:
    if not is_fixed_quantity(row):
        return row
    return row._replace(qty_order=row.qty_order + sum(quantities, Decimal(0)))


def prorata_lines(
    template: Template,
    period: BillingPeriod,
    row: FullLineRow,
    due: DueEntries,
    priced: FullLineRow,
) -> list[LineInput]:
    """A line for each entry that some days of a period are billed for, and for each of its prices.

    Days of the period have its price, and those before it the price that the line had then.
    """
    found = []
    for one in due.billed.get(row.id, ()):
        since, until = _days(one.entry, template, period)
        if since is None or since > until:
            continue
        if since > period.first:
            found.append(_prorata_line(template, priced, one, since, until))
            continue
        for first, last, price in spans_of_one_price(row, since, until):
            then = row._replace(unit_price=price)
            found.append(_prorata_line(template, then, one, first, last))
    return found


def _days(
    entry: ProrataEntry, template: Template, period: BillingPeriod
) -> tuple[date | None, date]:
    """Of an entry within the period the days to its end; of an older one those before it began."""
    assert period.last is not None, "an entry is due only where a period ends"
    first = _first_day(entry, template)
    if first is not None and first > period.first:
        return first, period.last
    return first, period.first - _ONE_DAY


def _prorata_line(
    template: Template, row: FullLineRow, one: OpenEntry, since: date, until: date
) -> LineInput:
    entry = one.entry
    quantity = entry.quantity or Decimal(0)
    price = row.unit_price if entry.unitprice is None else entry.unitprice
    whole = quantity * price * (100 - row.discount_perc) / 100
    periods = list(periods_between(template.schedule, since, until))
    amount = prorated_sum(whole, periods, since, until, template.row.currency_iso)
    days = (until - since).days + 1
    explained = f"Pro rata: {plain(quantity)} x {plain(price)} a period, {days} days"
    return LineInput(
        values={
            "sequenceid": row.sequenceid,
            "item_code": row.item_code,
            "item_shortdescription": entry.shortdescription or row.item_shortdescription,
            "item_longdescription": entry.longdescription or explained,
            "nominal_code": row.nominal_code,
            "tax_code": row.tax_code,
            "tax_rate": row.tax_rate,
            "price_includes_tax": row.price_includes_tax,
            "tax_category": row.tax_category,
            "tax_exemption_reason": row.tax_exemption_reason,
            "asset_id": row.asset_id,
            "qty_order": Decimal(1),
            "unit_price": amount,
            "startdate": template.midnight(since),
            "enddate": template.midnight(until),
        },
        extra={
            "recurring_invoice_id": row.ihid,
            "recurring_invoice_line_id": row.id,
            "pro_rata_line_id": row.id,
        },
    )


# --- the template's lines ----------------------------------------------------------------------


async def settle_entries(
    tx: Tx,
    lines: Iterable[FullLineRow],
    due: DueEntries,
    created: Mapping[int, int],
    *,
    now: datetime,
    who: str,
    home: Home,
) -> None:
    """Mark the entries that were billed, and let the quantities of their lines follow."""
    touched = [row for row in lines if row.id in due.billed]
    if not touched:
        return
    for row in touched:
        ids = [one.id for one in due.billed[row.id]]
        billed_by = update(PRORATAS).where(PRORATAS.c.id.in_(ids))
        await tx.execute(billed_by.values(invoiceheaderid=created[row.ihid]))
    changes = [
        (
            _with_more(row, (one.entry.quantity or Decimal(0) for one in due.billed[row.id])),
            [one.entry for one in due.waiting.get(row.id, ())],
        )
        for row in touched
    ]
    await _change_lines(tx, changes, now=now, who=who, home=home)


async def reopen_entries(tx: Tx, invoice_id: int, *, now: datetime, who: str, home: Home) -> None:
    """Undo what an invoice that is deleted had billed: its entries are open again."""
    columns = (PRORATAS.c.invoicedetailid, *projection(PRORATAS, ProrataEntry))
    was_billed = PRORATAS.c.invoiceheaderid == invoice_id
    found = await tx.execute(select(*columns).where(was_billed).order_by(PRORATAS.c.id))
    reopened: dict[int, list[ProrataEntry]] = {}
    for line_id, *values in found:
        reopened.setdefault(line_id, []).append(ProrataEntry._make(values))
    if not reopened:
        return
    await tx.execute(delete(PRORATAS).where(was_billed))
    open_of = await load_open_entries(tx, reopened)
    lines = [FullLineRow._make(row) for row in await tx.execute(
        select(LINES).where(LINES.c.id.in_(reopened)).order_by(LINES.c.id)
    )]  # fmt: skip
    changes = [
        (
            _with_more(row, (-(one.quantity or Decimal(0)) for one in reopened[row.id])),
            [*reopened[row.id], *open_of.get(row.id, ())],
        )
        for row in lines
    ]
    await _change_lines(tx, changes, now=now, who=who, home=home)


async def _change_lines(
    tx: Tx,
    changes: Iterable[tuple[FullLineRow, Sequence[ProrataEntry]]],
    *,
    now: datetime,
    who: str,
    home: Home,
) -> None:
    """Give templates' lines their quantities and their open entries."""
    of_template: dict[int, list[LineInput]] = {}
    for row, entries in changes:
        values = {"qty_order": row.qty_order, "prorata_data": [written(one) for one in entries]}
        given = LineInput(id=row.id, values=values, prorata=entries, keeps_quantity=True)
        of_template.setdefault(row.ihid, []).append(given)
    inputs = [InvoiceInput(id=one, changed_lines=lines) for one, lines in of_template.items()]
    await invoicing.save_drafts(tx, inputs, now=now, who=who, home=home, templates=True)

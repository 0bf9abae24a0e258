"""Makes the invoices of templates: one for each period, however often somebody asks."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, update

from app.errors import NotFound, Refused
from app.ledger import audit, invoicing, prorata
from app.ledger.invoice_input import LINES_MAX, InvoiceInput, LineInput
from app.ledger.prorata import ProrataEntry
from app.rules import schedule
from app.rules.home import Home
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow, Invoice, InvoiceLine

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)

# The columns that an invoice takes from its template, and a line from the template's line. All
# others are the new invoice's own. tests/test_templates_copy.py asks about every new column.
COPIED = (
    "client_id", "reference", "order_number", "cust_order_number", "notes_1", "notes_2", "notes_3",
    "internal_note", "contract_id", "ticket_id", "salesorder_id", "purchaseorder_id", "sitenumber",
    "uid", "billingcategory", "invoicetype", "approvalagentid", "due_date_type", "due_date_int",
    "currency_code", "currency_conversion_rate", "take_auto_payment", "include_in_autopay",
)  # fmt: skip
LINE_COPIED = (
    "sequenceid", "item_code", "item_shortdescription", "item_longdescription", "nominal_code",
    "tax_code", "qty_order", "unit_price", "unit_cost", "discount_perc", "tax_rate", "asset_id",
    "onetimecharge", "onetimechargeinvoiceid", "startdate", "enddate", "prorata_data",
)  # fmt: skip
# Lines that one call copies, in one transaction, as many as a POST of invoices may bring.
COPIED_LINES_MAX = 2_000
# Of the properties that are only kept for the client, those of the template's schedule.
_SCHEDULE = frozenset({"schedule", "period_type", "schedule_id", "nextcreationperiod"})


async def create_due_invoices(
    tx: Tx, ids: Sequence[int], *, force: bool, now: datetime, who: str, home: Home
) -> list[int]:
    """The invoices of these templates' present period, created unless they exist already.

    `force` creates another one in any case, and leaves the schedule as it is.
    """
    templates = await _lock_templates(tx, ids)
    existing = {} if force else await _find_existing(tx, templates.values(), now)
    wanted = [one for one in ids if one not in existing]
    await _refuse_too_many_lines(tx, wanted)
    lines = await _load_charged_lines(tx, wanted, now)
    entries = await _load_entries(tx, lines)
    inputs = [_invoice(templates[one], lines.get(one, ()), entries, now) for one in wanted]
    drafts = await invoicing.save_drafts(tx, inputs, now=now, who=who, home=home)
    created = dict(zip(wanted, [one.id for one in drafts], strict=True))
    if not force:
        await _set_made_for(tx, created, {one: _day(templates[one], now).date() for one in wanted})
        await _advance(tx, [templates[one] for one in wanted], now=now, who=who)
    await _mark_charged_once(tx, lines, created)
    return [existing[one] if one in existing else created[one] for one in ids]


async def _lock_templates(tx: Tx, ids: Sequence[int]) -> Mapping[int, FullInvoiceRow]:
    for one in ids:
        if one >= 0:
            raise NotFound("RecurringInvoice", one)
    found = await rows.lock_rows(tx, INVOICES, "RecurringInvoice", [{"id": one} for one in ids])
    templates = {one: FullInvoiceRow._make(row) for one, row in found.items()}
    for template in templates.values():
        if template.disabled:
            raise Refused(f"RecurringInvoice {template.id} is disabled")
    return templates


def _day(template: FullInvoiceRow, now: datetime) -> datetime:
    """The day that tells one period from the next; without a schedule, today."""
    return template.nextcreationdate or now


class _Made(NamedTuple):
    """An invoice, the template it was made from, and the day of the schedule it was made for."""

    id: int
    recurring_invoice_id: int
    made_for: date


async def _find_existing(
    tx: Tx, templates: Collection[FullInvoiceRow], now: datetime
) -> dict[int, int]:
    """By template, the invoice that exists already of a period that is not over.

    A template whose next date lies ahead has been processed for now, if it ever was.
    """
    found = await tx.execute(
        select(INVOICES.c.id, INVOICES.c.recurring_invoice_id, INVOICES.c.made_for)
        .where(
            INVOICES.c.recurring_invoice_id.in_([one.id for one in templates]),
            INVOICES.c.made_for.is_not(None),
        )
        .order_by(INVOICES.c.made_for)
    )
    newest = {row.recurring_invoice_id: row for row in map(_Made._make, found)}
    existing: dict[int, int] = {}
    for one in templates:
        last = newest.get(one.id)
        if last and (_day(one, now) > now or last.made_for == _day(one, now).date()):
            existing[one.id] = last.id
    return existing


async def _refuse_too_many_lines(tx: Tx, ids: Sequence[int]) -> None:
    """Templates are counted before their lines are read: a request of a few bytes names many."""
    if not ids:
        return
    counted = await tx.execute(
        select(LINES.c.ihid, func.count()).where(LINES.c.ihid.in_(ids)).group_by(LINES.c.ihid)
    )
    count_of = {template_id: count for template_id, count in counted}
    for template_id, count in count_of.items():
        if count > LINES_MAX:
            raise Refused(f"lines: {template_id} has {count}; an invoice may have {LINES_MAX}")
    total = sum(count_of.values())
    if total > COPIED_LINES_MAX:
        raise Refused(f"body: {total} lines would be copied; {COPIED_LINES_MAX} may be at once")


async def _load_charged_lines(
    tx: Tx, ids: Sequence[int], now: datetime
) -> dict[int, list[FullLineRow]]:
    """By template, the lines that its next invoice takes."""
    found: dict[int, list[FullLineRow]] = {}
    if ids:
        statement = select(LINES).where(LINES.c.ihid.in_(ids), LINES.c.isinactive.is_(False))
        for each in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
            row = FullLineRow._make(each)
            if _is_charged(row, now):
                found.setdefault(row.ihid, []).append(row)
    return found


def _is_charged(line: FullLineRow, now: datetime) -> bool:
    """A line is charged between its own dates, and a one-time charge only once."""
    if line.onetimecharge and line.onetimechargeinvoiceid:
        return False
    today = now.date()
    has_begun = line.startdate is None or line.startdate.date() <= today
    return has_begun and (line.enddate is None or today <= line.enddate.date())


async def _load_entries(
    tx: Tx, lines: Mapping[int, Sequence[FullLineRow]]
) -> Mapping[int, Sequence[ProrataEntry]]:
    """The pro rata entries of these lines, by line; most have none."""
    ids = [line.id for of_one in lines.values() for line in of_one if line.prorata_data]
    return await prorata.load_entries(tx, ids) if ids else {}


def _invoice(
    template: FullInvoiceRow,
    lines: Sequence[FullLineRow],
    entries: Mapping[int, Sequence[ProrataEntry]],
    now: datetime,
) -> InvoiceInput:
    """The invoice as a client would have posted it."""
    extra = template.extra or {}
    due = schedule.due_date(now.date(), template.due_date_type or 0, template.due_date_int or 0)
    return InvoiceInput(
        currency_code=template.currency_code,
        values={
            **{name: getattr(template, name) for name in COPIED},
            "recurring_invoice_id": template.id,
            "invoice_date": now.replace(microsecond=0),
            "duedate": due,
        },
        extra={name: one for name, one in extra.items() if name not in _SCHEDULE},
        lines=[_line(one, entries.get(one.id, ())) for one in lines],
    )


def _line(row: FullLineRow, entries: Sequence[ProrataEntry]) -> LineInput:
    made_by = {"recurring_invoice_id": row.ihid, "recurring_invoice_line_id": row.id}
    return LineInput(
        values={name: getattr(row, name) for name in LINE_COPIED},
        extra={**(row.extra or {}), **made_by},
        prorata=entries,
    )


async def _set_made_for(tx: Tx, created: Mapping[int, int], days: Mapping[int, date]) -> None:
    """Write the day each invoice was made for: a unique index allows one of a template and day."""
    if created:
        await tx.execute(
            update(INVOICES)
            .where(INVOICES.c.id == bindparam("b_id"))
            .values(made_for=bindparam("b_day")),
            [{"b_id": invoice_id, "b_day": days[one]} for one, invoice_id in created.items()],
        )


async def _advance(tx: Tx, templates: Sequence[FullInvoiceRow], *, now: datetime, who: str) -> None:
    """Move each template's next date a period on."""
    next_dates = {one.id: _next_date(one) for one in templates}
    changes = {
        one.id: {
            "lastcreated": now,
            "nextcreationdate": next_dates[one.id],
            "last_modified": now,
            "change_seq": one.change_seq + 1,
        }
        for one in templates
    }
    await rows.update_rows(tx, INVOICES, changes)
    audited = [
        audit.AuditChange(one.id, name, old, new)
        for one in templates
        for name, old, new in (
            ("lastcreated", one.lastcreated, now),
            ("nextcreationdate", one.nextcreationdate, next_dates[one.id]),
        )
        if old != new
    ]
    await audit.write(tx, audited, who=who, now=now)


def _next_date(template: FullInvoiceRow) -> datetime | None:
    """A template that makes an invoice once keeps its date, and so makes no other."""
    if template.nextcreationdate is None:
        return None
    following = schedule.next_creation(template.nextcreationdate, template.period or 0)
    return following or template.nextcreationdate


async def _mark_charged_once(
    tx: Tx, lines: Mapping[int, Sequence[FullLineRow]], created: Mapping[int, int]
) -> None:
    """Write on each one-time charge the invoice that charged it."""
    changes = {
        line.id: {"onetimechargeinvoiceid": created[one]}
        for one in created
        for line in lines.get(one, ())
        if line.onetimecharge
    }
    await rows.update_rows(tx, LINES, changes)

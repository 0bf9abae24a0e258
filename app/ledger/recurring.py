"""Makes the invoices of templates: one a period, whoever asks and however often."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, select, update

from app.errors import NotFound, Refused
from app.ledger import audit, invoicing
from app.rules import schedule
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.invoices import Invoice, InvoiceLine

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)

# What an invoice does not take from its template: its own sums, dates, numbers and schedule.
_NOT_COPIED = frozenset(
    """
    id invoicenumber is_recurring_invoice recurring_invoice_id made_for posted voided invoice_date
    duedate dateposted datesent datepaid date_created last_modified total tax_total revenue
    amountpaid amountdue paymentstatus payments_pending payments_reversed change_seq currency_iso
    startdate enddate lastcreated nextcreationdate disabled extra thirdpartyinvoicenumber xeroid
    qboid approval_status reviewrequired
    """.split()
)
_SCHEDULE = frozenset("schedule period period_type schedule_id nextcreationperiod".split())
_LINE_NOT_COPIED = frozenset({"id", "ihid", "extra", "isinactive"})


async def create_due_invoices(
    tx: Tx, ids: Sequence[int], *, force: bool, now: datetime, who: str, home: str
) -> list[int]:
    """The invoices of these templates' present period, made now unless they are there.

    `force` makes another one whatever there is, and leaves the schedule as it is.
    """
    templates = await _locked(tx, ids)
    there = {} if force else await _there(tx, templates.values(), now)
    wanted = [one for one in ids if one not in there]
    lines = await _lines(tx, wanted)
    records = [_copy(templates[one], lines.get(one, ()), now) for one in wanted]
    invoice_ids = await invoicing.save(tx, records, now=now, who=who, home=home)
    made = dict(zip(wanted, invoice_ids, strict=True))
    if not force:
        await _link(tx, made, {one: _day(templates[one], now).date() for one in wanted})
        await _move_on(tx, [templates[one] for one in wanted], now=now, who=who)
    await _charge_once(tx, lines, made)
    return [there[one] if one in there else made[one] for one in ids]


async def _locked(tx: Tx, ids: Sequence[int]) -> Mapping[int, Record]:
    for one in ids:
        if one >= 0:
            raise NotFound("RecurringInvoice", one)
    found = await rows.lock_rows(tx, INVOICES, "RecurringInvoice", [{"id": one} for one in ids])
    for template in found.values():
        if template.disabled:
            raise Refused(f"RecurringInvoice {template.id} is disabled")
    return found


def _day(template: Record, now: datetime) -> datetime:
    """What tells one period from the next: when the schedule says, or this day without one."""
    found: datetime = template.nextcreationdate or now
    return found


async def _there(tx: Tx, templates: Collection[Record], now: datetime) -> dict[int, int]:
    """The invoices that are there already of a period that is not over.

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
    newest = {row.recurring_invoice_id: row for row in found}
    there: dict[int, int] = {}
    for one in templates:
        last = newest.get(one.id)
        if last and (_day(one, now) > now or last.made_for == _day(one, now).date()):
            there[one.id] = last.id
    return there


async def _lines(tx: Tx, ids: Sequence[int]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    if ids:
        statement = select(LINES).where(LINES.c.ihid.in_(ids), LINES.c.isinactive.is_(False))
        for row in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
            found.setdefault(row.ihid, []).append(row)
    return found


def _copy(template: Record, lines: Sequence[Record], now: datetime) -> dict[str, Any]:
    """The invoice as a client would have posted it."""
    extra = {name: one for name, one in (template.extra or {}).items() if name not in _SCHEDULE}
    values = {
        name: value
        for name, value in template._mapping.items()
        if name not in _NOT_COPIED and value is not None
    }
    due = schedule.due_date(
        now.date(), int(extra.get("due_date_type", 0)), int(extra.get("due_date_int", 0))
    )
    return {
        **values,
        "recurring_invoice_id": template.id,
        "invoice_date": now.replace(microsecond=0),
        "duedate": due,
        "extra": extra,
        "lines": [_line(one) for one in lines if _is_charged(one, now)],
    }


def _is_charged(line: Record, now: datetime) -> bool:
    """Within the line's own dates, and once only where it says so."""
    extra = line.extra or {}
    if extra.get("onetimecharge") and extra.get("onetimechargeinvoiceid"):
        return False
    today = now.date().isoformat()
    return (extra.get("startdate") or today)[:10] <= today <= (extra.get("enddate") or today)[:10]


def _line(row: Record) -> dict[str, Any]:
    values = {name: one for name, one in row._mapping.items() if name not in _LINE_NOT_COPIED}
    made_by = {"recurring_invoice_id": row.ihid, "recurring_invoice_line_id": row.id}
    return {**values, "extra": {**(row.extra or {}), **made_by}}


async def _link(tx: Tx, made: Mapping[int, int], days: Mapping[int, date]) -> None:
    """The period each invoice was made for: the database allows one of a kind."""
    if made:
        await tx.execute(
            update(INVOICES)
            .where(INVOICES.c.id == bindparam("b_id"))
            .values(made_for=bindparam("b_day")),
            [{"b_id": invoice_id, "b_day": days[one]} for one, invoice_id in made.items()],
        )


async def _move_on(tx: Tx, templates: Sequence[Record], *, now: datetime, who: str) -> None:
    """The template's next date, a period after the one that was made."""
    changes = {}
    for one in templates:
        extra = one.extra or {}
        following = one.nextcreationdate and schedule.next_creation(
            one.nextcreationdate, int(extra.get("period", 0))
        )
        changes[one.id] = {
            "lastcreated": now,
            # One that makes an invoice once keeps its date, and so makes no other.
            "nextcreationdate": following or one.nextcreationdate,
            "last_modified": now,
            "change_seq": one.change_seq + 1,
        }
    await rows.update_rows(tx, INVOICES, changes)
    told = [
        audit.AuditChange(one.id, name, getattr(one, name), changes[one.id][name])
        for one in templates
        for name in ("lastcreated", "nextcreationdate")
        if getattr(one, name) != changes[one.id][name]
    ]
    await audit.write(tx, told, who=who, now=now)


async def _charge_once(
    tx: Tx, lines: Mapping[int, Sequence[Record]], made: Mapping[int, int]
) -> None:
    """A line that is charged once says on which invoice it was."""
    changes = {
        line.id: {"extra": {**line.extra, "onetimechargeinvoiceid": made[one]}}
        for one in made
        for line in lines.get(one, ())
        if (line.extra or {}).get("onetimecharge")
    }
    await rows.update_rows(tx, LINES, changes)

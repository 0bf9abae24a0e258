"""Templates under their locks, with the time zone of their clients and the lines that they bill."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

from sqlalchemy import and_, func, or_, select, tuple_

from app.errors import NotFound, Refused
from app.ledger.invoice_input import LINES_MAX
from app.rules import calendar
from app.rules.home import Home
from app.rules.schedule import BillingPeriod, TemplateSchedule
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow, Invoice, InvoiceLine

CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)

# Lines that one call copies, in one transaction, as many as a POST of invoices may bring.
COPIED_LINES_MAX = 1_200


@dataclass(frozen=True)
class Template:
    """A template's row, and the time zone in which its days are reckoned."""

    row: FullInvoiceRow
    timezone: str

    @property
    def id(self) -> int:
        return self.row.id

    @cached_property
    def schedule(self) -> TemplateSchedule:
        row = self.row
        return TemplateSchedule(
            period=row.period,
            next_day=self._day(row.nextcreationdate),
            anchor=self._day(row.anchored_at),
            starts_on=self._day(row.startdate),
            ends_on=self._day(row.enddate),
            last_billed=self._day(row.lastcreated),
        )

    def _day(self, instant: datetime | None) -> date | None:
        return None if instant is None else calendar.business_day(instant, self.timezone)

    def today(self, now: datetime) -> date:
        return calendar.business_day(now, self.timezone)

    def instant(self, day: date) -> datetime:
        """The template's own time of day, on that day: midnight, unless somebody said another."""
        row = self.row
        return calendar.on_day(day, row.anchored_at or row.nextcreationdate, self.timezone)

    def midnight(self, day: date) -> datetime:
        return calendar.on_day(day, None, self.timezone)


async def lock_templates(tx: Tx, ids: Sequence[int], home: Home) -> dict[int, Template]:
    """The templates by their ids, locked; NotFound or Refused where one may bill nothing."""
    for one in ids:
        if one >= 0:
            raise NotFound("RecurringInvoice", one)
    found = await rows.lock_rows(tx, INVOICES, "RecurringInvoice", [{"id": one} for one in ids])
    locked = [FullInvoiceRow._make(row) for row in found.values()]
    for row in locked:
        if row.disabled:
            raise Refused(f"RecurringInvoice {row.id} is disabled")
    return await with_time_zones(tx, locked, home)


async def with_time_zones(
    tx: Tx, found: Sequence[FullInvoiceRow], home: Home
) -> dict[int, Template]:
    """Each template in its client's time zone, or in the business's."""
    ids = {row.client_id for row in found if row.client_id is not None}
    known: dict[int, str | None] = {}
    if ids:
        statement = select(CLIENTS.c.id, CLIENTS.c.timezone).where(CLIENTS.c.id.in_(ids))
        known = {client_id: timezone for client_id, timezone in await tx.execute(statement)}
    return {row.id: Template(row, known.get(row.client_id or 0) or home.timezone) for row in found}


async def load_made(tx: Tx, templates: Collection[Template]) -> dict[int, set[date]]:
    """By template, the first days of its periods that have an invoice.

    Of a schedule that recurs only those from its next day on: no other is ever billed.
    """
    found: dict[int, set[date]] = {one.id: set() for one in templates}
    dated = {one.id: one.schedule for one in templates if one.schedule.recurs}
    next_days = [one.next_day for one in dated.values() if one.next_day is not None]
    others = [one for one in found if one not in dated or dated[one].next_day is None]
    if not found:
        return found
    template_id, day = INVOICES.c.recurring_invoice_id, INVOICES.c.made_for
    from_next = and_(template_id.in_(dated), day >= min(next_days, default=date.max))
    statement = select(template_id, day).where(
        day.is_not(None), or_(from_next, template_id.in_(others))
    )
    for one, made_for in await tx.execute(statement):
        found[one].add(made_for)
    return found


async def load_billed_until(
    tx: Tx, templates: Mapping[int, Template], firsts: Mapping[int, date]
) -> dict[int, date]:
    """By template, the last day that its period before this first day was billed for.

    The period's own dates stand on its invoice, for the schedule may have changed since.
    """
    if not firsts:
        return {}
    template_id, day = INVOICES.c.recurring_invoice_id, INVOICES.c.made_for
    of_first: dict[date, list[int]] = {}  # most templates of a run bill one day
    for one, first in firsts.items():
        of_first.setdefault(first, []).append(one)
    earlier = or_(*(and_(template_id.in_(ids), day < one) for one, ids in of_first.items()))
    newest = select(template_id, func.max(day)).where(earlier).group_by(template_id)
    places = [tuple(row) for row in await tx.execute(newest)]
    wanted = select(template_id, INVOICES.c.extra).where(tuple_(template_id, day).in_(places))
    found: dict[int, date] = {}
    for one, extra in await tx.execute(wanted) if places else ():
        last = (extra or {}).get("period_end_date")
        if isinstance(last, str):
            at = datetime.fromisoformat(last).replace(tzinfo=UTC)
            found[one] = calendar.business_day(at, templates[one].timezone)
    return found


async def load_newest(tx: Tx, ids: Collection[int]) -> dict[int, int]:
    """By template, the invoice of its latest period."""
    if not ids:
        return {}
    statement = (
        select(INVOICES.c.recurring_invoice_id, INVOICES.c.id)
        .where(INVOICES.c.recurring_invoice_id.in_(ids), INVOICES.c.made_for.is_not(None))
        .order_by(INVOICES.c.made_for)
    )
    return {template_id: invoice_id for template_id, invoice_id in await tx.execute(statement)}


# --- lines -----------------------------------------------------------------------------------


async def count_lines(tx: Tx, ids: Collection[int]) -> dict[int, int]:
    """Lines are counted before they are read: a request of a few bytes names many."""
    if not ids:
        return {}
    statement = (
        select(LINES.c.ihid, func.count()).where(LINES.c.ihid.in_(ids)).group_by(LINES.c.ihid)
    )
    return {template_id: count for template_id, count in await tx.execute(statement)}


async def refuse_too_many_lines(tx: Tx, ids: Collection[int]) -> None:
    count_of = await count_lines(tx, ids)
    for template_id, count in count_of.items():
        if count > LINES_MAX:
            raise Refused(f"lines: {template_id} has {count}; an invoice may have {LINES_MAX}")
    refuse_lines_in_all(count_of)


def refuse_lines_in_all(count_of: Mapping[int, int]) -> None:
    """One call copies so many lines at most, whichever templates have them."""
    total = sum(count_of.values())
    if total > COPIED_LINES_MAX:
        raise Refused(f"body: {total} lines would be copied; {COPIED_LINES_MAX} may be at once")


async def load_billed_lines(
    tx: Tx, templates: Mapping[int, Template], periods: Mapping[int, BillingPeriod]
) -> dict[int, list[FullLineRow]]:
    """By template, the lines that the invoice of its period takes."""
    found: dict[int, list[FullLineRow]] = {}
    if periods:
        statement = select(LINES).where(LINES.c.ihid.in_(periods), LINES.c.isinactive.is_(False))
        for each in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
            row = FullLineRow._make(each)
            if _is_billed(row, periods[row.ihid], templates[row.ihid]):
                found.setdefault(row.ihid, []).append(row)
    return found


def _is_billed(line: FullLineRow, period: BillingPeriod, template: Template) -> bool:
    """A line is billed in the periods that begin between its own dates, a one-time charge once."""
    if line.onetimecharge and line.onetimechargeinvoiceid:
        return False
    first, last = line_days(line, template)
    has_begun = first is None or first <= period.first
    return has_begun and (last is None or period.first <= last)


def line_days(line: FullLineRow, template: Template) -> tuple[date | None, date | None]:
    """The first and the last day of a template's line, where its client is."""
    first, last = (
        None if one is None else calendar.business_day(one, template.timezone)
        for one in (line.startdate, line.enddate)
    )
    return first, last

"""Makes the invoices of templates: one for each period, however often and whenever somebody asks.

The first day of its period stands on each invoice, and a unique index allows one of a template and
day. Templates are locked before their periods are looked at, so those who ask at once take turns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import update

from app.errors import AppError, RecordLocked, Refused, Unavailable
from app.ledger import audit, invoicing, price_increases, prorata_billing
from app.ledger.invoice_input import InvoiceInput, LineInput
from app.ledger.price_increases import RaisedLines
from app.ledger.prorata_billing import DueEntries
from app.ledger.recurring_templates import (
    INVOICES,
    LINES,
    Template,
    count_lines,
    line_days,
    load_billed_lines,
    load_made,
    load_newest,
    lock_templates,
    refuse_lines_in_all,
    refuse_too_many_lines,
)
from app.rules import schedule
from app.rules.home import Home
from app.rules.notation import moment
from app.rules.schedule import BillingPeriod, NotBilled
from app.storage import rows
from app.storage.engines import Tx
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow

# The columns that an invoice takes from its template, and a line from the template's line. All
# others are the new invoice's own. tests/test_templates_copy.py asks about every new column.
COPIED = (
    "client_id", "reference", "order_number", "cust_order_number", "notes_1", "notes_2", "notes_3",
    "internal_note", "contract_id", "ticket_id", "salesorder_id", "purchaseorder_id", "sitenumber",
    "uid", "billingcategory", "invoicetype", "approvalagentid", "due_date_type", "due_date_int",
    "currency_code", "take_auto_payment", "include_in_autopay",
)  # fmt: skip
LINE_COPIED = (
    "sequenceid", "item_code", "item_shortdescription", "item_longdescription", "nominal_code",
    "tax_code", "qty_order", "unit_price", "unit_cost", "discount_perc", "tax_rate", "asset_id",
    "price_includes_tax", "tax_category", "tax_exemption_reason", "onetimecharge",
    "onetimechargeinvoiceid",
)  # fmt: skip
# Of the properties that are only kept for the client, those of the template's schedule.
_SCHEDULE = frozenset(
    {"schedule", "period_type", "schedule_id", "nextcreationperiod", "schedule_date"}
)


@dataclass(frozen=True, slots=True)
class Processed:
    """The invoice of a template's present period, or the reason why there is none."""

    template_id: int
    invoice_id: int | None = None
    why: str | None = None


@dataclass(slots=True)
class PeriodPlan:
    """The templates of one call: the period that each bills, or the reason why it bills none."""

    templates: Mapping[int, Template]
    made: Mapping[int, set[date]]
    billed: dict[int, BillingPeriod] = field(default_factory=dict)
    not_billed: dict[int, NotBilled] = field(default_factory=dict)
    # Next dates that stand on a period which is made: somebody has set them back.
    passed: dict[int, BillingPeriod] = field(default_factory=dict)


async def process(
    tx: Tx, ids: Sequence[int], *, force: bool, now: datetime, who: str, home: Home
) -> list[Processed]:
    """Process each of these templates, in their order; one that cannot be stops no other.

    A single one that cannot be processed raises its reason, and so does a call for too many lines.
    """
    refuse_lines_in_all(await count_lines(tx, ids))
    try:
        async with tx.begin_nested():
            made = await create_due_invoices(tx, ids, force=force, now=now, who=who, home=home)
            return [Processed(*each) for each in zip(ids, made, strict=True)]
    except AppError as error:
        if len(set(ids)) < 2 or not is_of_template(error):
            raise
    found = []
    for one in ids:
        try:
            found += await process(tx, [one], force=force, now=now, who=who, home=home)
        except AppError as error:
            if not is_of_template(error):
                raise
            found.append(Processed(one, why=error.message))
    return found


def is_of_template(error: Exception) -> bool:
    """Whether one template is to blame, so that others may go on: the database is there."""
    return not isinstance(error, Unavailable) or isinstance(error, RecordLocked)


async def create_due_invoices(
    tx: Tx, ids: Sequence[int], *, force: bool, now: datetime, who: str, home: Home
) -> list[int]:
    """The invoices of these templates' present periods, created unless they exist already.

    `force` creates another one in any case, and leaves the schedule as it is.
    """
    plan = await plan_periods(tx, await lock_templates(tx, ids, home), now)
    if force:
        _bill_again(plan, now)
        existing: dict[int, int] = {}
    else:
        existing = await load_newest(tx, plan.not_billed)
        _bill_early(plan, plan.not_billed.keys() - existing.keys(), now)
    created = await bill(tx, plan, is_forced=force, now=now, who=who, home=home)
    return [existing[one] if one in existing else created[one] for one in ids]


async def plan_periods(tx: Tx, templates: Mapping[int, Template], now: datetime) -> PeriodPlan:
    """The period that each template bills now. The caller has locked the templates."""
    plan = PeriodPlan(templates, await load_made(tx, templates.values()))
    for one, template in templates.items():
        found = schedule.billing_period(
            template.schedule, today=template.today(now), made=plan.made[one]
        )
        if isinstance(found, BillingPeriod):
            plan.billed[one] = found
        else:
            plan.not_billed[one] = found
            next_day = template.schedule.next_day
            if template.schedule.recurs and next_day in plan.made[one]:
                plan.passed[one] = BillingPeriod(next_day)
    return plan


def _bill_early(plan: PeriodPlan, ids: set[int], now: datetime) -> None:
    """A template that has billed nothing yet bills its first period when a person asks for it."""
    for one in ids:
        template = plan.templates[one]
        found = schedule.billing_period(
            template.schedule, today=template.today(now), made=plan.made[one], early=True
        )
        if isinstance(found, NotBilled):
            raise Refused(f"RecurringInvoice {one}: {found}")
        plan.billed[one] = found


def _bill_again(plan: PeriodPlan, now: datetime) -> None:
    """A further invoice is for the period that the template bills next, whatever exists of it."""
    for one, template in plan.templates.items():
        today = template.today(now)
        found = schedule.billing_period(template.schedule, today=today, early=True)
        plan.billed[one] = BillingPeriod(today) if isinstance(found, NotBilled) else found


async def bill(
    tx: Tx, plan: PeriodPlan, *, is_forced: bool = False, now: datetime, who: str, home: Home
) -> dict[int, int]:
    """Make the invoices that are planned, and move the schedules on; answers them by template."""
    await refuse_too_many_lines(tx, plan.billed)
    lines = await load_billed_lines(tx, plan.templates, plan.billed)
    flat = [line for of_one in lines.values() for line in of_one]
    # A further invoice of a period bills no entry again, and takes none from the next one.
    entries = [] if is_forced else flat
    due = await prorata_billing.load_due_entries(tx, plan.templates, plan.billed, entries)
    to_raise = {} if is_forced else lines
    raised = price_increases.raise_prices(plan.templates, plan.billed, to_raise)
    inputs = [
        _invoice(
            plan.templates[one],
            period,
            _lines(plan.templates[one], period, lines.get(one, ()), due, raised),
            now,
            is_forced=is_forced,
        )
        for one, period in plan.billed.items()
    ]
    drafts = await invoicing.save_drafts(tx, inputs, now=now, who=who, home=home)
    created = dict(zip(plan.billed, [one.id for one in drafts], strict=True))
    if not is_forced:
        await advance(tx, plan, now=now, who=who)
    await price_increases.save_raised(tx, raised, now=now, who=who, home=home)
    await prorata_billing.settle_entries(tx, flat, due, created, now=now, who=who, home=home)
    await _mark_charged_once(tx, lines, created)
    return created


def _invoice(
    template: Template,
    period: BillingPeriod,
    lines: Sequence[LineInput],
    now: datetime,
    *,
    is_forced: bool,
) -> InvoiceInput:
    """The invoice as a client would have posted it; its day is the one on which it is made."""
    row = template.row
    kept = {name: one for name, one in (row.extra or {}).items() if name not in _SCHEDULE}
    due = schedule.due_date(template.today(now), row.due_date_type or 0, row.due_date_int or 0)
    return InvoiceInput(
        currency_code=row.currency_code,
        values={
            **{name: getattr(row, name) for name in COPIED},
            "recurring_invoice_id": row.id,
            "made_for": None if is_forced else period.first,
            "invoice_date": now.replace(microsecond=0),
            "duedate": due,
        },
        extra={**kept, **_period_dates(template, period)},
        lines=lines,
    )


def _period_dates(template: Template, period: BillingPeriod) -> dict[str, object]:
    """The period in HaloPSA's words; none of a template that bills once."""
    if period.last is None:
        return {}
    return {
        "period_start_date": moment(template.midnight(period.first)),
        "period_end_date": moment(template.midnight(period.last)),
    }


def _lines(
    template: Template,
    period: BillingPeriod,
    rows_of: Sequence[FullLineRow],
    due: DueEntries,
    raised: RaisedLines,
) -> list[LineInput]:
    """Each line of the template, and behind it the shares of days that are billed with it."""
    found = []
    for row in rows_of:
        priced = raised.priced(row)
        billed = prorata_billing.with_quantities(template, period, priced, due)
        found.append(_line(template, period, billed))
        found += prorata_billing.prorata_lines(template, period, row, due, priced)
    return found


# An expense is billed once, and no template's line is; only templates look back at prices.
_OF_TEMPLATES = frozenset({"expense_id", price_increases.PRICES_BEFORE})


def _line(template: Template, period: BillingPeriod, row: FullLineRow) -> LineInput:
    made_by = {"recurring_invoice_id": row.ihid, "recurring_invoice_line_id": row.id}
    kept = {name: one for name, one in (row.extra or {}).items() if name not in _OF_TEMPLATES}
    return LineInput(
        values={
            **{name: getattr(row, name) for name in LINE_COPIED},
            **_line_period(template, period, row),
        },
        extra={**kept, **made_by},
    )


def _line_period(
    template: Template, period: BillingPeriod, row: FullLineRow
) -> dict[str, datetime]:
    """The days that a line of an invoice is for; a one-time charge is for none."""
    if period.last is None or row.onetimecharge:
        return {}
    _, ends_on = line_days(row, template)
    last = min(period.last, ends_on or period.last)
    return {"startdate": template.midnight(period.first), "enddate": template.midnight(last)}


async def advance(tx: Tx, plan: PeriodPlan, *, now: datetime, who: str) -> None:
    """Move each next date to the first period without an invoice, also one that was set back.

    A template that bills once keeps its date, and so makes no other.
    """
    changes: dict[int, dict[str, object]] = {}
    audited: list[audit.AuditChange] = []
    for one in plan.billed.keys() | plan.passed.keys():
        template, row = plan.templates[one], plan.templates[one].row
        period = plan.billed.get(one) or plan.passed[one]
        following = schedule.next_period(template.schedule, period.first, plan.made[one])
        next_at = row.nextcreationdate if following is None else template.instant(following)
        lastcreated = now if one in plan.billed else row.lastcreated
        anchored_at = row.anchored_at or (template.instant(period.first) if next_at else None)
        changes[one] = {
            "lastcreated": lastcreated,
            "nextcreationdate": next_at,
            "anchored_at": anchored_at,
            "last_modified": now,
            "change_seq": row.change_seq + 1,
        }
        audited += _audited(row, lastcreated=lastcreated, nextcreationdate=next_at)
    await rows.update_rows(tx, INVOICES, changes)
    await audit.write(tx, audited, who=who, now=now)


def _audited(row: FullInvoiceRow, **after: object) -> list[audit.AuditChange]:
    return [
        audit.AuditChange(row.id, name, getattr(row, name), value)
        for name, value in after.items()
        if getattr(row, name) != value
    ]


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


async def give_back_period(
    tx: Tx, invoice: FullInvoiceRow, template: Template, *, now: datetime, who: str, home: Home
) -> None:
    """An invoice is deleted: its template bills the period, its charges and its entries again."""
    row = template.row
    unmarked = update(LINES).where(LINES.c.onetimechargeinvoiceid == invoice.id)
    await tx.execute(unmarked.values(onetimechargeinvoiceid=None))
    await prorata_billing.reopen_entries(tx, invoice.id, now=now, who=who, home=home)
    next_day = template.schedule.next_day
    if invoice.made_for is None or (next_day is not None and next_day <= invoice.made_for):
        return
    next_at = template.instant(invoice.made_for)
    changes = {"nextcreationdate": next_at, "last_modified": now}
    await tx.execute(update(INVOICES).where(INVOICES.c.id == row.id).values(changes))
    await audit.write(tx, _audited(row, nextcreationdate=next_at), who=who, now=now)

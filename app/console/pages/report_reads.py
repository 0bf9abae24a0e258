"""Figures of the reports, read within bounds, however long the tables are."""

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from app.console.language import N_, _, ngettext
from app.console.pages.charts import BarChart, ChartSeries, bar_chart, day_axis, money_by_day
from app.console.pages.wording import ViewerTime, shown_amount
from app.rules import calendar
from app.rules.attempt import AttemptState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(InvoicePayment)
INVOICES = table_of(Invoice)

# The newest rows that are added up: months of a small installation, days of a large one.
SUMMED_MAX = 4_000
AGED_MAX = 20_000
CHART_DAYS = 14
REPORT_DAYS = 30
# The last day of each age that an open invoice may have; what is older is the last group.
_AGES = (30, 60, 90)
_AGE_NAMES = (
    N_("Not due"),
    N_("1–30 days"),
    N_("31–60 days"),
    N_("61–90 days"),
    N_("Over 90 days"),
)
# The same below bars, where there is little room.
_AGE_AXIS = (N_("Not due"), "1–30", "31–60", "61–90", N_("Over 90"))


# --- money in ----------------------------------------------------------------------------------


async def load_money_in(
    tx: Tx, times: ViewerTime, days: int, *, is_figure_today: bool = False
) -> BarChart | None:
    """Money that counts, by day and currency, as far back as the newest payments reach."""
    columns = (SHARES.c.date, SHARES.c.currency_iso, SHARES.c.counted)
    newest = select(*columns).order_by(SHARES.c.id.desc()).limit(SUMMED_MAX).subquery()
    oldest, count = (await tx.execute(select(func.min(newest.c.date), func.count()))).one()
    if not count:
        return None
    first = times.today - timedelta(days=days - 1)
    if count >= SUMMED_MAX:
        first = max(first, min(times.local(oldest).date() + timedelta(days=1), times.today))
    shown = _days(first, times.today)
    starts = [_begins(day, times) for day in [*shown, times.today + timedelta(days=1)]]
    sums = [
        _sum_where((newest.c.date >= start) & (newest.c.date < end), newest.c.counted)
        for start, end in itertools.pairwise(starts)
    ]
    amounts = await _by_currency(
        tx, newest.c.currency_iso, sums, newest.c.date >= starts[0]
    )  # fmt: skip
    if not amounts:
        return None
    return money_by_day(_("Money in"), shown, amounts, times, is_figure_today=is_figure_today)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=one) for one in range((last - first).days + 1)]


def _begins(day: date, times: ViewerTime) -> datetime:
    return datetime.combine(day, time(), tzinfo=calendar.zone(times.timezone)).astimezone(UTC)


def _sum_where(condition: ColumnElement[bool], amount: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.sum(case((condition, amount), else_=Decimal(0)))


async def _by_currency(
    tx: Tx,
    currency: ColumnElement[str],
    sums: Sequence[ColumnElement[Any]],
    condition: ColumnElement[bool],
) -> dict[str, Sequence[Decimal]]:
    """The sums of each currency that has any."""
    rows = await tx.execute(select(currency, *sums).where(condition).group_by(currency))
    found = {row[0]: [one or Decimal(0) for one in row[1:]] for row in rows}
    return {name: some for name, some in found.items() if any(some)}


# --- ageing ------------------------------------------------------------------------------------


async def load_ageing(tx: Tx, times: ViewerTime) -> BarChart | None:
    """The amounts left to pay on open invoices, by currency and by the days since they were due."""
    columns = (INVOICES.c.currency_iso, INVOICES.c.amountdue, INVOICES.c.duedate)
    due = (
        select(*columns)
        .where(INVOICES.c.id > 0, INVOICES.c.voided.is_(False), HAS_AMOUNT_DUE)
        .order_by(INVOICES.c.id.desc())
        .limit(AGED_MAX)
        .subquery()
    )
    sums = [_sum_where(one, due.c.amountdue) for one in _ages(due.c.duedate, times.today)]
    amounts = await _by_currency(tx, due.c.currency_iso, sums, due.c.amountdue > 0)
    if not amounts:
        return None
    series = [_aged(currency, amounts[currency]) for currency in sorted(amounts)]
    return bar_chart(_("Ageing"), _("Currency"), series, axis=_AGE_AXIS, columns=_AGE_NAMES)


def _ages(due: ColumnElement[Any], today: date) -> list[ColumnElement[bool]]:
    """A condition for each age, in their order; an invoice without a due date is not due."""
    ends = [today - timedelta(days=age) for age in _AGES]
    starts = [today, *ends]
    between = [(due < start) & (due >= end) for start, end in zip(starts, ends, strict=False)]
    return [due.is_(None) | (due >= today), *between, due < ends[-1]]


def _aged(currency: str, amounts: Sequence[Decimal]) -> ChartSeries:
    cells = [shown_amount(one, currency).number for one in amounts]
    late = shown_amount(sum(amounts[1:], Decimal(0)), currency)
    whole = shown_amount(sum(amounts, Decimal(0)), currency)
    parts = ", ".join(f"{name} {cell}" for name, cell in zip(_AGE_NAMES, cells, strict=True))
    finding = _("%(currency)s by age: %(parts)s", currency=late.currency, parts=parts)
    return ChartSeries(
        late.currency,
        amounts,
        cells,
        late.number,
        _("overdue of %(whole)s", whole=whole.number),
        finding,
    )


# --- success rate ------------------------------------------------------------------------------


async def load_success_rate(tx: Tx, times: ViewerTime) -> BarChart | None:
    """The part of the charges that ended, day by day, which succeeded."""
    newest = (
        select(ATTEMPTS.c.business_day, ATTEMPTS.c.state)
        .order_by(ATTEMPTS.c.id.desc())
        .limit(SUMMED_MAX)
        .subquery()
    )
    days = _days(times.today - timedelta(days=REPORT_DAYS - 1), times.today)
    ended = newest.c.state.in_((AttemptState.SUCCEEDED, AttemptState.DECLINED))
    rows = await tx.execute(
        select(newest.c.business_day, newest.c.state, func.count())
        .where(ended, newest.c.business_day >= days[0])
        .group_by(newest.c.business_day, newest.c.state)
    )
    counts = {(day, state): number for day, state, number in rows}
    if not counts:
        return None
    good = [counts.get((day, AttemptState.SUCCEEDED), 0) for day in days]
    bad = [counts.get((day, AttemptState.DECLINED), 0) for day in days]
    columns = [times.day(day) for day in days]
    return bar_chart(
        _("Success rate"),
        _("Charges"),
        [_rate(good, bad)],
        axis=day_axis(days),
        columns=columns,
        now=len(days) - 1,
    )


def _rate(good: Sequence[int], bad: Sequence[int]) -> ChartSeries:
    pairs = list(zip(good, bad, strict=True))
    rates = [_percent(one, other) for one, other in pairs]
    cells = [
        _("%(rate)s %% of %(number)s", rate=rate, number=one + other) if one + other else _("none")
        for rate, (one, other) in zip(rates, pairs, strict=True)
    ]
    whole = _percent(sum(good), sum(bad))
    charges = ngettext("%(num)s charge", "%(num)s charges", sum(good) + sum(bad))
    finding = _(
        "%(whole)s %% of %(charges)s in %(count)s days succeeded",
        whole=whole,
        charges=charges,
        count=len(good),
    )
    return ChartSeries(
        _("All"),
        rates,
        cells,
        f"{whole} %",
        _("of %(charges)s", charges=charges),
        finding,
        top=Decimal(100),
    )


def _percent(good: int, bad: int) -> Decimal:
    ended = good + bad
    return (Decimal(100 * good) / ended).quantize(Decimal(1)) if ended else Decimal(0)

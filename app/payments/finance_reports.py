"""Finance's reports as tables of plain values: the same for commands, CSV, JSON and the API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.errors import InvalidField
from app.ledger import receivables
from app.ledger.receivables import AGE_NAMES, ReportDay, report_day
from app.payments import charge_results
from app.payments.autopay.charge_calendar import read_calendar
from app.payments.charge_results import SUCCEEDED
from app.rules import money
from app.rules.finance_report import DAYS_MAX, ReportName, ReportRequest
from app.rules.spreadsheet import Cell
from app.settings import Settings
from app.storage.engines import Database


@dataclass(frozen=True, slots=True)
class FinanceReport:
    """Rows of one kind. Columns in `amounts` are amounts of the row's own `currency`.

    `totals` are the same sums by currency, where rows are finer than that.
    """

    name: ReportName
    title: str
    as_of: date
    first: date | None
    columns: tuple[str, ...]
    amounts: frozenset[str]
    rows: Sequence[Sequence[Any]]
    totals: Sequence[Sequence[Any]] = ()
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON; amounts are text in the currency's decimals."""
        return {
            "report": str(self.name),
            "as_of": self.as_of.isoformat(),
            "from": self.first.isoformat() if self.first else None,
            "columns": list(self.columns),
            "rows": [self._record(row, str) for row in self.rows],
            "totals": [self._record(row, str) for row in self.totals],
            "notes": list(self.notes),
        }

    def csv_rows(self) -> list[list[Cell]]:
        """The heading and the rows, without totals, so that a sum of a column counts once."""
        return [
            list(self.columns),
            *(list(self._record(row, Decimal).values()) for row in self.rows),
        ]

    def shown_rows(self, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Rows with amounts as text."""
        return [list(self._record(row, str).values()) for row in rows]

    def _record(self, row: Sequence[Any], kind: Callable[[str], Any]) -> dict[str, Any]:
        record = dict(zip(self.columns, row, strict=True))
        for name in self.amounts:
            if record[name] is not None:
                record[name] = kind(money.text(record[name], record["currency"]))
        return record


async def make_report(
    database: Database, settings: Settings, wanted: ReportRequest, *, now: datetime
) -> FinanceReport:
    """The report, read in one snapshot; `expected` reads the charge calendar besides."""
    if wanted.days is not None and not 1 <= wanted.days <= DAYS_MAX:
        raise InvalidField("days", f"is not 1 to {DAYS_MAX}")
    at = report_day(wanted.day, now=now, timezone=settings.timezone)
    match wanted.name:
        case ReportName.AGEING:
            return await _ageing(database, at, wanted)
        case ReportName.EXPECTED:
            return await _expected(database, settings, at, wanted, now)
        case ReportName.DECLINES:
            return await _declines(database, at, wanted)
        case ReportName.RECOVERED:
            return await _recovered(database, at, wanted)
        case ReportName.DSO:
            return await _dso(database, settings, at, wanted)


async def _ageing(database: Database, at: ReportDay, wanted: ReportRequest) -> FinanceReport:
    async with database.snapshot() as tx:
        found = await receivables.load_ageing(tx, at, client_id=wanted.client_id)
        totals = await receivables.load_ageing_totals(tx, at, client_id=wanted.client_id)
    notes = []
    if len(found) == receivables.CLIENTS_MAX:
        notes.append(f"the {receivables.CLIENTS_MAX} clients who owe most; totals are of all")
    return FinanceReport(
        ReportName.AGEING, "Ageing", at.day, None,
        ("client_id", "client_name", "currency", *AGE_NAMES, "total"),
        frozenset({*AGE_NAMES, "total"}),
        [(one.client_id, one.client_name, one.currency, *one.amounts, one.total) for one in found],
        [(None, None, one.currency, *one.amounts, one.total) for one in totals],
        notes,
    )  # fmt: skip


async def _expected(
    database: Database, settings: Settings, at: ReportDay, wanted: ReportRequest, now: datetime
) -> FinanceReport:
    days = wanted.span
    async with database.snapshot() as tx:
        due = {one.currency: one for one in await receivables.load_falling_due(tx, at, days)}
    charged: dict[str, Decimal] = {}
    waiting: dict[str, Decimal] = {}
    notes = []
    is_today = at.ends_at is None and wanted.day in (None, at.day)
    if is_today:
        found = await read_calendar(database, settings, now=now, days=days)
        for key, entry in found.in_order():
            sums = charged if key.day is not None else waiting
            sums[key.currency] = sums.get(key.currency, Decimal(0)) + entry.amount
        if not found.is_complete:
            notes.append(f"autopay's part is of the first {found.looked_at} invoices")
    else:
        notes.append("autopay's part is known of today only")
    zero = Decimal(0)
    rows = []
    for currency in sorted({*due, *charged, *waiting}):
        one = due.get(currency) or receivables.FallingDue(currency, zero, zero, zero)
        autopay = (charged.get(currency, zero), waiting.get(currency, zero))
        rows.append(
            (currency, one.overdue, one.within, one.later, *(autopay if is_today else (None, None)))
        )
    names = ("overdue", "falls_due", "later", "autopay_charges", "awaits_approval")
    return FinanceReport(
        ReportName.EXPECTED, f"Expected within {days} days", at.day + timedelta(days=days), at.day,
        ("currency", *names), frozenset(names), rows, (), notes,
    )  # fmt: skip


async def _declines(database: Database, at: ReportDay, wanted: ReportRequest) -> FinanceReport:
    first = _first(at, wanted)
    async with database.snapshot() as tx:
        found = await charge_results.load_results(tx, first, at.day)
    ended: dict[tuple[str, str], int] = {}
    for one in found:
        key = (one.currency, one.method)
        ended[key] = ended.get(key, 0) + one.charges
    rows = [
        (one.method, one.currency, one.reason, one.charges,
         _percent(one.charges, ended[one.currency, one.method]), one.amount)
        for one in found
    ]  # fmt: skip
    totals = [_success(currency, found) for currency in sorted({one.currency for one in found})]
    return FinanceReport(
        ReportName.DECLINES, "Charges by method and reason", at.day, first,
        ("method", "currency", "reason", "charges", "percent", "amount"), frozenset({"amount"}),
        rows, totals,
    )  # fmt: skip


def _success(currency: str, found: Sequence[charge_results.ChargeResult]) -> Sequence[Any]:
    """All methods together: how many of the charges succeeded."""
    of_currency = [one for one in found if one.currency == currency]
    good = [one for one in of_currency if one.reason == SUCCEEDED]
    count = sum(one.charges for one in good)
    return (
        "all", currency, SUCCEEDED, count, _percent(count, sum(one.charges for one in of_currency)),
        sum((one.amount for one in good), Decimal(0)),
    )  # fmt: skip


async def _recovered(database: Database, at: ReportDay, wanted: ReportRequest) -> FinanceReport:
    first = _first(at, wanted)
    async with database.snapshot() as tx:
        found = await charge_results.load_recoveries(tx, first, at.day)
    names = charge_results.Recovery._fields
    amounts = frozenset(one for one in names if one.endswith("_amount"))
    rows = [(*one, _percent(one.recovered, one.declined)) for one in found]
    return FinanceReport(
        ReportName.RECOVERED, "First declines, and what became of them", at.day, first,
        (*names, "recovered_percent"), amounts, rows,
    )  # fmt: skip


async def _dso(
    database: Database, settings: Settings, at: ReportDay, wanted: ReportRequest
) -> FinanceReport:
    days = wanted.span
    async with database.snapshot() as tx:
        found = await receivables.load_sales_outstanding(tx, at, days, timezone=settings.timezone)
    rows = [
        (one.currency, one.receivable, one.sales, days, _days_outstanding(one, days))
        for one in found
    ]
    return FinanceReport(
        ReportName.DSO, "Days sales outstanding", at.day, _first(at, wanted),
        ("currency", "receivable", "sales", "days", "days_sales_outstanding"),
        frozenset({"receivable", "sales"}), rows,
    )  # fmt: skip


def _days_outstanding(one: receivables.SalesOutstanding, days: int) -> str | None:
    """Receivable by sales, times the days; of no sales there is none."""
    if one.sales <= 0:
        return None
    return f"{(one.receivable * days / one.sales).quantize(Decimal('0.1'))}"


def _first(at: ReportDay, wanted: ReportRequest) -> date:
    return at.day - timedelta(days=wanted.span - 1)


def _percent(part: int, whole: int) -> str | None:
    if not whole:
        return None
    return f"{(Decimal(100 * part) / whole).quantize(Decimal('0.1'))}"

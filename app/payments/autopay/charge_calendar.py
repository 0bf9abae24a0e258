"""The calendar of coming charges: what autopay takes on each day, by client and currency.

Each invoice is judged by the function that answers why it is charged or not. Invoices that a
template will make are not in it: there is nothing to charge yet.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import select

from app.payments.autopay import candidates
from app.payments.autopay.candidates import CLIENTS, Candidate, Position
from app.payments.autopay.due_pages import ReadPage
from app.payments.autopay.eligibility import is_taken
from app.payments.autopay.ruling import Policies, horizon
from app.payments.autopay.why import ChargeForecast, forecast_page
from app.rules import calendar, money
from app.settings import Settings
from app.storage.engines import Database, Tx
from app.storage.prepared import PreparedStatement, any_of

# Two months are what people plan for.
DAYS = 60
# Invoices that are looked at, each for a tenth of a millisecond; more make the calendar incomplete.
LOOKED_AT_MAX = 10_000
# Invoices that an entry names; all of them are counted and summed.
NAMED_MAX = 20


class DayOfClient(NamedTuple):
    """The key of an entry. Without a day the charges wait for a person's approval."""

    day: date | None
    client_id: int | None
    currency: str


@dataclass(slots=True)
class CalendarEntry:
    """All charges of a client in a currency on a day, or that wait for an approval."""

    client_name: str | None
    amount: Decimal = Decimal(0)
    count: int = 0
    invoice_ids: list[int] = field(default_factory=list)

    def add(self, one: Candidate) -> None:
        self.amount += one.amount
        self.count += 1
        if len(self.invoice_ids) < NAMED_MAX:
            self.invoice_ids.append(one.invoice_id)


@dataclass(slots=True)
class ChargeCalendar:
    """Coming charges from `first` to `last`, both included, and those that wait for a person."""

    first: date
    last: date
    entries: dict[DayOfClient, CalendarEntry] = field(default_factory=dict)
    looked_at: int = 0
    # Whether every invoice was looked at.
    is_complete: bool = True

    def add(self, found: ChargeForecast, client_name: str | None) -> None:
        """Count one forecast, unless it is of no charge in these days."""
        one, day = found.one, found.charge_on
        is_waiting = found.skip is not None and found.skip.needs_approval
        if day is None and not is_waiting:
            return
        if day is not None and day > self.last:
            return
        key = DayOfClient(day, one.client_id, one.currency)
        self.entries.setdefault(key, CalendarEntry(client_name)).add(one)

    def in_order(self) -> list[tuple[DayOfClient, CalendarEntry]]:
        """By day, client and currency; what waits for an approval comes last."""
        return sorted(
            self.entries.items(),
            key=lambda entry: (
                entry[0].day or date.max,
                entry[0].client_id or 0,
                entry[0].currency,
            ),
        )

    def totals(self) -> dict[str, Decimal]:
        """The sums of what is charged in these days, by currency."""
        found: dict[str, Decimal] = {}
        for key, entry in self.in_order():
            if key.day is not None:
                found[key.currency] = found.get(key.currency, Decimal(0)) + entry.amount
        return found

    def as_dict(self) -> dict[str, Any]:
        """The calendar as JSON."""
        shown = [(key, _entry_as_dict(key, entry)) for key, entry in self.in_order()]
        return {
            "from": self.first.isoformat(),
            "until": self.last.isoformat(),
            "looked_at": self.looked_at,
            "is_complete": self.is_complete,
            "totals": {one: money.text(amount, one) for one, amount in self.totals().items()},
            "charges": [said for key, said in shown if key.day is not None],
            "awaiting_approval": [said for key, said in shown if key.day is None],
        }


def _entry_as_dict(key: DayOfClient, entry: CalendarEntry) -> dict[str, Any]:
    return {
        "date": key.day.isoformat() if key.day else None,
        "client_id": key.client_id,
        "client_name": entry.client_name,
        "amount": money.text(entry.amount, key.currency),
        "currency": key.currency,
        "count": entry.count,
        "invoice_ids": entry.invoice_ids,
    }


async def read_calendar(
    database: Database,
    settings: Settings,
    *,
    now: datetime,
    days: int = DAYS,
    client_id: int | None = None,
    looked_at_max: int = LOOKED_AT_MAX,
) -> ChargeCalendar:
    """The charges of the coming days, of all clients or of one, page by page in snapshots."""
    policies = Policies(settings)
    async with database.snapshot() as tx:
        policy = await policies.load(tx)
    first = calendar.business_day(now, settings.timezone)
    found = ChargeCalendar(first, first + timedelta(days=days))
    until = horizon(policy, found.last)
    for read in _reads(client_id, unflagged=policy.book.takes_unflagged):
        async for names, forecasts in _pages(database, settings, policies, read, until, now):
            if found.looked_at >= looked_at_max:
                found.is_complete = False
                return found
            found.looked_at += len(forecasts)
            for one in forecasts:
                found.add(one, names.get(one.one.client_id or 0))
    return found


def _reads(client_id: int | None, *, unflagged: bool) -> list[ReadPage]:
    if client_id is not None:
        return [partial(candidates.list_due_of_client, client_id=client_id, unflagged=unflagged)]
    flags = (True, False) if unflagged else (True,)
    return [partial(candidates.list_due, flagged=flag) for flag in flags]


async def _pages(
    database: Database,
    settings: Settings,
    policies: Policies,
    read: ReadPage,
    until: date,
    now: datetime,
) -> AsyncIterator[tuple[dict[int, str], list[ChargeForecast]]]:
    after: Position | None = None
    while True:
        async with database.snapshot() as tx:
            listed = await read(tx, until, after)
            ruled = await policies.rule(tx, listed, now=now, day=None)
            taken = [one for one in ruled if is_taken(one)]
            yield await _client_names(tx, taken), await forecast_page(tx, taken, settings, now=now)
        if len(listed) < candidates.PAGE:
            return
        after = candidates.position(listed[-1])


class _ClientName(NamedTuple):
    id: int
    name: str


_NAMES = PreparedStatement(
    select(CLIENTS.c.id, CLIENTS.c.name).where(any_of(CLIENTS.c.id, "ids")), _ClientName
)


async def _client_names(tx: Tx, page: Sequence[Candidate]) -> dict[int, str]:
    ids = {one.client_id for one in page if one.client_id is not None}
    return {row.id: row.name for row in await _NAMES.all(tx, ids=sorted(ids))}

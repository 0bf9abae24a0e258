"""Years of templates: missed days, overlapping and killed runs, deletions, dates set back, edits.

    python -m tests.simulation.recurring_years --templates 1000 --years 5     on SQLite, or on the
                                                                              --database-url

In the end every period of every template has exactly one invoice, and so has every one-time charge.
The periods are counted here by another way than app/rules/schedule.py counts them.
"""

import argparse
import asyncio
import calendar
import contextlib
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select

from app.errors import AppError, Unavailable
from app.ledger import invoicing, recurring, void_and_delete
from app.ledger.recurring_run import RecurringRun
from app.rules.home import Home
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice, InvoiceLine

HOME = Home("usd", "UTC")
INVOICES, LINES, CLIENTS = table_of(Invoice), table_of(InvoiceLine), table_of(Client)
FIRST_DAY = date(2024, 1, 1)
ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Sydney", "Asia/Kathmandu")
# HaloPSA's codes of `period`, in months; a week has 0.
MONTHS: Mapping[int, int] = {1: 0, 2: 1, 4: 3, 5: 6, 3: 12}
ANCHORS = (date(2024, 1, 31), date(2024, 2, 29), date(2024, 1, 1), date(2024, 3, 30))


@dataclass(frozen=True)
class Terms:
    """A template as it was made: what it has to bill follows from nothing else."""

    id: int
    zone: str
    period: int
    anchor: date
    ends_on: date | None
    once_from: date

    def periods(self, until: date) -> Iterator[date]:
        for number in range(10_000):
            first = self._occurrence(number)
            if first > until or (self.ends_on is not None and first > self.ends_on):
                return
            yield first

    def _occurrence(self, number: int) -> date:
        if not MONTHS[self.period]:
            return self.anchor + timedelta(weeks=number)
        year, month = self.anchor.year, self.anchor.month
        for _ in range(MONTHS[self.period] * number):
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return date(year, month, min(self.anchor.day, calendar.monthrange(year, month)[1]))

    def midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=ZoneInfo(self.zone)).astimezone(UTC)


@dataclass
class Years:
    """The database and its clock, while the years pass."""

    database: Database
    chance: random.Random
    now: datetime = field(default_factory=lambda: datetime.combine(FIRST_DAY, time(3), tzinfo=UTC))
    acts: Counter[str] = field(default_factory=Counter)

    def run(self) -> RecurringRun:
        return RecurringRun(self.database, HOME, lambda: self.now, asyncio.Event())

    async def make_templates(self, count: int) -> list[Terms]:
        async with self.database.transaction() as tx:
            rows = [{"name": zone, "timezone": zone} for zone in ZONES]
            clients = list(await tx.scalars(insert(CLIENTS).returning(CLIENTS.c.id), rows))
        found: list[Terms] = []
        while len(found) < count:
            given = [self._terms() for _ in range(min(100, count - len(found)))]
            records = [self._record(one, clients) for one in given]
            async with self.database.transaction() as tx:
                ids = await invoicing.save_templates(
                    tx, records, now=self.now, who="years", home=HOME
                )
            found += [Terms(one, *values) for one, values in zip(ids, given, strict=True)]
        return found

    def _terms(self) -> tuple[str, int, date, date | None, date]:
        anchor = self.chance.choice(ANCHORS)
        ends_on = self.chance.choice([None, anchor + timedelta(days=self.chance.randrange(900))])
        once_from = anchor + timedelta(days=self.chance.randrange(400))
        return (
            self.chance.choice(ZONES), self.chance.choice(list(MONTHS)), anchor, ends_on, once_from,
        )  # fmt: skip

    def _record(
        self, given: tuple[str, int, date, date | None, date], clients: Sequence[int]
    ) -> dict[str, Any]:
        one = Terms(0, *given)
        ends = {} if one.ends_on is None else {"enddate": one.midnight(one.ends_on)}
        once = {
            "unit_price": Decimal(7),
            "onetimecharge": True,
            "startdate": one.midnight(one.once_from),
        }
        return {
            "client_id": clients[ZONES.index(one.zone)],
            "period": one.period,
            "nextcreationdate": one.midnight(one.anchor),
            "lines": [{"unit_price": Decimal(10)}, once],
            **ends,
        }

    # --- a day ---------------------------------------------------------------------------------

    async def pass_day(self, templates: Sequence[Terms]) -> None:
        self.now += timedelta(days=self.chance.choice([1, 1, 2, 3, 9, 40]), hours=1)
        await self._disturb(templates)
        with contextlib.suppress(Unavailable):  # a busy machine ends a run as a kill does
            match self.chance.randrange(4):
                case 0:
                    self.acts["overlapping"] += 1
                    await asyncio.gather(self.run().run(), self.run().run())
                case 1:
                    self.acts["killed"] += 1
                    await self._killed()
                case _:
                    await self.run().run()

    async def _killed(self) -> None:
        """A run that is cancelled wherever it happens to be."""
        work = asyncio.create_task(self.run().run())
        for _ in range(self.chance.randrange(400)):
            await asyncio.sleep(0)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    async def _disturb(self, templates: Sequence[Terms]) -> None:
        for _ in range(max(len(templates) // 20, 2)):
            one = self.chance.choice(templates)
            act = self.chance.choice([self._delete, self._set_back, self._edit, self._process])
            with contextlib.suppress(AppError):  # it has ended, or has billed nothing yet
                await act(one)
                self.acts[act.__name__] += 1

    async def _delete(self, one: Terms) -> None:
        """One of the last year: a period of more than two years ago waits for a person."""
        recent = INVOICES.c.made_for > self.now.date() - timedelta(days=365)
        async with self.database.transaction() as tx:
            made = list(
                await tx.scalars(
                    select(INVOICES.c.id).where(INVOICES.c.recurring_invoice_id == one.id, recent)
                )
            )
            if made:
                await void_and_delete.delete_invoice(
                    tx, self.chance.choice(made), now=self.now, who="years", home=HOME
                )

    async def _set_back(self, one: Terms) -> None:
        """Never forward: a person who skips a period that way means it."""
        async with self.database.snapshot() as tx:
            next_at = await tx.scalar(
                select(INVOICES.c.nextcreationdate).where(INVOICES.c.id == one.id)
            )
        assert isinstance(next_at, datetime)
        known = [day for day in one.periods(self.now.date()) if one.midnight(day) <= next_at]
        if known:
            await self._save(
                {"id": one.id, "nextcreationdate": one.midnight(self.chance.choice(known))}
            )

    async def _edit(self, one: Terms) -> None:
        await self._save({"id": one.id, "reference": str(self.chance.random())})

    async def _process(self, one: Terms) -> None:
        async with self.database.transaction() as tx:
            await recurring.process(tx, [one.id], force=False, now=self.now, who="years", home=HOME)

    async def _save(self, record: Mapping[str, Any]) -> None:
        async with self.database.transaction() as tx:
            await invoicing.save_templates(tx, [record], now=self.now, who="years", home=HOME)

    # --- the judgement -------------------------------------------------------------------------

    async def judge(self, templates: Sequence[Terms]) -> int:
        """Every period once, every one-time charge once; answers the number of invoices."""
        await self.run().run()
        async with self.database.snapshot() as tx:
            periods = select(INVOICES.c.recurring_invoice_id, INVOICES.c.made_for)
            found = await tx.execute(periods.where(INVOICES.c.id > 0))
            made: defaultdict[int, Counter[date]] = defaultdict(Counter)
            for one, day in found:
                made[one][day] += 1
            once = select(INVOICES.c.recurring_invoice_id).join(
                LINES, LINES.c.ihid == INVOICES.c.id
            )
            charged = Counter(
                await tx.scalars(once.where(INVOICES.c.id > 0, LINES.c.onetimecharge.is_(True)))
            )
        for one in templates:
            today = self.now.astimezone(ZoneInfo(one.zone)).date()
            due = list(one.periods(today))
            assert made[one.id] == Counter(due), f"{one}: {made[one.id]}"
            is_charged = any(day >= one.once_from for day in due)
            assert charged[one.id] == int(is_charged), f"{one}: charged {charged[one.id]} times"
        return sum(one.total() for one in made.values())


async def play(database: Database, *, templates: int, years: float, seed: int) -> Years:
    """Let the years pass, and judge what they leave behind; AssertionError where it is wrong."""
    played = Years(database, random.Random(seed))
    made = await played.make_templates(templates)
    until = played.now + timedelta(days=365 * years)
    while played.now < until:
        await played.pass_day(made)
    played.acts["invoices"] = await played.judge(made)
    return played


async def _main(templates: int, years: float, seed: int, url: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(url or f"sqlite:///{Path(folder) / 'years.db'}")
        await schema.upgrade(database)
        played = await play(database, templates=templates, years=years, seed=seed)
        await database.close()
    print(dict(played.acts))  # noqa: T201  a command of ours


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--templates", type=int, default=1_000)
    options.add_argument("--years", type=float, default=5)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--database-url", help="an empty database; a SQLite file unless given")
    asked = options.parse_args()
    asyncio.run(_main(asked.templates, asked.years, asked.seed, asked.database_url))

"""How long do a hundred rules take to decide about a million invoices, and how much memory?

    python -m tests.bench.rules                   exit 1 when it takes longer or needs more
    python -m tests.bench.rules --database        facts read from a SQLite database as well

By itself it measures the decision alone, of facts that are made one by one. `--database` fills a
database first and previews a change of rules, which reads every fact page by page; that is not
held to the limit, for it measures the disk too.
"""

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time as time_, timedelta
from decimal import Decimal
from itertools import islice

from sqlalchemy import insert

from app.ledger.rule_preview import preview
from app.node import open_database
from app.rules.autopay_rule import (
    ChargeDay,
    Rule,
    RuleAction,
    RuleBook,
    RuleConditions,
    RuleFacts,
)
from app.rules.bank_holidays import DayMove
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice
from tests.harness import NO_STRIPE, settings_for

INVOICES = 1_000_000
RULES = 100
SECONDS_MAX = 60.0
# Above that of the first page.
GROWTH_MAX_MB = 50.0
TODAY = date(2026, 11, 27)
PAGE = 500
CHUNK = 20_000
CLIENTS = 1000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--invoices", type=int, default=INVOICES)
    options.add_argument("--database", action="store_true")
    given = options.parse_args()
    seconds, growth = decided(given.invoices)
    holds = seconds <= SECONDS_MAX and growth <= GROWTH_MAX_MB
    print(
        f"{given.invoices} invoices, {RULES} rules: {seconds:.1f} s (at most {SECONDS_MAX:g}), "
        f"{growth:.1f} MB more (at most {GROWTH_MAX_MB:g}): {'holds' if holds else 'BROKEN'}"
    )
    if given.database:
        asyncio.run(previewed(given.invoices))
    sys.exit(not holds)


def decided(count: int) -> tuple[float, float]:
    """Seconds of the decisions alone, and megabytes beyond those of the first page."""
    book = RuleBook(list(rules()))
    met: Counter[str | None] = Counter()
    made, seconds, before = invoices(count), 0.0, 0.0
    while page := list(islice(made, PAGE)):
        began = time.perf_counter()
        decisions = [book.decide(facts, TODAY) for facts in page]
        seconds += time.perf_counter() - began
        met.update(one.rule_name for one in decisions)
        before = before or memory_mb()
    assert len(met) > RULES / 2, "the rules differ in what they are met by"
    return seconds, memory_mb() - before


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rules() -> Iterator[Rule]:
    """Rules of all kinds, of which most invoices meet one of the last."""
    chance = random.Random(1)
    for number in range(RULES):
        kinds = [
            {"client_id": chance.randrange(CLIENTS)},
            {"contract_id": chance.randrange(200), "currency": "usd"},
            {"item_code": f"item-{chance.randrange(300)}*"},
            {"order_number": f"PO-{chance.randrange(300)}"},
            {"property_name": "tier", "property_value": str(chance.randrange(40))},
            {"amount_from": Decimal(chance.randrange(9000)), "billingcategory": number % 9},
            {"age_from": chance.randrange(300), "sitenumber": chance.randrange(50)},
        ]
        yield Rule(
            id=number,
            name=f"rule {number}",
            action=chance.choice(list(RuleAction)),
            conditions=RuleConditions(**chance.choice(kinds)),
            day=ChargeDay(days=number % 5, move=DayMove.FORWARD, holidays="DE"),
        )


def invoices(count: int) -> Iterator[RuleFacts]:
    chance = random.Random(2)
    for number in range(count):
        yield RuleFacts(
            invoice_id=number,
            amount=Decimal(chance.randrange(1_000_000)).scaleb(-2),
            currency=chance.choice(("usd", "eur")),
            duedate=TODAY + timedelta(days=number % 60 - 30),
            invoice_date=TODAY - timedelta(days=number % 400),
            client_id=chance.randrange(CLIENTS),
            contract_id=chance.randrange(200),
            sitenumber=chance.randrange(50),
            billingcategory=number % 11,
            order_number=f"po-{chance.randrange(3000)}",
            item_codes=frozenset((f"item-{chance.randrange(3000)}", "support")),
            properties={"tier": str(chance.randrange(400))},
        )


async def previewed(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(f"sqlite:///{folder}/bench.db", NO_STRIPE)
        async with open_database(settings, create=True) as database:
            await schema.upgrade(database)
            await filled(database, count)
            before = memory_mb()
            began = time.perf_counter()
            found = await preview(
                database, RuleBook(), RuleBook(list(rules())), now=datetime.now(UTC), timezone="UTC"
            )
            seconds = time.perf_counter() - began
    print(
        f"{found.looked_at} open invoices previewed from SQLite in {seconds:.1f} s, "
        f"{memory_mb() - before:.1f} MB more"
    )


async def filled(database: Database, count: int) -> None:
    async with database.transaction() as tx:
        names = [{"id": number + 1, "name": f"Client {number}"} for number in range(CLIENTS)]
        await tx.execute(insert(table_of(Client)), names)
    rows = []
    for one in invoices(count):
        rows.append(
            {
                "client_id": (one.client_id or 0) + 1,
                "invoice_date": datetime.combine(one.invoice_date or TODAY, time_.min, UTC),
                "total": one.amount + 1,
                "amountdue": one.amount + 1,
                "take_auto_payment": one.invoice_id % 2 == 0,
                "extra": {"customfields": [{"name": "tier", "value": one.properties["tier"]}]},
                **{
                    name: getattr(one, name)
                    for name in (
                        "duedate", "contract_id", "sitenumber", "billingcategory", "order_number",
                    )
                },
            }
        )  # fmt: skip
        if len(rows) == CHUNK:
            async with database.transaction() as tx:
                await tx.execute(insert(table_of(Invoice)), rows)
            rows = []
    if rows:
        async with database.transaction() as tx:
            await tx.execute(insert(table_of(Invoice)), rows)


if __name__ == "__main__":
    main()

"""Finance's reports say what invoices, payments and the journal say, and mix no currencies."""

import csv
import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.ledger import receivables
from app.ledger.journal_lines import ENTRIES
from app.ledger.receivables import AGE_NAMES, report_day
from app.rules import money
from app.rules.double_entry import EntryKind
from tests.harness import ATTEMPTS, INVOICES, Paydue, today
from tests.ledger_acts import STARTED, LedgerActs, RandomActs
from tests.test_cli import MISUSED, Command, command

pytestmark = pytest.mark.anyio

DAY = STARTED.date()
ZERO = Decimal(0)
AGES = (None, 5, 0, -1, -30, -31, -60, -61, -90, -91, -400)


async def get(paydue: Paydue, path: str, *scopes: str) -> tuple[int, Any]:
    headers = await paydue.access(*scopes)
    async with paydue.http.get(f"/api/Report/{path}", headers=headers) as answer:
        return answer.status, await answer.json()


@pytest.fixture
def run(database_url: str, stripe_url: str, tmp_path: Path) -> Command:
    return command(tmp_path, stripe_url).having(
        PAYDUE_DATABASE_URL=database_url, COLUMNS="200", TERM="dumb"
    )


def age_of(due: date | None, day: date) -> str:
    late = (day - due).days if due else 0
    if late <= 0:
        return AGE_NAMES[0]
    return next((name for most, name in zip((30, 60, 90), AGE_NAMES[1:], strict=False)
                 if late <= most), AGE_NAMES[-1])  # fmt: skip


async def give_due_dates(
    paydue: Paydue, chance: random.Random
) -> dict[tuple[int | None, str, str], Decimal]:
    """All invoices get some due date; answers what is owed by client, currency and age."""
    for one in await paydue.rows(INVOICES, INVOICES.c.id > 0):
        days = chance.choice(AGES)
        due = None if days is None else DAY + timedelta(days=days)
        async with paydue.database.transaction() as tx:
            await tx.execute(update(INVOICES).where(INVOICES.c.id == one.id).values(duedate=due))
    owed: dict[tuple[int | None, str, str], Decimal] = defaultdict(Decimal)
    for one in await paydue.rows(INVOICES, INVOICES.c.amountdue > 0):
        if not one.voided and one.invoicetype == 0 and not one.is_recurring_invoice:
            owed[one.client_id, one.currency_iso, age_of(one.duedate, DAY)] += one.amountdue
    return owed


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_acts_the_ages_add_up_to_invoices_and_to_the_journal(
    paydue: Paydue, seed: int
) -> None:
    chance, acts = random.Random(seed), RandomActs(paydue.database, seed)
    await acts.begin()
    for _ in range(40):
        await acts.act()
    owed = await give_due_dates(paydue, chance)

    async with paydue.database.snapshot() as tx:
        now = report_day(None, now=STARTED, timezone="UTC")
        then = report_day(DAY, now=STARTED + timedelta(days=3), timezone="UTC")
        before = report_day(DAY - timedelta(days=1), now=STARTED, timezone="UTC")
        lists = [await receivables.load_ageing(tx, one) for one in (now, then, before)]
        totals = await receivables.load_ageing_totals(tx, now)
        falling = await receivables.load_falling_due(tx, now, 30)
        outstanding = await receivables.load_sales_outstanding(tx, then, 90, timezone="UTC")

    found = {
        (one.client_id, one.currency, name): amount
        for one in lists[0]
        for name, amount in zip(AGE_NAMES, one.amounts, strict=True)
        if amount
    }
    assert owed, acts.done
    assert (now.ends_at, then.day) == (None, DAY)
    assert found == owed
    assert lists[1] == lists[0], "the journal of that day says the same"
    assert lists[2] == []
    by_currency: dict[str, Decimal] = defaultdict(Decimal)
    for (_, currency, _), amount in owed.items():
        by_currency[currency] += amount
    assert {one.currency: one.total for one in totals} == by_currency
    parts = {one.currency: one.overdue + one.within + one.later for one in falling}
    assert parts == by_currency
    overdue = {one.currency: sum(one.amounts[1:], ZERO) for one in totals}
    assert {one.currency: one.overdue for one in falling} == overdue
    assert {one.currency: one.receivable for one in outstanding if one.receivable} == by_currency


async def test_a_day_that_is_over_keeps_what_was_owed_then(paydue: Paydue) -> None:
    acts = LedgerActs(paydue.database)
    client_id = await acts.client()
    invoice = await acts.invoice(100, client_id=client_id)
    await acts.pay_by_hand(invoice, 60)
    async with paydue.database.transaction() as tx:
        is_paid = ENTRIES.c.kind == EntryKind.HAND_PAYMENT
        await tx.execute(update(ENTRIES).where(is_paid).values(at=STARTED + timedelta(days=2)))

    totals = [
        (await get(paydue, f"Ageing?as_of={DAY + timedelta(days=one)}"))[1]["totals"]
        for one in (-1, 0, 1, 2)
    ]
    _, now = await get(paydue, "Ageing")
    _, of_other = await get(paydue, f"Ageing?client_id={client_id + 1}")

    assert [[row["total"] for row in one] for one in totals] == [[], ["100.00"], ["100.00"],
                                                                ["40.00"]]  # fmt: skip
    assert [row["total"] for row in now["totals"]] == ["40.00"]
    assert of_other["rows"] == of_other["totals"] == []


async def test_commands_files_and_the_api_say_the_same_and_no_name_is_a_formula(
    paydue: Paydue, run: Command
) -> None:
    client_id = await paydue.a_client(name="=HYPERLINK(1)")
    late, soon = today() - timedelta(days=45), today() + timedelta(days=10)
    await paydue.an_invoice("10.50", client=client_id, due=late, take_auto_payment=False)
    await paydue.an_invoice("7", client=client_id, due=soon, currency_iso="jpy")
    await paydue.an_invoice("3.125", client=client_id, due=late, currency_iso="bhd")

    _, api = await get(paydue, "Ageing")
    said = (await run("reports", "ageing", "--json")).json()
    file = list(csv.DictReader((await run("reports", "ageing", "--csv")).out.splitlines()))
    shown = await run("reports", "ageing")
    both = await run("reports", "ageing", "--json", "--csv")
    _, expected = await get(paydue, "Expected?days=30")

    assert api == said
    rows = {row["currency"]: row for row in api["rows"]}
    assert {one: row["total"] for one, row in rows.items()} == {
        "bhd": "3.125", "jpy": "7", "usd": "10.50"
    }  # fmt: skip
    assert (rows["usd"]["days_31_60"], rows["jpy"]["not_due"]) == ("10.50", "7")
    assert [row["client_name"] for row in file] == ["'=HYPERLINK(1)"] * 3
    assert [row["total"] for row in file] == ["3.125", "7", "10.50"]
    assert "All together" in shown.out
    assert both.code == MISUSED
    money_due = {row["currency"]: row for row in expected["rows"]}
    assert (money_due["usd"]["overdue"], money_due["jpy"]["falls_due"]) == ("10.50", "7")
    assert money_due["jpy"]["autopay_charges"] == "7"
    assert money_due["usd"]["autopay_charges"] == "0.00"


async def ended(paydue: Paydue) -> dict[str, tuple[int, Decimal]]:
    """Count and amount of the attempts, by the reason."""
    found: dict[str, tuple[int, Decimal]] = {}
    for one in await paydue.rows(ATTEMPTS, ATTEMPTS.c.id > 0):
        reason = "succeeded" if one.state == "succeeded" else one.decline_code
        count, amount = found.get(reason, (0, ZERO))
        found[reason] = count + 1, amount + money.from_minor(one.amount_minor, one.currency)
    return found


async def test_declines_are_counted_by_method_and_reason_and_what_became_of_them(
    paydue: Paydue, run: Command
) -> None:
    good = await paydue.an_invoice("100")
    saved = await paydue.an_invoice(
        "20", client=await paydue.a_client(["insufficient_funds", "succeed"])
    )
    lost, by_hand = [
        await paydue.an_invoice(amount, client=await paydue.a_client("insufficient_funds"))
        for amount in ("30", "40")
    ]
    await paydue.autopay()
    body = [{"invoice_id": by_hand, "amount": 40}]
    async with paydue.http.post(
        "/api/InvoicePayment", json=body, headers=await paydue.access()
    ) as answer:
        assert answer.status == 200
    later = today() + timedelta(days=20)
    await paydue.autopay(later)
    last = later.isoformat()

    _, declines = await get(paydue, f"Declines?as_of={last}")
    _, recovered = await get(paydue, f"Recovered?as_of={last}")
    listed = (await run("reports", "recovered", "--on", last, "--json")).json()
    sums = {
        reason: tuple(
            sum(Decimal(row[name]) for row in declines["rows"] if row["reason"] == reason)
            for name in ("charges", "amount")
        )
        for reason in {row["reason"] for row in declines["rows"]}
    }

    assert sums == await ended(paydue)
    assert sums["succeeded"] == (2, Decimal(120))
    assert listed == recovered
    (row,) = recovered["rows"]
    assert (row["declined"], row["recovered"], row["settled"], row["open"]) == (3, 1, 1, 1)
    assert (row["recovered_amount"], row["settled_amount"], row["open_amount"]) == (
        "20.00", "40.00", "30.00"
    )  # fmt: skip
    assert row["declined_amount"] == "90.00"
    assert row["recovered_percent"] == "33.3"
    assert {good, saved, lost} == {
        one.invoice_id for one in await paydue.rows(ATTEMPTS, ATTEMPTS.c.id > 0)
    } - {by_hand}


async def test_days_sales_outstanding_are_receivables_by_sales(paydue: Paydue) -> None:
    acts = LedgerActs(paydue.database)
    invoices = [await acts.invoice(100, client_id=await acts.client()) for _ in range(3)]
    await acts.pay_by_hand(invoices[0], 100)
    await acts.void(invoices[1])

    _, found = await get(paydue, f"DaysSalesOutstanding?as_of={DAY}&days=90")
    _, none = await get(paydue, f"DaysSalesOutstanding?as_of={DAY + timedelta(days=400)}&days=90")

    assert [list(row.values()) for row in found["rows"]] == [
        ["usd", "100.00", "200.00", 90, "45.0"]
    ]
    assert found["from"] == (DAY - timedelta(days=89)).isoformat()
    assert none["rows"][0]["days_sales_outstanding"] is None


@pytest.mark.parametrize("query", ["as_of=yesterday", "days=0", "days=367"])
async def test_nonsense_is_refused_by_its_name(paydue: Paydue, query: str) -> None:
    status, said = await get(paydue, f"Declines?{query}")

    assert status == 400
    assert query.partition("=")[0] in str(said)
    assert (await get(paydue, "Declines", "read:customers"))[0] == 403


def test_the_day_ends_where_the_business_is() -> None:
    now = datetime(2026, 11, 27, 20, 30, tzinfo=UTC)

    tokyo = report_day(date(2026, 11, 27), now=now, timezone="Asia/Tokyo")
    here = report_day(date(2026, 11, 27), now=now, timezone="UTC")

    assert tokyo.ends_at == datetime(2026, 11, 27, 15, tzinfo=UTC)
    assert here.ends_at is None


async def test_a_charge_that_succeeded_is_counted_under_its_card(paydue: Paydue) -> None:
    await paydue.an_invoice()
    await paydue.autopay()

    _, report = await get(paydue, "Declines")

    assert [(one["method"], one["reason"]) for one in report["rows"]] == [("visa", "succeeded")]

"""The journal: each movement of money is in it, and `paydue check` finds whatever is not."""

import csv
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from sqlalchemy import insert, select, update

from app.ledger import journal_check, journal_lines
from app.rules.claim import Evidence
from app.rules.double_entry import Account
from app.rules.payment import PaymentState
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.tables.journal_entries import JournalEntry, JournalLine
from app.storage.tables.stripe_payouts import BalanceTransaction
from tests.balance import StripeBalance
from tests.harness import INTENTS, INVOICES, PAYMENTS, Paydue, settings_for
from tests.ledger_acts import CREDIT_NOTE, STARTED, LedgerActs, RandomActs
from tests.test_cli import DONE, FAILED, MISUSED, Command, command

pytestmark = pytest.mark.anyio

ENTRIES = table_of(JournalEntry)
LINES = table_of(JournalLine)
TRANSACTIONS = table_of(BalanceTransaction)


@pytest.fixture
async def paydue(
    database_url: str, sandbox: Sandbox, balance: StripeBalance
) -> AsyncIterator[Paydue]:
    async with Paydue.running(settings_for(database_url, balance.url), sandbox) as house:
        yield house


@pytest.fixture
def acts(paydue: Paydue) -> LedgerActs:
    return LedgerActs(paydue.database)


@pytest.fixture
def run(database_url: str, balance: StripeBalance, tmp_path: Path) -> Command:
    return command(tmp_path, balance.url).having(
        PAYDUE_DATABASE_URL=database_url, COLUMNS="200", TERM="dumb"
    )


async def differences(paydue: Paydue) -> list[str]:
    async with paydue.database.snapshot() as tx:
        return await journal_check.differences(tx)


async def balances(paydue: Paydue) -> dict[str, Decimal]:
    """The balance of each account that is not empty."""
    async with paydue.database.snapshot() as tx:
        rows = await tx.execute(select(LINES.c.account, LINES.c.amount))
        found: dict[str, Decimal] = {}
        for account, amount in rows:
            found[account] = found.get(account, Decimal(0)) + amount
    return {account: amount for account, amount in found.items() if amount}


# --- what is booked --------------------------------------------------------------------------


async def test_an_invoice_is_income_that_its_client_owes_until_it_is_voided(
    paydue: Paydue, acts: LedgerActs
) -> None:
    first, second = await acts.client(), await acts.client()
    invoice = await acts.invoice(100, client_id=first)
    await acts.change(invoice, total=70, client_id=second)

    before = await balances(paydue), await owed_by(paydue, first), await owed_by(paydue, second)
    await acts.void(invoice)

    assert before == ({"receivable": 70, "income": -70}, 0, 70)
    assert await balances(paydue) == {}
    assert await differences(paydue) == []


async def test_a_payment_pays_the_receivable_and_the_rest_is_the_clients_credit(
    paydue: Paydue, acts: LedgerActs
) -> None:
    client = await acts.client()
    invoice = await acts.invoice(100, client_id=client)

    await acts.pay(invoice, 130)

    assert await balances(paydue) == {
        "income": -100, "stripe_clearing": 130, "client_credit": -30,
    }  # fmt: skip
    assert await differences(paydue) == []


async def test_refunds_and_lost_disputes_are_owed_again(paydue: Paydue, acts: LedgerActs) -> None:
    client = await acts.client()
    first, second = [await acts.invoice(100, client_id=client) for _ in range(2)]

    await acts.refund(await acts.pay(first, 100), 40)
    disputed = await acts.pay(second, 100)
    await acts.dispute(disputed, 100, "needs_response")
    open_one = await balances(paydue)
    await acts.dispute(disputed, 100, "lost")

    assert open_one == {"income": -200, "stripe_clearing": 160, "receivable": 40}
    assert await balances(paydue) == {
        "income": -200, "stripe_clearing": 160, "receivable": 140, "disputes": -100,
    }  # fmt: skip
    assert await differences(paydue) == []


async def test_money_of_nobody_is_unassigned_until_a_person_says_whose_it_is(
    paydue: Paydue, acts: LedgerActs
) -> None:
    invoice = await acts.invoice(100, client_id=await acts.client())
    await acts.report("pi_nobody", 100, PaymentState.SUCCEEDED)
    before = await balances(paydue)
    (payment,) = await paydue.payments()

    await acts.assign(payment.id, invoice)

    assert before["unassigned"] == -100
    assert await balances(paydue) == {"income": -100, "stripe_clearing": 100}
    assert await differences(paydue) == []


async def test_payments_by_hand_come_in_cash_or_from_a_credit_note(
    paydue: Paydue, acts: LedgerActs
) -> None:
    client = await acts.client()
    invoice, other = [await acts.invoice(100, client_id=client) for _ in range(2)]
    note = await acts.invoice(50, client_id=client, invoicetype=CREDIT_NOTE)

    await acts.pay_by_hand(invoice, 30, credit_note_id=note)
    paid = await acts.pay_by_hand(invoice, 90)
    (rest,) = await paydue.rows(PAYMENTS, PAYMENTS.c.invoice_id.is_(None))
    before = await balances(paydue)
    await acts.assign(rest.id, other)
    await acts.delete_payment(paid)

    assert before == {
        "income": -150, "receivable": 100, "cash": 90, "credit_notes": -20, "client_credit": -20,
    }  # fmt: skip
    assert await balances(paydue) == {
        "income": -150, "receivable": 150, "cash": 20, "credit_notes": -20,
    }  # fmt: skip
    assert await differences(paydue) == []


async def test_balance_transactions_move_money_to_the_bank_with_their_fees(
    paydue: Paydue, balance: StripeBalance
) -> None:
    balance.moves("stripe_fee", -50)
    balance.moves("adjustment", -3000, fee=1500, source="du_1")
    balance.pays_out(balance.moves("charge", 12000, fee=378, source="ch_1"))

    await paydue.reconcile()
    await paydue.reconcile()

    assert await balances(paydue) == {
        "stripe_clearing": -120, "bank": Decimal("116.22"), "disputes": 30,
        "fees": Decimal("19.28"), "stripe_balance": Decimal("-45.50"),
    }  # fmt: skip
    assert await differences(paydue) == []


async def test_news_that_moves_no_money_writes_no_entry(paydue: Paydue, acts: LedgerActs) -> None:
    invoice = await acts.invoice(100, client_id=await acts.client())
    await acts.report("pi_1", 100, PaymentState.FAILED, invoice_id=invoice)
    await acts.change(invoice, reference="R")
    await acts.report("pi_1", 100, PaymentState.SUCCEEDED, evidence=Evidence.METADATA)
    await acts.report("pi_1", 100, PaymentState.SUCCEEDED)

    entries = await paydue.rows(ENTRIES, ENTRIES.c.id > 0)

    assert [(one.kind, one.source, one.who) for one in entries] == [
        ("invoice", str(invoice), "tests"),
        ("payment", "pi_1", "stripe"),
    ]


@pytest.mark.parametrize("seed", range(6))
async def test_the_books_agree_after_every_act_of_a_random_sequence(
    paydue: Paydue, seed: int
) -> None:
    random_acts = RandomActs(paydue.database, seed)
    await random_acts.begin()

    for _ in range(40):
        await random_acts.act()
        assert await differences(paydue) == [], random_acts.done

    assert len({one for one in random_acts.done if ":" not in one}) > 5


# --- the check -------------------------------------------------------------------------------


_BREAKAGES = {
    "journal entry": update(LINES).where(LINES.c.account == "income").values(amount=Decimal(-1)),
    "receivable of client": update(INVOICES).values(amountpaid=Decimal(1)),
    "credit of client": update(PAYMENTS)
    .where(PAYMENTS.c.invoice_id.is_(None), PAYMENTS.c.client_id.is_not(None))
    .values(counted=Decimal(1)),
    "unassigned money": update(PAYMENTS)
    .where(PAYMENTS.c.client_id.is_(None))
    .values(counted=Decimal(1)),
    "Stripe balance": update(TRANSACTIONS)
    .where(TRANSACTIONS.c.type == "payout")
    .values(net=Decimal(1)),
    "shares of payment": update(INTENTS).values(amount=Decimal(1)),
    "credit note": update(INVOICES)
    .where(INVOICES.c.invoicetype == CREDIT_NOTE)
    .values(total=Decimal(1)),
}


@pytest.mark.parametrize("check", _BREAKAGES)
async def test_a_check_finds_books_that_do_not_agree(
    paydue: Paydue, acts: LedgerActs, balance: StripeBalance, run: Command, check: str
) -> None:
    await books_of_every_kind(paydue, acts, balance)
    agreed = await run("check")
    async with paydue.database.transaction() as tx:
        await tx.execute(_BREAKAGES[check])

    plain, as_json = await run("check"), await run("check", "--json")

    assert (agreed.code, agreed.out) == (DONE, "The books agree.\n")
    assert (plain.code, as_json.code) == (FAILED, FAILED)
    found = orjson.loads(as_json.out)
    assert {one["check"] for one in found} == {check}
    assert set(found[0]) == {"check", "of", "currency", "expected", "found"}
    assert check in plain.out
    assert all(one.startswith(check) for one in await differences(paydue))


async def test_a_check_names_the_payout_that_does_not_add_up(
    paydue: Paydue, balance: StripeBalance, run: Command
) -> None:
    payout = balance.pays_out(balance.moves("charge", 12000, fee=378), amount=10000)
    await paydue.reconcile()

    said = await run("check", "--json")

    assert orjson.loads(said.out) == [
        {"check": "payout", "of": payout["id"], "currency": "usd", "expected": "100.00",
         "found": "116.22"}
    ]  # fmt: skip
    assert await differences(paydue) == []


# --- the export ------------------------------------------------------------------------------


async def test_the_export_has_every_line_of_its_days_and_no_formula(
    paydue: Paydue, acts: LedgerActs, run: Command
) -> None:
    client = await acts.client(name="=1+1")
    invoice = await acts.invoice(100, client_id=client, invoicenumber="@A1")
    await acts.pay(invoice, 100)
    day = STARTED.date()

    said = await run("journal", "export", "--from", f"{day}", "--to", f"{day}")
    before = await run("journal", "export", "--from", "2026-01-01", "--to", "2026-03-01")
    after = await run("journal", "export", "--from", "2026-03-03", "--to", "2026-03-03")
    wrong = await run("journal", "export", "--from", "2026-03-03", "--to", "2026-03-02")

    rows = list(csv.DictReader(said.out.splitlines()))
    owed, paid = [one for one in rows if one["account"] == Account.RECEIVABLE]
    assert len(rows) == 4
    assert (owed["debit"], owed["credit"], paid["debit"], paid["credit"]) == (
        "100.00", "", "", "100.00",
    )  # fmt: skip
    assert (owed["client"], owed["invoicenumber"]) == ("'=1+1", "'@A1")
    assert (owed["client_id"], owed["invoice_id"]) == (str(client), str(invoice))
    assert [len(one.out.splitlines()) for one in (before, after)] == [1, 1]
    assert wrong.code == MISUSED


async def test_the_export_reads_page_by_page_and_loses_no_line(paydue: Paydue) -> None:
    count = journal_lines.LINES_AT_ONCE + 1
    entries = [
        {"id": one, "at": STARTED + timedelta(seconds=one // 3), "kind": "invoice",
         "currency_iso": "usd", "source": "1", "who": "tests"}
        for one in range(1, count + 1)
    ]  # fmt: skip
    lines = [
        {"entry_id": one, "number": number, "account": "income", "amount": Decimal(1)}
        for one in range(1, count + 1)
        for number in (1, 2, 3)
    ]
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(ENTRIES), entries)
        await tx.execute(insert(LINES), lines)

    async with paydue.database.snapshot() as tx:
        end = STARTED + timedelta(days=1)
        found = [one async for one in journal_lines.iterate_journal(tx, STARTED, end)]

    assert [(one.entry_id, one.number) for one in found] == [
        (one["entry_id"], one["number"]) for one in lines
    ]


# --- what the tests are made of --------------------------------------------------------------


async def owed_by(paydue: Paydue, client: int) -> Decimal:
    async with paydue.database.snapshot() as tx:
        rows = await tx.execute(select(LINES.c.account, LINES.c.amount, LINES.c.client_id))
        owed = [row.amount for row in rows if row[::2] == (Account.RECEIVABLE, client)]
    return sum(owed, Decimal(0))


async def books_of_every_kind(paydue: Paydue, acts: LedgerActs, balance: StripeBalance) -> None:
    client = await acts.client()
    invoice, other = [await acts.invoice(100, client_id=client) for _ in range(2)]
    note = await acts.invoice(50, client_id=client, invoicetype=CREDIT_NOTE)
    await acts.pay_by_hand(other, 20, credit_note_id=note)
    await acts.pay(invoice, 130)
    await acts.report("pi_nobody", 100, PaymentState.SUCCEEDED)
    balance.pays_out(balance.moves("charge", 13000, fee=400, source="ch_1"))
    await paydue.reconcile()

"""Payouts: the fee and net of every payment, the payout that holds it, and whether it adds up."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.ledger import payout_lines
from app.ledger.payout_lines import PayoutLine, PayoutTotals
from app.payments import payouts
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.tables.cluster import InstallationValue, Job
from app.storage.tables.stripe_payouts import BalanceTransaction, StripePayout
from app.worker import Worker
from tests.balance import PAGE, StripeBalance, Thing
from tests.harness import Paydue, event, settings_for, today
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

PAYOUTS = table_of(StripePayout)
TRANSACTIONS = table_of(BalanceTransaction)
FACTS = table_of(InstallationValue)
JOBS = table_of(Job)
DAY = 86400
PATIENCE_S = wait_limit(30)


@pytest.fixture
async def paydue(
    database_url: str, sandbox: Sandbox, balance: StripeBalance
) -> AsyncIterator[Paydue]:
    async with Paydue.running(settings_for(database_url, balance.url), sandbox) as house:
        yield house


# --- fee, net and payout ---------------------------------------------------------------------


async def test_a_payment_gets_its_fee_and_net_before_any_payout(
    paydue: Paydue, balance: StripeBalance
) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    balance.moves("charge", 12000, fee=378, source=await charge_of(paydue, invoice))

    await paydue.reconcile()

    (one,) = await movements(paydue, invoice)
    assert (one.amount, one.fee, one.net) == (120, Decimal("3.78"), Decimal("116.22"))
    assert (one.currency_iso, one.payout_id) == ("usd", None)


async def test_a_payout_says_which_payments_and_which_invoices_it_holds(
    paydue: Paydue, balance: StripeBalance
) -> None:
    first, second = [await a_paid_invoice(paydue, total) for total in ("120.00", "80.00")]
    payout = balance.pays_out(
        balance.moves("charge", 12000, fee=378, source=await charge_of(paydue, first)),
        balance.moves("charge", 8000, fee=262, source=await charge_of(paydue, second)),
    )

    await paydue.reconcile()

    totals, lines = await shown(paydue, payout["id"])
    assert (totals.payout.amount, totals.sums.net, totals.missing) == (Decimal("193.60"),) * 2 + (
        0,
    )
    assert (totals.sums.gross, totals.sums.fee, totals.sums.lines) == (200, Decimal("6.40"), 2)
    assert totals.warning is None
    numbers = [(await paydue.invoice(one)).invoicenumber for one in (first, second)]
    assert [one.invoices for one in lines] == [[number] for number in numbers]
    assert all(one.client_name for one in lines)
    assert [one.payout_id for one in await movements(paydue, first)] == [payout["id"]]


async def test_refunds_and_disputes_lead_to_the_payment_they_take_from(
    paydue: Paydue, balance: StripeBalance
) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    charge = await charge_of(paydue, invoice)
    refund = paydue.sandbox.refund(charge, amount=2000)
    dispute = paydue.sandbox.open_dispute(charge, amount=10000)
    await paydue.reconcile()
    payout = balance.pays_out(
        balance.moves("charge", 12000, fee=378, source=charge),
        balance.moves("refund", -2000, source=refund["id"]),
        balance.moves("adjustment", -10000, fee=1500, source=dispute["id"]),
    )

    await paydue.reconcile()

    totals, lines = await shown(paydue, payout["id"])
    (payment,) = await paydue.payments(invoice)
    number = (await paydue.invoice(invoice)).invoicenumber
    assert [(one.intent_id, one.invoices) for one in lines] == [(payment.intent_id, [number])] * 3
    assert [one.row.net for one in lines] == [Decimal("116.22"), -20, -115]
    assert (totals.payout.amount, totals.missing) == (Decimal("-18.78"), 0)
    assert sum(one.fee for one in await movements(paydue, invoice)) == Decimal("18.78")


async def test_a_payout_of_many_pages_shows_each_line_once(
    paydue: Paydue, balance: StripeBalance
) -> None:
    count = payout_lines.LINES_AT_ONCE + 1
    payout = balance.pays_out(*(balance.moves("charge", 1000, fee=59) for _ in range(count)))

    await paydue.reconcile()

    totals, lines = await shown(paydue, payout["id"])
    assert (totals.sums.lines, totals.missing) == (count, 0)
    assert len({one.row.transaction_id for one in lines}) == len(lines) == count


async def test_a_line_that_is_no_payment_of_ours_is_shown_and_counts(
    paydue: Paydue, balance: StripeBalance
) -> None:
    payout = balance.pays_out(
        balance.moves("charge", 5000, fee=175, source="ch_of_another_system"),
        balance.moves("stripe_fee", -500, description="Radar (2026-10)"),
    )

    await paydue.reconcile()

    totals, lines = await shown(paydue, payout["id"])
    assert totals.missing == 0
    assert [(one.intent_id, one.invoices, one.client_name) for one in lines] == [
        (None, [], None)
    ] * 2
    assert lines[1].row.description == "Radar (2026-10)"


@pytest.mark.parametrize(
    ("currency", "amount", "fee", "net"),
    [
        ("jpy", 12000, 432, Decimal(11568)),
        ("eur", 11088, 351, Decimal("107.37")),
        ("bhd", 45230, 1340, Decimal("43.890")),
        ("usd", 0, 0, Decimal(0)),
    ],
)
async def test_amounts_are_exact_in_the_currency_of_the_balance(
    paydue: Paydue, balance: StripeBalance, currency: str, amount: int, fee: int, net: Decimal
) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    balance.moves(
        "charge", amount, fee=fee, currency=currency, exchange_rate=0.92400003,
        source=await charge_of(paydue, invoice),
    )  # fmt: skip

    await paydue.reconcile()

    (one,) = await movements(paydue, invoice)
    assert (one.currency_iso, one.net) == (currency, net)
    (row,) = await paydue.rows(TRANSACTIONS, TRANSACTIONS.c.id > 0)
    assert row.exchange_rate == "0.92400003"


# --- convergence -----------------------------------------------------------------------------


async def test_everything_that_is_found_twice_is_stored_once(
    paydue: Paydue, balance: StripeBalance
) -> None:
    for _ in range(2 * PAGE + 1):
        balance.moves("charge", 1000, fee=59)
    payout = balance.pays_out(*balance.transactions)

    await paydue.reconcile()
    before = await everything(paydue)
    await paydue.reconcile()

    assert await everything(paydue) == before
    assert len(before[1]) == 2 * PAGE + 2
    totals, _ = await shown(paydue, payout["id"])
    assert (totals.sums.lines, totals.missing) == (2 * PAGE + 1, 0)


async def test_a_transaction_older_than_the_first_look_is_found_with_its_payout(
    paydue: Paydue, balance: StripeBalance
) -> None:
    old = balance.moves("charge", 12000, fee=378)
    old["created"] -= int(payouts.FIRST_LOOK.total_seconds()) + DAY
    payout = balance.pays_out(old)

    await paydue.reconcile()

    totals, _ = await shown(paydue, payout["id"])
    assert (totals.sums.lines, totals.missing) == (1, 0)


async def test_a_payout_is_read_when_it_is_paid_and_not_before(
    paydue: Paydue, balance: StripeBalance
) -> None:
    payout = balance.pays_out(balance.moves("charge", 1000, fee=59), status="in_transit")

    await paydue.reconcile()
    early, _ = await shown(paydue, payout["id"])
    payout["status"] = "paid"
    await paydue.reconcile()

    assert early.sums.lines == 0
    assert early.warning == "the payout is in_transit; its lines are read when it has ended"
    late, _ = await shown(paydue, payout["id"])
    assert (late.payout.status, late.sums.lines, late.warning) == ("paid", 1, None)


async def test_a_payout_that_failed_late_keeps_its_lines_and_is_shown_as_failed(
    paydue: Paydue, balance: StripeBalance
) -> None:
    payout = balance.pays_out(balance.moves("charge", 1000, fee=59))
    await paydue.reconcile()

    payout |= {"status": "failed", "failure_code": "account_closed"}
    again = balance.pays_out(balance.moves("payout_failure", 941, source=payout["id"]))
    await paydue.reconcile()

    totals, _ = await shown(paydue, payout["id"])
    assert (totals.payout.status, totals.payout.failure_code) == ("failed", "account_closed")
    assert (totals.sums.lines, totals.missing) == (1, 0)
    second, lines = await shown(paydue, again["id"])
    assert ([one.row.type for one in lines], second.missing) == (["payout_failure"], 0)


async def test_a_payout_whose_list_is_not_complete_yet_is_asked_about_again(
    paydue: Paydue, balance: StripeBalance
) -> None:
    payout = balance.pays_out(balance.moves("charge", 1000, fee=59))
    balance.shows_payouts_contents = False
    await paydue.reconcile()
    await paydue.reconcile()
    assert reads_of(balance, payout) == 1

    balance.shows_payouts_contents = True
    await let_time_come(paydue)
    await paydue.reconcile()
    await paydue.reconcile()

    assert reads_of(balance, payout) == 2
    assert (await shown(paydue, payout["id"]))[0].missing == 0


async def test_an_object_that_makes_no_sense_is_passed_over(
    paydue: Paydue, balance: StripeBalance
) -> None:
    good = balance.moves("charge", 1000, fee=59)
    payout = balance.pays_out(good, balance.moves("charge", 2000, fee=88))
    balance.transactions[1]["currency"] = "usdc!"
    balance.pays_out()["arrival_date"] = None

    await paydue.reconcile()

    totals, _ = await shown(paydue, payout["id"])
    assert (totals.sums.lines, totals.missing) == (1, Decimal("19.12"))
    assert len(await paydue.rows(PAYOUTS, PAYOUTS.c.id > 0)) == 1


async def test_a_manual_payout_is_shown_without_lines(
    paydue: Paydue, balance: StripeBalance
) -> None:
    payout = balance.pays_out(balance.moves("charge", 1000, fee=59), automatic=False)

    await paydue.reconcile()

    totals, _ = await shown(paydue, payout["id"])
    assert totals.warning == "Stripe does not say of which transactions a manual payout is made"
    assert reads_of(balance, payout) == 0
    assert await differences(paydue) == []


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "invalid_request_error"), (404, "invalid_request_error")]
)
async def test_a_key_that_may_not_read_payouts_stops_nothing_else(
    paydue: Paydue, balance: StripeBalance, status: int, kind: str
) -> None:
    balance.refusal = (status, {"error": {"type": kind, "message": "no permission"}})
    invoice = await a_paid_invoice(paydue, "120.00")

    found = await paydue.reconcile()

    assert found.events_new > 0
    assert (await paydue.invoice(invoice)).amountdue == 0
    async with paydue.database.snapshot() as tx:
        cursor = select(FACTS.c.value).where(FACTS.c.name == payouts.CURSOR)
        assert await tx.scalar(cursor) is None


# --- proof -----------------------------------------------------------------------------------


async def test_a_payout_that_does_not_add_up_is_a_difference(
    paydue: Paydue, balance: StripeBalance
) -> None:
    whole = balance.pays_out(balance.moves("charge", 1000, fee=59))
    short = balance.pays_out(balance.moves("charge", 1000, fee=59), amount=942)
    empty = balance.pays_out(amount=500)
    on_its_way = balance.pays_out(balance.moves("charge", 1000), status="pending")

    await paydue.reconcile()

    found = {one.payout.payout_id: one.missing for one in await differences(paydue)}
    assert found == {short["id"]: Decimal("0.01"), empty["id"]: 5}
    assert whole["id"] not in found
    assert on_its_way["id"] not in found


# --- events ----------------------------------------------------------------------------------


async def test_an_event_makes_a_payout_that_was_not_whole_read_again_at_once(
    paydue: Paydue, balance: StripeBalance
) -> None:
    payout = balance.pays_out(balance.moves("charge", 1000, fee=59))
    balance.shows_payouts_contents = False
    await paydue.reconcile()
    balance.shows_payouts_contents = True

    assert await paydue.deliver(event("payout.reconciliation_completed", payout)) == [200]
    await paydue.reconcile()

    assert (await shown(paydue, payout["id"]))[0].missing == 0


async def test_a_worker_reads_a_payout_as_soon_as_its_event_comes(
    paydue: Paydue, balance: StripeBalance
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(Worker(paydue.node).run())
        await until(paydue, FACTS, FACTS.c.name == payouts.CURSOR)
        payout = balance.pays_out(balance.moves("charge", 1000, fee=59))
        await until(paydue, JOBS, JOBS.c.finished_at.is_not(None), JOBS.c.name == "reconcile")

        await paydue.deliver(event("payout.paid", payout))

        await until(paydue, TRANSACTIONS, TRANSACTIONS.c.payout_id == payout["id"])
        paydue.node.stop.set()


# --- what the tests are made of --------------------------------------------------------------


async def a_paid_invoice(paydue: Paydue, total: str) -> int:
    invoice = await paydue.an_invoice(total)
    assert len((await paydue.autopay(today()))["charged"]) == 1
    return invoice


async def charge_of(paydue: Paydue, invoice: int) -> str:
    (payment,) = await paydue.payments(invoice)
    return str(payment.charge_id)


async def movements(paydue: Paydue, invoice: int) -> list[payout_lines.PaymentMovement]:
    (payment,) = await paydue.payments(invoice)
    async with paydue.database.snapshot() as tx:
        return await payout_lines.list_movements(tx, [payment.intent_id])


async def shown(paydue: Paydue, payout_id: str) -> tuple[PayoutTotals, list[PayoutLine]]:
    async with paydue.database.snapshot() as tx:
        totals = await payout_lines.load_payout(tx, payout_id)
        return totals, [one async for one in payout_lines.iterate_lines(tx, payout_id)]


async def differences(paydue: Paydue) -> list[PayoutTotals]:
    async with paydue.database.snapshot() as tx:
        return await payout_lines.differences(tx)


async def everything(paydue: Paydue) -> tuple[list[Any], list[Any]]:
    return (
        await paydue.rows(PAYOUTS, PAYOUTS.c.id > 0),
        await paydue.rows(TRANSACTIONS, TRANSACTIONS.c.id > 0),
    )


def reads_of(balance: StripeBalance, payout: Thing) -> int:
    return sum(f"payout={payout['id']}" in one for one in balance.listed)


async def until(paydue: Paydue, table: Any, *conditions: Any) -> None:
    """Returns once there is such a row."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with paydue.database.snapshot() as tx:
                if await tx.scalar(select(func.count()).select_from(table).where(*conditions)):
                    return
            await asyncio.sleep(0.05)


async def let_time_come(paydue: Paydue) -> None:
    """The time comes at which payouts that are not whole are asked about again."""
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(PAYOUTS)
            .where(PAYOUTS.c.check_at.is_not(None))
            .values(check_at=datetime.now(UTC))
        )

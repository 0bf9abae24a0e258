"""A month at the sandbox: every payout adds up, and every movement is known by its payment."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from app.ledger import payout_lines
from app.payments.stripe.gateway import NoAnswer
from app.sandbox.account.truth_ledger import MoneyMovement
from app.storage.column_types import table_of
from app.storage.tables.stripe_payouts import BalanceTransaction, StripePayout
from tests.harness import KEY, Paydue, today

pytestmark = pytest.mark.anyio

PAYOUTS = table_of(StripePayout)
TRANSACTIONS = table_of(BalanceTransaction)
DAYS = 86400


async def a_month(paydue: Paydue) -> None:
    """Charges, refunds, disputes and payouts, some of which fail."""
    stripe = paydue.sandbox
    for total in ("120.00", "80.50", "0.99", "9999.99"):
        await paydue.an_invoice(total)
    await paydue.autopay(today())
    charges = {one.amount: one.charge for one in stripe.ledger.charges()}
    stripe.refund(charges[12000], 2000)
    stripe.bank.end_refund(stripe.refund(charges[8050], 50)["id"], "failed")
    stripe.clock.advance(2 * DAYS)
    early = stripe.bank.pay_out()
    stripe.bank.end_payout(early["id"], "paid")
    stripe.bank.end_payout(early["id"], "failed")
    stripe.close_dispute(stripe.open_dispute(charges[99], amount=99)["id"], "won")
    stripe.open_dispute(charges[999999], amount=5000, status="lost")
    stripe.clock.advance(2 * DAYS)
    stripe.bank.pay_out()
    stripe.clock.advance(2 * DAYS)
    stripe.clock.run_due()


async def test_every_payout_of_a_month_adds_up_without_any_event(paydue: Paydue) -> None:
    await a_month(paydue)
    paydue.sandbox.forget_events()

    await paydue.reconcile()

    rows = await paydue.rows(PAYOUTS, PAYOUTS.c.id > 0)
    by_age = sorted(rows, key=lambda one: one.created_at)
    assert [one.status for one in by_age] == ["failed", "paid"]
    async with paydue.database.snapshot() as tx:
        assert await payout_lines.differences(tx) == []
    shown = {one["id"]: one["amount"] for one in paydue.sandbox.state["payouts"].rows()}
    assert {one.payout_id: int(100 * one.amount) for one in rows} == shown


async def test_every_cent_of_a_month_is_known_by_its_payment(paydue: Paydue) -> None:
    await a_month(paydue)

    await paydue.reconcile()

    truth = sums(paydue.sandbox.ledger.movements())
    for payment in await paydue.payments():
        async with paydue.database.snapshot() as tx:
            found = await payout_lines.list_movements(tx, [payment.intent_id])
        assert sum(one.amount for one in found) == truth[payment.intent_id][0]
        assert sum(one.fee for one in found) == truth[payment.intent_id][1]
        assert all(one.payout_id for one in found)
    booked = await paydue.rows(TRANSACTIONS, TRANSACTIONS.c.id > 0)
    assert len(booked) == len(paydue.sandbox.ledger.movements())


async def test_what_happened_piece_by_piece_ends_as_what_was_read_at_once(paydue: Paydue) -> None:
    stripe = paydue.sandbox
    await paydue.an_invoice("120.00")
    await paydue.autopay(today())
    await paydue.reconcile()
    stripe.clock.advance(2 * DAYS)
    payout = stripe.bank.pay_out()
    await paydue.reconcile()
    stripe.bank.end_payout(payout["id"], "paid")
    await paydue.reconcile()
    stripe.bank.end_payout(payout["id"], "failed")
    await paydue.reconcile()
    before = [tuple(one)[1:] for one in await paydue.rows(TRANSACTIONS, TRANSACTIONS.c.id > 0)]

    async with paydue.database.transaction() as tx:
        await tx.execute(TRANSACTIONS.delete())
        await tx.execute(PAYOUTS.delete())
    await paydue.reconcile()

    after = [tuple(one)[1:] for one in await paydue.rows(TRANSACTIONS, TRANSACTIONS.c.id > 0)]
    assert sorted(after) == sorted(before)
    assert [one.status for one in await paydue.rows(PAYOUTS, PAYOUTS.c.id > 0)] == ["failed"]


@pytest.mark.parametrize("call", ["GET /v1/payouts", "GET /v1/balance_transactions"])
async def test_a_fault_in_the_middle_is_made_up_for_by_the_next_pass(
    paydue: Paydue, call: str
) -> None:
    await a_month(paydue)
    paydue.sandbox.fault(call, kind="status", status=503)

    with pytest.raises(NoAnswer):
        await paydue.reconcile()
    paydue.sandbox.clear_faults()
    await paydue.reconcile()

    assert len(await paydue.rows(PAYOUTS, PAYOUTS.c.id > 0)) == 2
    async with paydue.database.snapshot() as tx:
        assert await payout_lines.differences(tx) == []


async def test_a_payout_by_hand_has_no_lines(paydue: Paydue, stripe_url: str) -> None:
    await paydue.an_invoice("120.00")
    await paydue.autopay(today())
    paydue.sandbox.clock.advance(2 * DAYS)
    made = await a_payout_by_hand(stripe_url, amount="5000")
    paydue.sandbox.bank.end_payout(made["id"], "paid")

    await paydue.reconcile()

    async with paydue.database.snapshot() as tx:
        totals = await payout_lines.load_payout(tx, made["id"])
        assert await payout_lines.differences(tx) == []
    assert (totals.payout.amount, totals.sums.lines, totals.missing) == (50, 0, 50)
    assert totals.warning == "Stripe does not say of which transactions a manual payout is made"


# --- what the tests are made of --------------------------------------------------------------


async def a_payout_by_hand(url: str, **form: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(url, headers=headers) as http,
        http.post("/v1/payouts", data={"currency": "usd", **form}) as answer,
    ):
        made = await answer.json()
        assert answer.status == 200, made
        return dict(made)


def sums(movements: list[MoneyMovement]) -> dict[str | None, tuple[Decimal, Decimal]]:
    """Gross and fee of each PaymentIntent."""
    found: defaultdict[str | None, tuple[Decimal, Decimal]] = defaultdict(
        lambda: (Decimal(0), Decimal(0))
    )
    for one in movements:
        gross, fee = found[one.payment_intent]
        found[one.payment_intent] = (
            gross + Decimal(one.amount).scaleb(-2), fee + Decimal(one.fee).scaleb(-2)
        )  # fmt: skip
    return found

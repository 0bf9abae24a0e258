"""The balance: a transaction for every movement of money, and payouts of what is available."""

from typing import Any

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, refused, types

pytestmark = pytest.mark.anyio

TWO_DAYS = 2 * 86_400


async def transactions(client: stripe.StripeClient, **query: Any) -> list[Any]:
    page = await client.v1.balance_transactions.list_async({"limit": 2, **query})
    return [one async for one in page.auto_paging_iter()]


async def test_a_charge_is_booked_less_its_fee_and_available_two_days_later(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client, expand=["latest_charge.balance_transaction"])

    [booked] = await transactions(client, source=intent.latest_charge.id)
    found = await client.v1.payment_intents.retrieve_async(
        intent.id, {"expand": ["latest_charge.balance_transaction"]}
    )
    before = await client.v1.balance.retrieve_async()
    sandbox.clock.advance(TWO_DAYS)
    after = await client.v1.balance.retrieve_async()

    assert found.latest_charge.balance_transaction.id == booked.id
    assert (booked.amount, booked.fee, booked.net, booked.type) == (1000, 59, 941, "charge")
    assert [one.amount for one in booked.fee_details] == [59]
    assert (booked.status, booked.available_on) == ("pending", booked.created + TWO_DAYS)
    assert (before.pending[0].amount, before.available[0].amount) == (941, 0)
    assert (after.pending[0].amount, after.available[0].amount) == (0, 941)
    again = await client.v1.balance_transactions.retrieve_async(booked.id)
    assert again.status == "available"


async def test_refunds_and_disputes_are_booked_and_given_back(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client)
    failed = sandbox.refund(intent.id, 300)
    sandbox.bank.end_refund(failed["id"], "failed")
    kept = sandbox.refund(intent.id, 100)
    won = sandbox.open_dispute(intent.id, amount=500)
    sandbox.close_dispute(won["id"], "won")
    sandbox.open_dispute(intent.id, amount=50, status="lost")

    booked = [(one.reporting_category, one.amount, one.fee) for one in await transactions(client)]

    assert booked[::-1] == [
        ("charge", 1000, 59),
        ("refund", -300, 0),
        ("refund_failure", 300, 0),
        ("refund", -100, 0),
        ("dispute", -500, 1500),
        ("dispute_reversal", 500, 0),
        ("dispute", -50, 1500),
    ]
    assert sandbox.ledger.net_by_intent() == {intent.id: 850}
    assert [one.id for one in await transactions(client, type="adjustment", source=won["id"])]
    found = await client.v1.refunds.retrieve_async(kept["id"], {"expand": ["balance_transaction"]})
    assert found.balance_transaction.net == -100


async def test_a_payout_pays_what_is_available_and_knows_its_transactions(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    first = await charged(client)
    sandbox.clock.advance(TWO_DAYS)
    second = await charged(client)

    payout = sandbox.bank.pay_out()
    paid = await transactions(client, payout=payout["id"])
    with pytest.raises(ValueError, match="nothing in usd"):
        sandbox.bank.pay_out()
    sandbox.clock.advance(TWO_DAYS)
    next_one = sandbox.bank.pay_out()

    assert (payout["amount"], payout["status"]) == (941, "in_transit")
    assert [(one.type, one.net) for one in paid] == [("payout", -941), ("charge", 941)]
    assert paid[1].source == first.latest_charge
    rest = await transactions(client, payout=next_one["id"])
    assert [one.source for one in rest] == [next_one["id"], second.latest_charge]
    found = await client.v1.payouts.retrieve_async(payout["id"])
    assert found.status == "paid"
    listed = await client.v1.payouts.list_async({"status": "in_transit"})
    assert [one.id for one in listed.data] == [next_one["id"]]
    assert types(sandbox).count("payout.created") == 2
    assert types(sandbox).count("payout.paid") == 1


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_failed_payout_comes_back_even_after_it_had_arrived(
    sandbox: Sandbox, client: stripe.StripeClient, arrives: bool
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    await charged(client)
    sandbox.clock.advance(TWO_DAYS)
    payout = sandbox.bank.pay_out()
    sandbox.clock.advance(TWO_DAYS if arrives else 0)

    failed = sandbox.bank.end_payout(payout["id"], "failed", "no_account")
    sandbox.clock.advance(TWO_DAYS)

    assert (failed["status"], failed["failure_code"]) == ("failed", "no_account")
    assert types(sandbox)[-1] == "payout.failed"
    balance = await client.v1.balance.retrieve_async()
    assert balance.available[0].amount == 941
    assert sandbox.bank.pay_out()["amount"] == 941
    with pytest.raises(ValueError, match="cannot become"):
        sandbox.bank.end_payout(payout["id"], "paid")


async def test_a_payout_by_hand_takes_a_part_and_no_more_than_there_is(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    await charged(client)
    early = await refused(client.v1.payouts.create_async({"amount": 1, "currency": "usd"}))
    sandbox.clock.advance(TWO_DAYS)

    payout = await client.v1.payouts.create_async({"amount": 900, "currency": "usd"})
    refusal = await refused(client.v1.payouts.create_async({"amount": 42, "currency": "usd"}))

    assert early.code == refusal.code == "balance_insufficient"
    assert not payout.automatic
    assert sandbox.bank.pay_out()["amount"] == 41


async def test_the_ledger_knows_who_made_an_intent_and_every_movement(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    line = {"price_data": {"currency": "usd", "unit_amount": 500}, "quantity": 1}
    terms = {"mode": "payment", "line_items": [line], "success_url": "https://example.com"}
    ours = await charged(client)
    session = await client.v1.checkout.sessions.create_async(terms)
    link = await client.v1.payment_links.create_async({"line_items": [line]})

    by_session = sandbox.complete_checkout(session.id)["payment_intent"]
    by_link = sandbox.strangers.pay_link(link.id)["payment_intent"]
    theirs = sandbox.strangers.pay(700)["id"]
    sandbox.refund(theirs, 200)

    makers = {taken.payment_intent: taken.maker for taken in sandbox.ledger.charges()}
    assert makers == {
        ours.id: "sk_test_x",
        by_session: "sk_test_x",
        by_link: "sk_test_x",
        theirs: "sk_test_stranger",
    }
    assert [(one.kind, one.amount) for one in sandbox.ledger.movements(theirs)] == [
        ("charge", 700),
        ("refund", -200),
    ]
    assert sandbox.ledger.net_by_intent()[theirs] == 500
    sandbox.clock.advance(TWO_DAYS)
    sandbox.bank.pay_out()
    assert sandbox.ledger.movements()[-1].kind == "payout"

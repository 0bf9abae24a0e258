"""The later life of refunds and disputes, and the warnings before a dispute."""

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, refused, types

pytestmark = pytest.mark.anyio

INQUIRY = "warning_needs_response"


async def paid(sandbox: Sandbox, client: stripe.StripeClient) -> stripe.PaymentIntent:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    return await charged(client, metadata={"invoice_id": "1"})


@pytest.mark.parametrize(
    ("outcome", "first", "last", "net"),
    [
        ("pending", "pending", "succeeded", 600),
        ("pending_fails", "pending", "failed", 1000),
        ("pending_canceled", "pending", "canceled", 1000),
        ("fails", "succeeded", "failed", 1000),
        ("requires_action", "requires_action", "requires_action", 600),
    ],
)
async def test_a_refund_takes_its_course(
    sandbox: Sandbox, client: stripe.StripeClient, outcome: str, first: str, last: str, net: int
) -> None:
    intent = await paid(sandbox, client)

    refund = sandbox.refund(intent.id, 400, outcome=outcome)
    sandbox.clock.advance(100)

    found = await client.v1.refunds.retrieve_async(refund["id"])
    charge = await client.v1.charges.retrieve_async(intent.latest_charge)
    assert (refund["status"], found.status) == (first, last)
    assert sandbox.ledger.net_by_invoice() == {"1": net}
    assert charge.amount_refunded == 1000 - net
    assert ("refund.failed" in types(sandbox)) == (last == "failed")


@pytest.mark.parametrize(
    ("outcome", "end", "net"),
    [
        ("requires_action", "succeeded", 600),
        ("requires_action", "failed", 1000),
        ("pending", "failed", 1000),
        ("succeeded", "failed", 1000),
    ],
)
async def test_the_bank_ends_a_refund_and_its_timer_leaves_it_alone(
    sandbox: Sandbox, client: stripe.StripeClient, outcome: str, end: str, net: int
) -> None:
    intent = await paid(sandbox, client)
    refund = sandbox.refund(intent.id, 400, outcome=outcome)

    ended = sandbox.bank.end_refund(refund["id"], end)
    sandbox.clock.advance(100)

    assert ended["status"] == end
    assert sandbox.ledger.net_by_invoice() == {"1": net}
    assert types(sandbox).count("refund.updated") == 1
    assert (ended.get("failure_reason") is not None) == (end == "failed")
    with pytest.raises(ValueError, match="already"):
        sandbox.bank.end_refund(refund["id"], end)


async def test_what_a_failed_refund_gave_back_can_be_refunded_again(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await paid(sandbox, client)
    first = await client.v1.refunds.create_async({"payment_intent": intent.id})
    sandbox.bank.end_refund(first.id, "failed")

    second = await client.v1.refunds.create_async({"charge": intent.latest_charge})

    assert (second.amount, second.status) == (1000, "succeeded")
    assert sandbox.ledger.net_by_invoice() == {"1": 0}


async def test_an_inquiry_takes_no_money_until_it_becomes_a_dispute(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await paid(sandbox, client)
    inquiry = sandbox.open_dispute(intent.id, status=INQUIRY, amount=400)
    assert "charge.dispute.funds_withdrawn" not in types(sandbox)
    assert inquiry["is_charge_refundable"]

    escalated = sandbox.bank.escalate_inquiry(inquiry["id"])
    lost = sandbox.close_dispute(inquiry["id"], "lost")

    assert (escalated["id"], escalated["status"]) == (inquiry["id"], "needs_response")
    assert escalated["evidence_details"]["due_by"] == inquiry["created"] + 7 * 86_400
    assert [one["amount"] for one in lost["balance_transactions"]] == [-400]
    assert types(sandbox)[-5:] == [
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
    ]
    assert sandbox.ledger.net_by_invoice() == {"1": 600}
    with pytest.raises(ValueError, match="no open inquiry"):
        sandbox.bank.escalate_inquiry(inquiry["id"])


async def test_an_inquiry_that_is_closed_and_a_prevented_dispute_move_no_money(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await paid(sandbox, client)
    inquiry = sandbox.open_dispute(intent.id, status=INQUIRY)

    sandbox.close_dispute(inquiry["id"], "warning_closed")
    sandbox.open_dispute(intent.id, status="prevented")

    assert not {"charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"} & set(
        types(sandbox)
    )
    assert sandbox.ledger.net_by_invoice() == {"1": 1000}


@pytest.mark.parametrize(
    ("text", "status", "net"),
    [
        ("winning_evidence", "won", 1000),
        ("losing_evidence", "lost", 0),
        ("an invoice", "under_review", 1000),
    ],
)
async def test_evidence_is_reviewed_and_stripes_test_texts_decide(
    sandbox: Sandbox, client: stripe.StripeClient, text: str, status: str, net: int
) -> None:
    intent = await paid(sandbox, client)
    opened = sandbox.open_dispute(intent.id)

    found = await client.v1.disputes.update_async(
        opened["id"], {"evidence": {"uncategorized_text": text}}
    )

    assert (found.status, found.evidence_details.has_evidence) == (status, True)
    assert found.evidence_details.submission_count == 1
    assert sandbox.ledger.net_by_invoice() == {"1": net}
    assert ("charge.dispute.funds_reinstated" in types(sandbox)) == (status == "won")


async def test_two_disputes_of_one_charge_are_won_and_lost_apart(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await paid(sandbox, client)
    first = sandbox.open_dispute(intent.id, amount=300)
    second = sandbox.open_dispute(intent.id, amount=200)

    sandbox.close_dispute(first["id"], "won")
    sandbox.close_dispute(second["id"], "lost")

    listed = await client.v1.disputes.list_async({"charge": intent.latest_charge})
    assert [(one.amount, one.status) for one in listed.data] == [(200, "lost"), (300, "won")]
    assert sandbox.ledger.net_by_invoice() == {"1": 800}


@pytest.mark.parametrize("end", ["refund", "dispute"])
async def test_a_fraud_warning_is_actionable_until_the_charge_is_refunded_or_disputed(
    sandbox: Sandbox, client: stripe.StripeClient, end: str
) -> None:
    intent = await paid(sandbox, client)
    other = await charged(client)

    sandbox.bank.warn_of_fraud(other.latest_charge)
    warning = sandbox.bank.warn_of_fraud(intent.latest_charge, "made_with_lost_card")
    assert types(sandbox)[-1] == "radar.early_fraud_warning.created"
    assert warning["actionable"]
    if end == "refund":
        sandbox.refund(intent.id)
    else:
        sandbox.open_dispute(intent.id)

    warnings = client.v1.radar.early_fraud_warnings
    for query in ({"payment_intent": intent.id}, {"charge": intent.latest_charge}):
        [found] = (await warnings.list_async(query)).data
        assert (found.id, found.actionable) == (warning["id"], False)
    assert types(sandbox)[-1] == "radar.early_fraud_warning.updated"
    assert (await warnings.retrieve_async(warning["id"])).fraud_type == "made_with_lost_card"


@pytest.mark.parametrize(
    ("token", "event"),
    [
        ("pm_card_createDispute", "charge.dispute.funds_withdrawn"),
        ("pm_card_createDisputeInquiry", "charge.dispute.created"),
        ("pm_card_createIssuerFraudRecord", "radar.early_fraud_warning.created"),
    ],
)
async def test_stripes_cards_that_bring_doubts_do_so_after_the_charge(
    sandbox: Sandbox, client: stripe.StripeClient, token: str, event: str
) -> None:
    customer = await client.v1.customers.create_async({})
    method = await client.v1.payment_methods.attach_async(token, {"customer": customer.id})

    intent = await charged(client, customer.id, method.id)

    assert intent.status == "succeeded"
    assert types(sandbox)[-1] == event


async def test_a_closed_dispute_takes_no_evidence(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await paid(sandbox, client)
    lost = sandbox.open_dispute(intent.id, status="lost")

    refusal = await refused(
        client.v1.disputes.update_async(lost["id"], {"evidence": {"uncategorized_text": "x"}})
    )

    assert refusal.http_status == 400

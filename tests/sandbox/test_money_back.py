"""Bank debits, refunds and disputes: money that comes later, or goes back."""

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, refused, types

pytestmark = pytest.mark.anyio

MANDATE = {"customer_acceptance": {"type": "offline"}}


async def test_a_bank_debit_is_processing_until_the_bank_has_answered(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour="bank_debit_succeeds")
    intent = await charged(client, metadata={"invoice_id": "4"}, expand=["latest_charge"])
    assert (intent.status, intent.latest_charge.status) == ("processing", "pending")
    assert sandbox.ledger.charges() == []
    for call in (client.v1.payment_intents.confirm_async, client.v1.payment_intents.cancel_async):
        assert (await refused(call(intent.id))).code == "payment_intent_unexpected_state"

    sandbox.clock.advance(sandbox.state.delays.bank_debit + 1)
    await sandbox.settle()

    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"
    assert sandbox.ledger.net_by_invoice() == {"4": 1000}
    assert types(sandbox)[-5:] == [
        "charge.pending",
        "payment_intent.processing",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated",
    ]


FAILURES = [
    ("us_bank_account", "account_closed", "account_closed"),
    ("us_bank_account", "insufficient_funds", "insufficient_funds"),
    ("sepa_debit", "insufficient_funds", "payment_intent_payment_attempt_failed"),
    ("bacs_debit", "account_closed", "payment_intent_payment_attempt_failed"),
]


@pytest.mark.parametrize(("kind", "failure", "code"), FAILURES)
async def test_a_failed_debit_has_the_cards_codes_turned_round(
    sandbox: Sandbox, client: stripe.StripeClient, kind: str, failure: str, code: str | None
) -> None:
    sandbox.add_customer(
        "cus_1",
        payment_method="pm_1",
        behaviour=[f"bank_debit_fails:{failure}"],
        payment_method_type=kind,
    )
    intent = await charged(client)

    sandbox.clock.advance(100)

    failed = await client.v1.payment_intents.retrieve_async(
        intent.id, {"expand": ["latest_charge"]}
    )
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error.code == code
    assert failed.last_payment_error.decline_code == "generic_decline"
    assert failed.latest_charge.failure_code == failure
    assert types(sandbox)[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    assert sandbox.ledger.charges() == []


async def test_a_debit_without_a_mandate_is_refused_and_waits_for_confirmation(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = await client.v1.customers.create_async({})
    method = await client.v1.payment_methods.attach_async(
        "pm_sepaDebit_success", {"customer": customer.id}
    )

    refusal = await refused(charged(client, customer.id, method.id))

    assert (refusal.http_status, refusal.error.code, refusal.error.param) == (400, None, None)
    assert refusal.error.payment_intent.status == "requires_confirmation"
    accepted = await client.v1.payment_intents.confirm_async(
        refusal.error.payment_intent.id, {"off_session": True, "mandate_data": MANDATE}
    )
    assert accepted.status == "processing"


TOKENS = [
    ("pm_usBankAccount_success", None),
    ("pm_usBankAccount_insufficientFunds", "insufficient_funds"),
    ("pm_usBankAccount_accountClosed", "account_closed"),
    ("pm_sepaDebit_success", None),
    ("pm_sepaDebit_insufficientFunds", "insufficient_funds"),
    ("pm_bacsDebit_accountClosed", "account_closed"),
]


@pytest.mark.parametrize(("token", "failure"), TOKENS)
async def test_a_mandate_from_a_setup_intent_serves_stripes_test_accounts(
    client: stripe.StripeClient, token: str, failure: str | None
) -> None:
    customer = await client.v1.customers.create_async({})
    setup = await client.v1.setup_intents.create_async(
        {
            "customer": customer.id,
            "payment_method": token,
            "confirm": True,
            "mandate_data": MANDATE,
            "payment_method_options": {"us_bank_account": {"verification_method": "skip"}},
        }
    )
    mandate = await client.v1.mandates.retrieve_async(setup.mandate)
    assert (setup.status, mandate.payment_method) == ("succeeded", setup.payment_method)

    intent = await charged(client, customer.id, setup.payment_method, expand=["latest_charge"])

    details = intent.latest_charge.payment_method_details.to_dict()
    assert intent.status == "processing"
    assert details[details["type"]]["mandate"] == mandate.id


async def test_a_refund_takes_the_rest_and_no_more(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client, metadata={"invoice_id": "1"})
    part = await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 300})
    assert (part.amount, part.status, part.payment_intent) == (300, "succeeded", intent.id)

    too_much = await refused(
        client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 701})
    )
    rest = await client.v1.refunds.create_async({"charge": intent.latest_charge})
    second = await refused(client.v1.refunds.create_async({"payment_intent": intent.id}))

    assert (too_much.http_status, too_much.code, too_much.param) == (400, None, "amount")
    assert rest.amount == 700
    assert (second.code, second.param) == ("charge_already_refunded", None)
    after = await client.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    assert (after.status, after.latest_charge.refunded) == ("succeeded", True)
    assert sandbox.ledger.net_by_invoice() == {"1": 0}
    listed = await client.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.id for refund in listed.data] == [rest.id, part.id]
    refunded = [event for event in sandbox.events if event["type"] == "charge.refunded"]
    assert [event["data"]["object"]["refunded"] for event in refunded] == [False, True]


@pytest.mark.parametrize(
    ("token", "first", "last", "refunded"),
    [
        ("pm_card_pendingRefund", "pending", "succeeded", True),
        ("pm_card_refundFail", "succeeded", "failed", False),
    ],
)
async def test_a_refund_may_end_later(
    sandbox: Sandbox, client: stripe.StripeClient, token: str, first: str, last: str, refunded: bool
) -> None:
    customer = await client.v1.customers.create_async({})
    method = await client.v1.payment_methods.attach_async(token, {"customer": customer.id})
    intent = await charged(client, customer.id, method.id, metadata={"invoice_id": "1"})
    refund = await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == first

    sandbox.clock.advance(100)

    found = await client.v1.refunds.retrieve_async(refund.id)
    charge = await client.v1.charges.retrieve_async(intent.latest_charge)
    assert (found.status, charge.refunded) == (last, refunded)
    assert charge.refunds.data[0].status == last
    assert sandbox.ledger.net_by_invoice() == {"1": 0 if refunded else 1000}
    assert {"refund.updated", "charge.refund.updated"} <= set(types(sandbox))
    assert ("refund.failed" in types(sandbox)) == (last == "failed")


async def test_only_a_refund_that_waits_for_the_customer_is_canceled(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client)
    waiting = sandbox.refund(intent.id, 400, outcome="requires_action")
    done = sandbox.refund(intent.id, 100)

    canceled = await client.v1.refunds.cancel_async(waiting["id"])
    refusal = await refused(client.v1.refunds.cancel_async(done["id"]))

    assert (canceled.status, refusal.http_status) == ("canceled", 400)
    assert [taken.net for taken in sandbox.ledger.charges()] == [900]


async def test_what_was_not_paid_cannot_be_refunded(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour="bank_debit_succeeds")
    intent = await charged(client)

    assert (
        await refused(client.v1.refunds.create_async({"payment_intent": intent.id}))
    ).http_status == 400


async def test_a_dispute_is_opened_lost_and_won_late(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client, metadata={"invoice_id": "1"})
    opened = sandbox.open_dispute(intent.id, amount=1200)
    refusal = await refused(client.v1.refunds.create_async({"payment_intent": intent.id}))
    assert refusal.code == "charge_disputed"

    sandbox.close_dispute(opened["id"], "lost")
    assert sandbox.ledger.net_by_invoice() == {"1": -200}
    sandbox.close_dispute(opened["id"], "won")

    found = await client.v1.disputes.retrieve_async(opened["id"])
    assert (found.status, found.amount, found.payment_intent) == ("won", 1200, intent.id)
    assert sandbox.ledger.net_by_invoice() == {"1": 1000}
    assert [kind for kind in types(sandbox) if kind.startswith("charge.dispute")] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]


async def test_a_dispute_may_arrive_already_lost_and_a_charge_may_have_two(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client)

    sandbox.open_dispute(intent.latest_charge, amount=400, status="lost")
    sandbox.open_dispute(intent.latest_charge, amount=100, status="warning_needs_response")

    listed = await client.v1.disputes.list_async({"payment_intent": intent.id})
    assert [one.status for one in listed.data] == ["warning_needs_response", "lost"]
    assert [taken.net for taken in sandbox.ledger.charges()] == [600]
    assert types(sandbox).count("charge.dispute.funds_withdrawn") == 1


async def test_a_card_that_disputes_does_so_after_the_charge(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour="dispute")
    intent = await charged(client)

    [dispute] = (await client.v1.disputes.list_async({"charge": intent.latest_charge})).data
    closed = await client.v1.disputes.close_async(dispute.id)
    again = await refused(client.v1.disputes.close_async(dispute.id))

    assert (intent.status, dispute.status, closed.status) == ("succeeded", "needs_response", "lost")
    assert again.http_status == 400


def test_an_impossible_behaviour_is_a_mistake() -> None:
    for behaviour in (["suceed"], [], "bank_debit_fails:"):
        sandbox = Sandbox()
        with pytest.raises(ValueError, match=r"behaviour|step|code"):
            sandbox.add_customer("cus_1", payment_method="pm_1", behaviour=behaviour)

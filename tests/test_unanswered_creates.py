"""An intent whose create got no answer, and that ends before anybody has heard of it."""

from typing import Any

import pytest

from tests.harness import Paydue, event
from tests.test_reconcile import stripe

pytestmark = pytest.mark.anyio

CREATE = "POST /v1/payment_intents"
ENDS = {"canceled": "cancel", "succeeded": "confirm"}


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("is_late", [False, True], ids=["in order", "created comes last"])
async def test_an_attempt_ends_with_the_intent_of_its_unanswered_create(
    paydue: Paydue, stripe_url: str, state: str, is_late: bool
) -> None:
    invoice = await paydue.an_invoice()
    created = await created_unheard(paydue)
    method = {"payment_method": created["customer"].replace("cus", "pm")}
    path = f"/v1/payment_intents/{created['id']}/{ENDS[state]}"
    ended = await stripe(stripe_url, path, **(method if state == "succeeded" else {}))
    events = [event("payment_intent.created", created), event(f"payment_intent.{state}", ended)]

    await paydue.deliver(*(reversed(events) if is_late else events))

    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.intent_id) == (state, created["id"])
    await paydue.autopay()
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}
    assert (await paydue.invoice(invoice)).amountdue == 0


async def created_unheard(paydue: Paydue) -> dict[str, Any]:
    """The intent of a run whose create was heard, and whose answers were all lost."""
    paydue.sandbox.fault(CREATE, kind="drop", when="after", times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    (created,) = paydue.sandbox.state["payment_intents"].rows()
    return dict(created)

"""An attempt that nobody can go on with is ended by hand, where Stripe proves it moves no money."""

from typing import Any

import pytest
from sqlalchemy import update

from app.halo.access.api_credentials import create_credential
from app.payments.stripe.gateway import NotAuthorized
from app.storage.column_types import table_of
from app.storage.tables.invoices import InvoiceChange
from tests.clock import NOW
from tests.harness import ATTEMPTS, Paydue

pytestmark = pytest.mark.anyio

CHANGES = table_of(InvoiceChange)
CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
RETRIEVE = "GET /v1/payment_intents/{id}"
SESSIONS = "GET /v1/checkout/sessions"
ACCOUNT = "GET /v1/account"
CANCEL = "POST /v1/payment_intents/{id}/cancel"
WHY = {"reason": "the test data was deleted"}


async def _end(paydue: Paydue, attempt: int, body: Any = WHY) -> tuple[int, Any]:
    """The status and the answer of an attempt that is ended through the API."""
    headers = await paydue.access()
    path = f"/api/ChargeAttempt/{attempt}/end"
    async with paydue.http.post(path, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def _an_unknown_attempt(paydue: Paydue, *, when: str = "before") -> Any:
    """A confirm without an answer, whose intent Stripe does not show either."""
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CONFIRM, kind="drop", when=when, times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    (attempt,) = await paydue.attempts(invoice)
    assert attempt.state == "unknown"
    return attempt


async def _assert_open_still(paydue: Paydue, attempt: Any) -> None:
    (row,) = await paydue.attempts(attempt.invoice_id)
    assert (row.state, row.lease_until) == (attempt.state, None)
    assert await paydue.rows(CHANGES, CHANGES.c.field_name == "attempts[1].state") == []


async def test_an_attempt_whose_intent_stripe_has_forgotten_is_ended_and_audited(
    paydue: Paydue,
) -> None:
    attempt = await _an_unknown_attempt(paydue)
    paydue.sandbox.forget_everything()

    status, shown = await _end(paydue, attempt.id)

    assert (status, shown["state"], shown["amount"]) == (200, "canceled", 120)
    assert shown["reason"] == (
        "the test data was deleted (ended by tests: "
        f"acct_1Sandbox (test) does not know {attempt.intent_id})"
    )
    (change,) = await paydue.rows(CHANGES, CHANGES.c.invoice_id == attempt.invoice_id)
    assert (change.field_name, change.old_value, change.who) == (
        "attempts[1].state", "unknown", "tests",
    )  # fmt: skip
    assert change.new_value == f"canceled: {shown['reason']}"


async def test_an_invoice_whose_attempt_was_ended_is_charged_by_the_next_run(
    paydue: Paydue,
) -> None:
    attempt = await _an_unknown_attempt(paydue)

    status, shown = await _end(paydue, attempt.id)
    report = await paydue.autopay()

    assert status == 200
    assert shown["reason"].endswith(f"Stripe has canceled {attempt.intent_id})")
    (charged,) = report["charged"]
    assert charged["intent_id"] != attempt.intent_id
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_an_attempt_whose_intent_has_been_paid_is_not_ended(paydue: Paydue) -> None:
    attempt = await _an_unknown_attempt(paydue, when="after")

    status, said = await _end(paydue, attempt.id)
    paydue.sandbox.forget_events()
    report = await paydue.autopay()

    assert status == 400
    assert said["Message"] == (
        f"attempt {attempt.id} cannot be ended: Stripe says that {attempt.intent_id} is succeeded"
    )
    assert [one["intent_id"] for one in report["charged"]] == [attempt.intent_id]
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_an_attempt_whose_intent_was_canceled_is_ended(paydue: Paydue) -> None:
    attempt = await _an_unknown_attempt(paydue)
    paydue.sandbox.fault(CANCEL, kind="drop", when="after", times=1)
    lost, _ = await _end(paydue, attempt.id)
    await _assert_open_still(paydue, attempt)

    status, shown = await _end(paydue, attempt.id)

    assert (lost, status) == (503, 200)
    assert shown["reason"].endswith(f"{attempt.intent_id} is canceled at Stripe)")


async def test_a_create_without_an_answer_is_looked_for_and_canceled(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CREATE, kind="drop", when="after", times=1)
    await paydue.autopay()
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.intent_id) == ("unknown", None)

    status, shown = await _end(paydue, attempt.id)

    (intent,) = paydue.sandbox.state["payment_intents"].rows()
    assert (status, intent["status"]) == (200, "canceled")
    assert shown["reason"].endswith(f"Stripe has canceled {intent['id']})")


async def test_an_attempt_that_reached_no_intent_is_ended(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CREATE, kind="unauthorized", times=1)
    with pytest.raises(NotAuthorized):
        await paydue.autopay()
    (attempt,) = await paydue.attempts(invoice)

    status, shown = await _end(paydue, attempt.id)

    assert (status, shown["state"]) == (200, "canceled")
    assert shown["reason"].endswith("Stripe has no intent of it)")


async def test_another_accounts_key_ends_nothing(paydue: Paydue) -> None:
    attempt = await _an_unknown_attempt(paydue)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(stripe_account="acct_other (test)"))
    paydue.sandbox.forget_everything()

    status, said = await _end(paydue, attempt.id)

    assert status == 400
    assert "it began under acct_other (test), the key is acct_1Sandbox (test)'s" in said["Message"]
    await _assert_open_still(paydue, attempt)


async def test_the_key_of_the_other_mode_ends_nothing(paydue: Paydue) -> None:
    attempt = await _an_unknown_attempt(paydue)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(stripe_account="acct_1Sandbox (live)"))
    paydue.sandbox.forget_everything()

    status, said = await _end(paydue, attempt.id)

    assert status == 400
    assert "it began under acct_1Sandbox (live)" in said["Message"]


@pytest.mark.parametrize("is_customer_known", [True, False])
async def test_an_attempt_of_before_is_ended_where_its_customer_is_known(
    paydue: Paydue, is_customer_known: bool
) -> None:
    attempt = await _an_unknown_attempt(paydue)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(stripe_account=None))
    paydue.sandbox.forget_everything()
    if is_customer_known:
        paydue.sandbox.add_customer(attempt.customer_id, payment_method="pm_again")

    status, said = await _end(paydue, attempt.id)

    assert status == (200 if is_customer_known else 400), said


@pytest.mark.parametrize(
    ("call", "fault", "status"),
    [
        (CANCEL, {"kind": "status", "status": 503}, 503),
        (CANCEL, {"kind": "rate_limit"}, 503),
        (CANCEL, {"kind": "unauthorized"}, 400),
    ],
)
async def test_without_stripes_word_nothing_is_ended(
    paydue: Paydue, call: str, fault: dict[str, Any], status: int
) -> None:
    attempt = await _an_unknown_attempt(paydue)
    paydue.sandbox.fault(call, times=1, **fault)

    answered, _ = await _end(paydue, attempt.id)

    assert answered == status
    await _assert_open_still(paydue, attempt)


async def test_only_an_account_that_answers_proves_that_an_intent_is_unknown(
    paydue: Paydue,
) -> None:
    attempt = await _an_unknown_attempt(paydue)
    paydue.sandbox.forget_everything()
    paydue.sandbox.fault(ACCOUNT, kind="status", status=500, times=1)

    status, _ = await _end(paydue, attempt.id)

    assert status == 503
    await _assert_open_still(paydue, attempt)


async def test_an_attempt_that_has_ended_is_not_ended_again(paydue: Paydue) -> None:
    attempt = await _an_unknown_attempt(paydue)
    await _end(paydue, attempt.id)

    status, said = await _end(paydue, attempt.id)

    assert (status, said["Message"]) == (
        400, f"attempt {attempt.id} has ended already: it is canceled",
    )  # fmt: skip
    assert (await _end(paydue, 4711))[0] == 404


async def test_an_attempt_that_a_run_works_on_is_left_to_it(paydue: Paydue) -> None:
    attempt = await _an_unknown_attempt(paydue)
    async with paydue.database.transaction() as tx:
        later = NOW.replace(year=2999)
        await tx.execute(update(ATTEMPTS).values(lease_token="a run", lease_until=later))

    status, _ = await _end(paydue, attempt.id)

    assert status == 409
    assert (await paydue.attempts(attempt.invoice_id))[0].state == "unknown"


@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": "x" * 501}, []])
async def test_nobody_ends_an_attempt_without_saying_why(paydue: Paydue, body: Any) -> None:
    attempt = await _an_unknown_attempt(paydue)

    status, _ = await _end(paydue, attempt.id, body)

    assert status == 400
    await _assert_open_still(paydue, attempt)


async def test_only_a_scope_that_opens_everything_ends_an_attempt(paydue: Paydue) -> None:
    attempt = await _an_unknown_attempt(paydue)
    async with paydue.database.transaction() as tx:
        form = await create_credential(tx, "clerk", ["edit:invoices", "edit:customers"], NOW)
    grant = {"grant_type": "client_credentials", "client_id": form[0], "client_secret": form[1]}
    async with paydue.http.post("/auth/token", data=grant) as answer:
        headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}

    path = f"/api/ChargeAttempt/{attempt.id}"
    async with paydue.http.post(f"{path}/end", json=WHY, headers=headers) as answer:
        ended = answer.status
    async with paydue.http.get(path, headers=headers) as answer:
        shown = await answer.json()

    assert (ended, shown["state"], shown["intent_id"]) == (403, "unknown", attempt.intent_id)


# --- nothing sent, nothing unknown -------------------------------------------------------------


async def test_a_question_without_an_answer_leaves_an_attempt_open(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(SESSIONS, kind="status", status=503, times=1)

    report = await paydue.autopay()

    assert report["unknown"] == []
    assert [one["invoice_id"] for one in report["skipped"]] == [invoice]
    assert [row.state for row in await paydue.attempts(invoice)] == ["open"]
    assert len((await paydue.autopay())["charged"]) == 1


async def test_an_unknown_attempt_stays_unknown_while_questions_get_no_answer(
    paydue: Paydue,
) -> None:
    attempt = await _an_unknown_attempt(paydue)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=9)

    report = await paydue.autopay()

    assert {one["invoice_id"] for one in report["unknown"]} == {attempt.invoice_id}
    assert [row.state for row in await paydue.attempts(attempt.invoice_id)] == ["unknown"]

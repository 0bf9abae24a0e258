"""Each invoice says in one sentence whether it is charged, and what would change it."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.payments.autopay.eligibility import Skip
from app.payments.autopay.report import Outcome, OutcomeKind
from tests.harness import Paydue, today
from tests.test_autopay_approvals import decide
from tests.test_autopay_rules import add, invoices, limit, post

pytestmark = pytest.mark.anyio

NOT_CHARGED = re.compile(r"It is not charged: (.+)\. What would change it: (.+)\.")


async def why(paydue: Paydue, invoice: int) -> dict[str, Any]:
    headers = await paydue.access("read:invoices")
    async with paydue.http.get(f"/api/Invoice/{invoice}/autopay", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def test_an_invoice_says_when_and_by_what_it_is_charged(paydue: Paydue) -> None:
    plain, later = await paydue.an_invoice(), await paydue.an_invoice(order_number="late")
    (client,) = {(await paydue.invoice(plain)).client_id}
    await add(paydue, name="Late", order_number="late", days=3, charge_method="bank")

    one, other = await why(paydue, plain), await why(paydue, later)

    assert one["sentence"] == f"It is charged 120.00 usd in the next run, by {one['method']}."
    assert one["method"].startswith("pm_")
    assert (one["charge_on"], one["rule"], client is not None) == (str(today()), None, True)
    day = today() + timedelta(days=3)
    assert other["sentence"] == (
        f"It is charged 120.00 usd on {day}, by {other['method']}, under the rule 'Late': "
        f"the rule 'Late' charges it on {day}."
    )
    assert "a bank debit saved at Stripe, else pm_" in other["method"]


async def _scenes(paydue: Paydue) -> dict[str, int]:
    """An invoice for each verdict that needs no charge to be made."""
    inactive = await paydue.a_client(inactive=True)
    nobody = await paydue.a_client(stripe_customer_id=None)
    names = {
        "voided": {"voided": True},
        "never": {"contract_id": 1},
        "ask": {"contract_id": 2},
        "counts": {"contract_id": 3, "invoice_date": None},
        "paused": {"contract_id": 4},
        "rejected": {"contract_id": 5},
        "limit": {"total": "5000.00"},
        "inactive": {"client": inactive},
        "no customer": {"client": nobody},
        "no client": {"client_id": None},
        "processing": {"payments_pending": 1},
        "disputed": {"payments_reversed": 1},
        "amount": {"total": "1.005"},
    }
    found = {name: await paydue.an_invoice(**columns) for name, columns in names.items()}
    await add(paydue, name="Never", action="never", contract_id=1)
    await add(paydue, name="Ask", action="ask", contract_id=2)
    await add(paydue, name="Counts", day_from="invoice", contract_id=3)
    await add(paydue, name="Reject", action="ask", contract_id=5)
    await limit(paydue, "invoice", 4000)
    body = {"invoice_id": found["paused"], "reason": "wait"}
    assert (await post(paydue, "AutopayPause", [body]))[0] == 200
    (await paydue.autopay())
    await decide(paydue, "reject", found["rejected"], reason="no")
    return found


async def test_every_reason_is_told_alike_by_the_invoice_the_dry_run_and_the_run(
    paydue: Paydue,
) -> None:
    scenes = await _scenes(paydue)

    foreseen, report = await paydue.foresee(), await paydue.autopay()

    said = [
        {one["invoice_id"]: one for kind in OutcomeKind for one in of[kind]}
        for of in (foreseen, report)
    ]
    for name, invoice in scenes.items():
        answer = await why(paydue, invoice)
        told = NOT_CHARGED.fullmatch(answer["sentence"])
        assert told, (name, answer)
        assert (answer["reason"], answer["change"]) == told.groups(), name
        for one in said:
            if invoice in one:  # a voided one is in no list of what is due
                entry = one[invoice]
                assert (entry["reason"], entry["change"]) == told.groups(), name
    reasons = {(await why(paydue, one))["reason"] for one in scenes.values()}
    assert len(reasons) == len(scenes), "each has a reason of its own"
    assert invoices(report, "charged") == []


async def test_a_declined_invoice_says_when_it_is_tried_again(paydue: Paydue) -> None:
    soft = await paydue.an_invoice(client=await paydue.a_client("insufficient_funds"))
    hard = await paydue.an_invoice(client=await paydue.a_client("stolen_card"))

    report = {one["invoice_id"]: one for one in (await paydue.autopay())["declined"]}
    later, never = await why(paydue, soft), await why(paydue, hard)

    day = report[soft]["next_try"]
    assert report[soft]["change"] == f"the next try, on {day}, or another payment method"
    assert (later["charge_on"], later["last_attempt"]) == (day, "declined")
    assert "insufficient_funds" in later["sentence"]
    assert NOT_CHARGED.fullmatch(never["sentence"])
    assert report[hard]["change"] == never["change"]


@pytest.mark.parametrize(("reason", "change"), [("", "a"), (" ", "a"), ("a", ""), ("a", " ")])
def test_no_skip_is_without_words(reason: str, change: str) -> None:
    with pytest.raises(AssertionError):
        Skip(reason, change=change)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind != OutcomeKind.CHARGED])
def test_no_outcome_but_a_charge_is_without_words(kind: OutcomeKind) -> None:
    """So each test of the suite fails that meets an outcome without a sentence."""
    for reason, change in ((None, "a"), ("a", None), ("", "a"), ("a", "")):
        with pytest.raises(AssertionError):
            Outcome(kind, 1, Decimal(1), "usd", reason=reason, change=change)


async def test_an_invoice_that_is_none_has_no_forecast(paydue: Paydue) -> None:
    headers = await paydue.access("read:invoices")

    for number in (999, -2):
        async with paydue.http.get(f"/api/Invoice/{number}/autopay", headers=headers) as answer:
            assert answer.status == 404

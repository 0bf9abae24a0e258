"""All that a client owes on a day is one charge, where it is wished, and is shared out exactly."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from app.payments import lookup
from app.payments.status import status
from app.rules.consolidation import INVOICES_MAX
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.tables.charge_attempts import ChargeAttemptShare
from app.storage.tables.invoices import InvoiceChange
from tests.gate import Gate
from tests.harness import ATTEMPTS, CLIENTS, Paydue, event, settings_for, today

pytestmark = pytest.mark.anyio

CONFIRM = "POST /v1/payment_intents/{id}/confirm"
CREATE = "POST /v1/payment_intents"
RETRIEVE = "GET /v1/payment_intents/{id}"
SHARES = table_of(ChargeAttemptShare)
CHANGES = table_of(InvoiceChange)


async def _due(
    paydue: Paydue, *totals: str, behaviour: Any = "succeed", **client: Any
) -> list[int]:
    """Invoices of one client that wants one charge, in the order of their ids."""
    one = await paydue.a_client(behaviour, **{"consolidate": True, **client})
    return [await paydue.an_invoice(total, client=one) for total in totals]


async def _saved(paydue: Paydue, path: str, **record: Any) -> tuple[int, Any]:
    headers = await paydue.access()
    async with paydue.http.post(f"/api/{path}", json=[record], headers=headers) as answer:
        return answer.status, await answer.json()


async def _voided(paydue: Paydue, invoice: int) -> tuple[int, str]:
    headers = await paydue.access()
    async with paydue.http.post(f"/api/Invoice/{invoice}/void", headers=headers) as answer:
        return answer.status, (await answer.json()).get("Message", "")


async def _paid(paydue: Paydue, invoices: list[int]) -> list[Decimal]:
    return [(await paydue.invoice(one)).amountpaid for one in invoices]


async def _attempts(paydue: Paydue) -> list[tuple[int, int, str]]:
    rows = await paydue.rows(ATTEMPTS, ATTEMPTS.c.id > 0)
    return [(row.invoice_id, row.number, row.state) for row in rows]


def _charged(paydue: Paydue) -> list[int]:
    return [one.amount for one in paydue.sandbox.ledger.charges()]


def _entries(entries: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(one["invoice_id"], one["amount"]) for one in entries]


async def test_invoices_of_a_client_are_one_charge_and_each_is_paid_exactly(
    paydue: Paydue,
) -> None:
    first, second, third = invoices = await _due(paydue, "120.00", "0.99", "30.50")

    report = await paydue.autopay()

    (charge,) = paydue.sandbox.ledger.charges()
    assert charge.amount == 15149
    assert _entries(report["charged"]) == [(first, "120.00"), (second, "0.99"), (third, "30.50")]
    assert {one["intent_id"] for one in report["charged"]} == {charge.payment_intent}
    for one in invoices:
        (payment,) = await paydue.payments(one)
        row = await paydue.invoice(one)
        assert (payment.counted, payment.intent_id) == (row.total, charge.payment_intent)
        assert (row.amountdue, row.paymentstatus) == (0, 2)
    assert charge.metadata["invoice_ids_1"] == f"{first}=12000 {second}=99 {third}=3050"
    intent = paydue.sandbox.state.find("payment_intents", charge.payment_intent)
    numbers = [(await paydue.invoice(one)).invoicenumber for one in invoices]
    assert intent["description"] == f"Invoices {', '.join(numbers)}"
    assert [row.is_unresolved for row in await paydue.rows(SHARES, SHARES.c.id > 0)] == [False] * 3


@pytest.mark.parametrize(
    ("setting", "wish", "charges"),
    [
        (False, None, [100, 200]),
        (False, False, [100, 200]),
        (False, True, [300]),
        (True, None, [300]),
        (True, False, [100, 200]),
        (True, True, [300]),
    ],
)
async def test_the_clients_own_wish_comes_before_the_setting(
    database_url: str,
    sandbox: Sandbox,
    stripe_url: str,
    setting: bool,
    wish: bool | None,
    charges: list[int],
) -> None:
    settings = settings_for(database_url, stripe_url, PAYDUE_AUTOPAY_CONSOLIDATE=setting)
    async with Paydue.running(settings, sandbox) as paydue:
        client = await paydue.a_client(consolidate=None)
        status, saved = await _saved(paydue, "Client", id=client, consolidate=wish)
        assert (status, saved.get("consolidate")) == (200, wish)
        for total in ("1.00", "2.00"):
            await paydue.an_invoice(total, client=client)

        report = await paydue.autopay()

        assert sorted(_charged(paydue)) == charges
        assert len(report["charged"]) == 2


async def test_currencies_clients_and_days_are_not_mixed(paydue: Paydue) -> None:
    dollars = await _due(paydue, "10.00", "20.00")
    client = (await paydue.invoice(dollars[0])).client_id
    euros = [await paydue.an_invoice("5.00", client=client, currency_iso="eur") for _ in range(2)]
    await paydue.an_invoice("7.00", client=client, due=today() + timedelta(days=2))
    others = await _due(paydue, "1.00", "2.00")

    await paydue.autopay()

    assert sorted(_charged(paydue)) == [300, 1000, 3000]
    assert await _paid(paydue, dollars + euros + others) == [10, 20, 5, 5, 1, 2]


async def test_more_invoices_than_a_charge_may_have_are_charged_in_a_second_one(
    paydue: Paydue,
) -> None:
    invoices = await _due(paydue, *["1.00"] * (INVOICES_MAX + 2))

    report = await paydue.autopay()

    assert sorted(_charged(paydue)) == [200, INVOICES_MAX * 100]
    assert sorted(one["invoice_id"] for one in report["charged"]) == invoices


async def test_an_invoice_that_may_not_be_charged_stays_out(paydue: Paydue) -> None:
    first, second, third = await _due(paydue, "10.00", "20.00", "30.00")
    await _voided(paydue, second)

    report = await paydue.autopay()

    assert _charged(paydue) == [4000]
    assert _entries(report["charged"]) == [(first, "10.00"), (third, "30.00")]


# --- changes before the confirm ----------------------------------------------------------------


@pytest.fixture
async def held(database_url: str, sandbox: Sandbox, gate: Gate) -> AsyncIterator[Paydue]:
    """A Paydue whose requests can be held back on the way to Stripe."""
    async with Paydue.running(settings_for(database_url, gate.url), sandbox) as paydue:
        yield paydue


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_an_invoice_that_changes_before_the_confirm_is_the_only_one_taken_out(
    held: Paydue, gate: Gate, place: int
) -> None:
    invoices = await _due(held, "10.00", "20.00", "40.00")
    changed = invoices[place]
    looking = gate.hold("GET", "/v1/checkout/sessions")
    run = asyncio.create_task(held.autopay())
    await looking.came()

    status, said = await _saved(held, "Invoice", id=changed, take_auto_payment=False)
    looking.let_go()
    report = await run

    assert status == 201, said
    others = [one for one in invoices if one != changed]
    assert _charged(held) == [7000 - [1000, 2000, 4000][place]]
    assert [one["invoice_id"] for one in report["charged"]] == others
    (skipped,) = report["skipped"]
    assert (skipped["invoice_id"], skipped["reason"]) == (
        changed,
        "autopay is switched off for it",
    )
    assert await _attempts(held) == [(invoices[0], 1, "canceled"), (others[0], 2, "succeeded")]
    assert await _paid(held, [changed]) == [0]


async def test_money_that_a_card_holds_for_one_invoice_takes_only_that_one_out(
    paydue: Paydue,
) -> None:
    first, second, third = invoices = await _due(paydue, "10.00", "20.00", "40.00")
    client = (await paydue.invoice(first)).client_id
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    elsewhere = paydue.sandbox.strangers.open_intent(
        2000,
        customer=row.stripe_customer_id,
        metadata={"invoice_id": str(second)},
        capture_method="manual",
    )
    paydue.sandbox.strangers.finish_intent(elsewhere["id"])

    report = await paydue.autopay()

    assert _charged(paydue) == [5000]
    assert [one["invoice_id"] for one in report["charged"]] == [first, third]
    (skipped,) = report["skipped"]
    assert skipped["invoice_id"] == second
    assert elsewhere["id"] in skipped["reason"]
    assert await _paid(paydue, invoices) == [10, 0, 40]


async def test_an_attempt_of_a_run_that_died_goes_on_without_what_has_changed_since(
    paydue: Paydue,
) -> None:
    first, second, third = invoices = await _due(paydue, "10.00", "20.00", "40.00")
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=1)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    debit = await paydue.own_intent(second, "processing", amount=2000)
    assert await paydue.deliver(event("payment_intent.processing", debit)) == [200]
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(check_at=datetime.now(UTC)))

    assert await paydue.recover() == 3

    assert _charged(paydue) == [5000]
    assert await _attempts(paydue) == [(first, 1, "canceled"), (first, 2, "succeeded")]
    assert await _paid(paydue, invoices) == [10, 0, 40]
    assert third in invoices


# --- what fails --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop", "status"])
@pytest.mark.parametrize("endpoint", [CREATE, CONFIRM])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_never_means_a_second_charge_of_any_invoice(
    paydue: Paydue, endpoint: str, when: str, kind: str
) -> None:
    invoices = await _due(paydue, "10.00", "20.00")
    more = {"status": 500} if kind == "status" else {}
    paydue.sandbox.fault(endpoint, kind=kind, when=when, times=1, **more)

    for _ in range(3):
        await paydue.autopay()
        paydue.sandbox.clock.advance(25 * 3600)

    assert _charged(paydue) == [3000]
    assert await _paid(paydue, invoices) == [10, 20]
    assert await _attempts(paydue) == [(invoices[0], 1, "succeeded")]


async def test_a_decline_counts_for_every_invoice_and_a_retry_may_have_more(
    paydue: Paydue,
) -> None:
    first, second = await _due(
        paydue, "10.00", "20.00", behaviour=["insufficient_funds", "succeed"]
    )
    tomorrow = today() + timedelta(days=1)
    declined = (await paydue.autopay(today()))["declined"]
    again = await paydue.autopay(today())
    client = (await paydue.invoice(first)).client_id
    third = await paydue.an_invoice("40.00", client=client, due=tomorrow)

    report = await paydue.autopay(tomorrow)

    assert _entries(declined) == [(first, "10.00"), (second, "20.00")]
    assert {one["next_try"] for one in declined} == {str(tomorrow)}
    assert {one["reason"] for one in again["skipped"]} == {
        "attempt 1 was declined: insufficient_funds"
    }
    assert [one["invoice_id"] for one in report["charged"]] == [first, second, third]
    assert _charged(paydue) == [7000]
    old = paydue.sandbox.state.find("payment_intents", declined[0]["intent_id"])
    assert old["status"] == "canceled"


async def test_invoices_of_a_declined_charge_are_charged_alone_by_intents_of_their_own(
    paydue: Paydue,
) -> None:
    invoices = await _due(paydue, "10.00", "20.00", behaviour=["insufficient_funds", "succeed"])
    (declined, _) = (await paydue.autopay(today()))["declined"]
    client = (await paydue.invoice(invoices[0])).client_id
    await _saved(paydue, "Client", id=client, consolidate=False)

    report = await paydue.autopay(today() + timedelta(days=1))

    assert sorted(_charged(paydue)) == [1000, 2000]
    assert declined["intent_id"] not in {one["intent_id"] for one in report["charged"]}
    assert await _paid(paydue, invoices) == [10, 20]


async def test_a_refused_sum_is_no_verdict_on_any_of_its_amounts(paydue: Paydue) -> None:
    first, second = await _due(paydue, "0.20", "0.20")
    held = (await paydue.autopay())["held"]

    again = (await paydue.autopay())["held"]

    for entries in (held, again):
        assert _entries(entries) == [(first, "0.20"), (second, "0.20")]
    assert await _attempts(paydue) == [
        (first, 1, "refused"),
        (first, 2, "refused"),
        (second, 2, "refused"),
    ]


# --- one unresolved attempt an invoice ---------------------------------------------------------


async def _left_unknown(paydue: Paydue) -> dict[str, Any]:
    """A run whose confirms get no answer, nor any question after them."""
    paydue.sandbox.fault(CONFIRM, kind="drop", when="after", times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    report = await paydue.autopay()
    paydue.sandbox.clear_faults()
    return report


async def test_every_invoice_of_a_charge_under_way_refuses_what_would_change_it(
    paydue: Paydue,
) -> None:
    first, second = await _due(paydue, "10.00", "20.00")
    unknown = (await _left_unknown(paydue))["unknown"]
    assert _entries(unknown) == [(first, "10.00"), (second, "20.00")]
    under_way = "charge attempt 1 of it is unknown; wait for its end"

    for invoice in (first, second):
        status, said = await _voided(paydue, invoice)
        assert (status, said) == (409, f"invoice {invoice} cannot be voided: {under_way}")
        status, answer = await _saved(paydue, "InvoicePayment", invoice_id=invoice, amount=1)
        assert (status, answer["Message"]) == (
            409,
            f"invoice {invoice} takes no payment by hand: {under_way}",
        )
    shares = await paydue.rows(SHARES, SHARES.c.is_unresolved)
    assert [row.invoice_id for row in shares] == [first, second]


async def test_an_event_that_comes_first_shares_the_money_out_exactly(paydue: Paydue) -> None:
    invoices = await _due(paydue, "10.00", "20.00", "40.00")
    (unknown, *_) = (await _left_unknown(paydue))["unknown"]
    taken = paydue.sandbox.state.find("payment_intents", unknown["intent_id"])

    assert await paydue.deliver(event("payment_intent.succeeded", taken)) == [200]

    assert await _paid(paydue, invoices) == [10, 20, 40]
    assert await _attempts(paydue) == [(invoices[0], 1, "succeeded")]
    assert await paydue.rows(SHARES, SHARES.c.is_unresolved) == []
    assert (await paydue.autopay())["charged"] == []
    assert _charged(paydue) == [7000]


async def test_an_invoice_that_is_charged_alone_already_stays_out_of_a_charge_of_others(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client("bank_debit_succeeds", consolidate=True)
    alone = await paydue.an_invoice("10.00", client=client)
    (pending,) = (await paydue.autopay())["pending"]
    others = [await paydue.an_invoice("20.00", client=client) for _ in range(2)]

    report = await paydue.autopay()

    assert pending["invoice_id"] == alone
    assert [one["invoice_id"] for one in report["pending"]] == [alone, *others]
    assert [one["invoice_id"] for one in report["skipped"]] == [alone]
    assert await _attempts(paydue) == [(alone, 1, "processing"), (others[0], 1, "processing")]


async def test_five_runs_at_once_charge_each_invoice_once(paydue: Paydue) -> None:
    clients = [await _due(paydue, "10.00", "20.00") for _ in range(4)]

    reports = await asyncio.gather(*(paydue.autopay() for _ in range(5)))

    charged = [one["invoice_id"] for report in reports for one in report["charged"]]
    assert sorted(charged) == sorted(one for client in clients for one in client)
    assert _charged(paydue) == [3000] * 4


async def test_a_refund_is_taken_from_the_newest_invoice_first(paydue: Paydue) -> None:
    invoices = await _due(paydue, "10.00", "20.00", "40.00")
    await paydue.autopay()
    (charge,) = paydue.sandbox.ledger.charges()

    refund = {
        "id": "re_1", "object": "refund", "amount": 4500, "currency": "usd",
        "payment_intent": charge.payment_intent, "charge": charge.charge, "status": "succeeded",
    }  # fmt: skip
    assert await paydue.deliver(event("refund.created", refund)) == [200]

    assert await _paid(paydue, invoices) == [10, 15, 0]


async def test_an_invoice_that_owes_again_takes_what_is_left_of_the_charge_it_was_part_of(
    paydue: Paydue,
) -> None:
    first, second = invoices = await _due(paydue, "10.00", "30.00")
    (unknown, *_) = (await _left_unknown(paydue))["unknown"]
    taken = paydue.sandbox.state.find("payment_intents", unknown["intent_id"])
    other = await paydue.own_intent(second, amount=3000)
    assert await paydue.deliver(event("payment_intent.succeeded", other)) == [200]
    assert await paydue.deliver(event("payment_intent.succeeded", taken)) == [200]
    assert await _shares_of(paydue, taken["id"]) == {first: 10, None: 30}

    refund = {
        "id": "re_1", "object": "refund", "amount": 3000, "currency": "usd",
        "payment_intent": other["id"], "status": "succeeded",
    }  # fmt: skip
    assert await paydue.deliver(event("refund.created", refund)) == [200]

    assert await _shares_of(paydue, taken["id"]) == {first: 10, second: 30}
    assert await _paid(paydue, invoices) == [10, 30]


async def _shares_of(paydue: Paydue, intent: str) -> dict[int | None, Decimal]:
    found = [one for one in await paydue.payments() if one.intent_id == intent]
    return {one.invoice_id: one.counted for one in found}


# --- what support sees -------------------------------------------------------------------------


async def _listed(paydue: Paydue, path: str) -> Any:
    async with paydue.http.get(f"/api/{path}", headers=await paydue.access()) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_an_attempt_is_found_by_each_of_its_invoices_and_shows_their_shares(
    paydue: Paydue,
) -> None:
    first, second = await _due(paydue, "10.00", "20.00")
    await _due(paydue, "5.00")
    await paydue.autopay()

    by_first, by_second = [
        await _listed(paydue, f"ChargeAttempt?invoice_id={one}") for one in (first, second)
    ]

    assert by_first == by_second
    (attempt,) = by_first["chargeattempts"] if isinstance(by_first, dict) else by_first
    assert (attempt["invoice_id"], attempt["amount"], attempt["is_consolidated"]) == (
        first,
        30,
        True,
    )
    assert attempt["shares"] == [
        {"invoice_id": first, "amount": 10},
        {"invoice_id": second, "amount": 20},
    ]


async def test_a_lookup_by_any_invoice_tells_every_share_and_the_attempt(paydue: Paydue) -> None:
    first, second = await _due(paydue, "10.00", "20.00")
    (charged, _) = (await paydue.autopay())["charged"]

    for asked in (charged["intent_id"], str(first), str(second)):
        async with paydue.database.snapshot() as tx:
            (story,) = [one.as_dict() for one in await lookup.find_intents(tx, asked)]
        assert story["invoice_id"] == (second if asked == str(second) else first)
        assert [one["number"] for one in story["attempts"]] == [1]
        shares = {one["invoice_id"]: one["amount"] for one in story["shares"]}
        assert shares == {first: "10.00", second: "20.00"}


async def test_every_invoice_of_a_refused_charge_is_counted_as_held(paydue: Paydue) -> None:
    await _due(paydue, "0.10", "0.20")
    await paydue.autopay()

    async with paydue.database.snapshot() as tx:
        told = await status(tx, now=datetime.now(UTC), timezone="UTC")

    assert told["invoices_held"] == 2


async def test_an_attempt_ended_by_hand_is_in_the_history_of_each_invoice(paydue: Paydue) -> None:
    first, second = await _due(paydue, "10.00", "20.00")
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    (attempt,) = await paydue.attempts(first)

    headers, body = await paydue.access(), {"reason": "the card is at home"}
    async with paydue.http.post(
        f"/api/ChargeAttempt/{attempt.id}/end", json=body, headers=headers
    ) as answer:
        assert answer.status == 200, await answer.text()

    for invoice in (first, second):
        changes = await paydue.rows(CHANGES, CHANGES.c.invoice_id == invoice)
        assert "attempts[1].state" in [one.field_name for one in changes]
    assert (await paydue.autopay())["charged"] != []
    assert _charged(paydue) == [3000]


async def test_a_dry_run_asks_for_each_customer_once(paydue: Paydue) -> None:
    for _ in range(3):
        await _due(paydue, *["5.00"] * 4, stripe_payment_method_id=None)

    foreseen = await paydue.foresee()

    assert len(foreseen["charged"]) == 12
    assert paydue.sandbox.status()["requests_received"] == 3

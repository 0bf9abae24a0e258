"""Every cent that Stripe took stands in the books once: paid, credited, refunded or unapplied."""

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest

from app.sandbox.stripe_api import captures, customers_api
from tests.harness import CLIENTS, Paydue, event, intent

pytestmark = pytest.mark.anyio

DUE = 12_000


# --- a person's word ------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["at once", "later"])
@pytest.mark.parametrize(("currency", "amount"), [("eur", DUE), ("jpy", 120), ("jpy", DUE)])
async def test_an_intent_of_another_currency_pays_nothing_whatever_a_person_says(
    paydue: Paydue, currency: str, amount: int, asked: str
) -> None:
    invoice = await paydue.an_invoice()
    paid = paydue.sandbox.strangers.pay(amount, currency)
    if asked == "later":
        paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=50)

    await posted(paydue, invoice_id=invoice, amount=120, intent_id=paid["id"])
    paydue.sandbox.clear_faults()
    await paydue.reconcile()

    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (0, 120)
    (share,) = [one for one in await paydue.payments() if one.counted]
    assert (share.currency_iso, share.invoice_id) == (currency, None)


async def test_an_intent_of_another_clients_customer_pays_nothing_once_stripe_has_said_so(
    paydue: Paydue,
) -> None:
    invoice, others = await paydue.an_invoice(), await paydue.an_invoice()
    paid = paydue.sandbox.strangers.pay(DUE, customer=await customer_of(paydue, others))
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=50)

    status, _ = await posted(paydue, invoice_id=invoice, amount=120, intent_id=paid["id"])
    paydue.sandbox.clear_faults()
    await paydue.reconcile()

    assert status == 200
    assert (await paydue.invoice(invoice)).amountpaid == 0
    assert books(await paydue.payments()) == DUE


async def test_one_intent_named_twice_in_one_request_gives_no_more_than_it_has(
    paydue: Paydue,
) -> None:
    first, second = await paydue.an_invoice(), await paydue.an_invoice("80.00")
    paid = paydue.sandbox.strangers.pay(15_000)
    claims = [
        {"invoice_id": first, "amount": 120, "intent_id": paid["id"]},
        {"invoice_id": second, "amount": 80, "intent_id": paid["id"]},
    ]

    status, _ = await sent(paydue, claims)
    await paydue.reconcile()

    assert status == 400
    assert [(await paydue.invoice(one)).amountpaid for one in (first, second)] == [0, 0]
    assert books(await paydue.payments()) == 15_000


async def test_a_payment_by_hand_of_the_same_money_at_ten_clicks_becomes_credit(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice(take_auto_payment=False)

    answers = await asyncio.gather(
        *(posted(paydue, invoice_id=invoice, amount=120) for _ in range(10))
    )

    entered = sum(status == 200 for status, _ in answers)
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (120, 0)
    assert books(await paydue.payments()) == entered * DUE


# --- credit notes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ten at once", "two in one request"])
async def test_a_credit_note_pays_no_more_than_it_has(paydue: Paydue, how: str) -> None:
    client = await paydue.a_client()
    note = await paydue.an_invoice(
        "-120.00", client=client, take_auto_payment=False, amountdue=Decimal(0), invoicetype=1
    )
    invoices = [await paydue.an_invoice(client=client) for _ in range(10)]
    claims = [{"invoice_id": one, "amount": 120, "credit_note_id": note} for one in invoices]

    if how == "ten at once":
        await asyncio.gather(*(sent(paydue, [one]) for one in claims))
    else:
        await sent(paydue, claims[:2])

    paid = [(await paydue.invoice(one)).amountpaid for one in invoices]
    assert sum(paid) == (120 if how == "ten at once" else 0)


async def test_a_credit_note_that_has_paid_is_not_voided_and_used_again(paydue: Paydue) -> None:
    client = await paydue.a_client()
    note = await paydue.an_invoice(
        "-120.00", client=client, take_auto_payment=False, amountdue=Decimal(0), invoicetype=1
    )
    invoice = await paydue.an_invoice(client=client)
    await posted(paydue, invoice_id=invoice, amount=120, credit_note_id=note)

    headers = await paydue.access()
    async with paydue.http.post(f"/api/Invoice/{note}/void", headers=headers) as answer:
        status = answer.status

    assert status == 400
    assert (await paydue.invoice(invoice)).amountdue == 0


# --- duplicates, captures and their events --------------------------------------------------------


@pytest.mark.parametrize("refunded", ["first", "second"])
@pytest.mark.parametrize("turned", [False, True])
async def test_a_refund_of_one_of_two_payments_leaves_the_invoice_paid_by_the_other(
    paydue: Paydue, refunded: str, turned: bool
) -> None:
    invoice = await paydue.an_invoice()
    named, customer = {"invoice_id": str(invoice)}, await customer_of(paydue, invoice)
    pays = [paydue.sandbox.strangers.pay(DUE, customer=customer, metadata=named) for _ in range(2)]
    paydue.sandbox.refund(pays[0 if refunded == "first" else 1]["id"])
    happened = list(paydue.sandbox.events)

    for one in [*reversed(happened), *happened] if turned else happened:
        assert (await paydue.deliver(one)) == [200]
    await paydue.replay()
    await paydue.reconcile()

    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (120, 0)
    assert books(await paydue.payments()) == DUE
    assert len((await paydue.autopay())["charged"]) == 0


@pytest.mark.parametrize("captured", [1, 7_000, DUE])
async def test_a_hold_captured_in_part_pays_that_part_and_autopay_takes_the_rest_once(
    paydue: Paydue, captured: int
) -> None:
    invoice = await paydue.an_invoice()
    held = paydue.sandbox.strangers.open_intent(
        DUE,
        customer=await customer_of(paydue, invoice),
        metadata={"invoice_id": str(invoice)},
        capture_method="manual",
    )
    paydue.sandbox.strangers.finish_intent(held["id"])
    await paydue.autopay()

    captures.capture(paydue.sandbox.state, {"amount_to_capture": captured}, held["id"])
    await paydue.autopay()
    await paydue.autopay()

    assert sum(one.amount for one in paydue.sandbox.ledger.charges()) == DUE
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (120, 0)


async def test_events_of_one_payment_in_every_order_and_twice_end_in_one_balance(
    paydue: Paydue,
) -> None:
    for order in itertools.permutations(range(4)):
        invoice = await paydue.an_invoice()
        made = await paydue.own_intent(invoice, "requires_payment_method")
        states = ["requires_payment_method", "processing", "requires_payment_method", "succeeded"]
        kinds = ["created", "processing", "payment_failed", "succeeded"]
        reports = [
            event(
                f"payment_intent.{kind}",
                {**made, "status": state, "amount_received": DUE if state == "succeeded" else 0},
                created=1_790_000_000 + number,
            )
            for number, (kind, state) in enumerate(zip(kinds, states, strict=True))
        ]
        for number in order * 2:
            assert await paydue.deliver(reports[number]) == [200]

        row = await paydue.invoice(invoice)
        assert (order, row.amountpaid, row.amountdue) == (order, 120, 0)


async def test_a_payment_whose_customer_is_deleted_afterwards_stays_booked_and_holds_nobody_else(
    paydue: Paydue,
) -> None:
    paid_one, open_one, neighbour = [await paydue.an_invoice() for _ in range(3)]
    for invoice in (paid_one, open_one):
        customer = await customer_of(paydue, invoice)
        if invoice == paid_one:
            named = {"invoice_id": str(invoice)}
            paydue.sandbox.strangers.pay(DUE, customer=customer, metadata=named)
        customers_api.delete(paydue.sandbox.state, {}, customer)

    report = await paydue.autopay()
    await paydue.reconcile()

    assert [one["invoice_id"] for one in report["charged"]] == [neighbour]
    assert (await paydue.invoice(paid_one)).amountdue == 0
    assert (await paydue.invoice(open_one)).amountdue == 120
    assert books(await paydue.payments()) == 2 * DUE


async def test_money_for_an_invoice_that_is_made_later_is_kept_until_then(paydue: Paydue) -> None:
    first = await paydue.an_invoice(take_auto_payment=False)
    client = (await paydue.invoice(first)).client_id
    early = await paydue.own_intent(first, metadata={"invoice_id": str(first + 1)})
    await paydue.deliver(event("payment_intent.succeeded", early))

    later = await paydue.an_invoice(client=client)
    await paydue.replay()
    report = await paydue.autopay()

    assert later == first + 1
    assert report["charged"] == []
    assert (await paydue.invoice(later)).amountdue == 0


# --- assignment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["another client", "another currency", "a template", "voided"])
async def test_money_is_not_assigned_where_it_cannot_belong(paydue: Paydue, wrong: str) -> None:
    own = await paydue.an_invoice("500.00", take_auto_payment=False)
    client = (await paydue.invoice(own)).client_id
    paid = await paydue.own_intent(own, metadata={})
    await paydue.deliver(event("payment_intent.succeeded", paid))
    target = {
        "another client": paydue.an_invoice,
        "another currency": lambda: paydue.an_invoice(client=client, currency_iso="eur"),
        "a template": lambda: paydue.an_invoice(client=client, is_recurring_invoice=True),
        "voided": lambda: paydue.an_invoice(client=client, voided=True),
    }[wrong]
    invoice = await target()
    (credit,) = await paydue.payments()

    by_id, _ = await posted(paydue, id=credit.id, invoice_id=invoice)
    by_intent, _ = await posted(paydue, invoice_id=invoice, amount=120, intent_id=paid["id"])

    assert {by_id, by_intent} <= {400, 404}
    (after,) = await paydue.payments()
    assert (after.invoice_id, after.client_id, after.counted) == (None, client, 120)
    assert (await paydue.invoice(invoice)).amountpaid == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", 500), ("counted", 500), ("state", 5), ("client_id", 2), ("currency_iso", "eur")],
)
async def test_no_field_of_a_payment_at_stripe_is_changed_by_hand(
    paydue: Paydue, field: str, value: object
) -> None:
    invoice = await paydue.an_invoice("500.00", take_auto_payment=False)
    await paydue.an_invoice()
    paid = intent(invoice, customer=await customer_of(paydue, invoice))
    await paydue.deliver(event("payment_intent.succeeded", paid))
    (before,) = await paydue.payments(invoice)

    await posted(paydue, id=before.id, **{field: value})

    (after,) = await paydue.payments(invoice)
    assert getattr(after, field) == getattr(before, field)
    assert (await paydue.invoice(invoice)).amountpaid == 120


# --- given ----------------------------------------------------------------------------------------


def books(payments: list[Any]) -> int:
    """All the money that the books show, in minor units of a currency with cents."""
    return int(sum(one.counted for one in payments) * 100)


async def customer_of(paydue: Paydue, invoice: int) -> str:
    where = CLIENTS.c.id == (await paydue.invoice(invoice)).client_id
    (row,) = await paydue.rows(CLIENTS, where)
    return str(row.stripe_customer_id)


async def posted(paydue: Paydue, **record: Any) -> tuple[int, str]:
    return await sent(paydue, [record])


async def sent(paydue: Paydue, records: list[dict[str, Any]]) -> tuple[int, str]:
    headers = await paydue.access()
    async with paydue.http.post("/api/InvoicePayment", json=records, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("created", [-62_135_596_800, -1, 0, 253_402_300_799, 10**18])
async def test_a_payment_of_any_age_can_be_listed(paydue: Paydue, created: int) -> None:
    invoice = await paydue.an_invoice()
    thing = await paydue.own_intent(invoice, created=created)

    assert await paydue.deliver(event("payment_intent.succeeded", thing)) == [200]

    headers = await paydue.access()
    async with paydue.http.get("/api/InvoicePayment", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        (shown,) = await answer.json()
    assert shown["amount"] == 120

"""Whose money it is, when customers, clients and invoices change around it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.ledger import assignment
from tests.harness import CLIENTS, INTENTS, Paydue, event, intent, today

pytestmark = pytest.mark.anyio

DUE = 12_000
CONFIRM = "POST /v1/payment_intents/{id}/confirm"


# --- customers that are named late, moved and shared --------------------------------------------


async def test_money_of_a_customer_whom_no_client_had_is_found_once_a_client_has_it(
    paydue: Paydue,
) -> None:
    api = await an_api(paydue)
    unnamed, named = (customer(paydue, name) for name in ("cus_late_a", "cus_late_b"))
    late = [await api.client() for _ in range(2)]
    invoices = [await api.invoice(120, client_id=one) for one in late]
    paid = paydue.sandbox.strangers.pay(DUE, customer=unnamed)
    metadata = {"invoice_id": str(invoices[1])}
    paydue.sandbox.strangers.pay(DUE, customer=named, metadata=metadata)
    await deliver_all(paydue)

    for client_id, customer_id in zip(late, (unnamed, named), strict=True):
        await api.post("Client", id=client_id, stripe_customer_id=customer_id)
    report = await paydue.autopay()

    assert report["charged"] == []
    (held,) = [one for one in report["skipped"] if one["invoice_id"] == invoices[0]]
    assert f"{paid['id']} has no invoice and may be for this one" in held["reason"]
    (credit,) = [one for one in await paydue.payments() if one.intent_id == paid["id"]]
    assert credit.client_id == late[0]
    (share,) = await paydue.payments(invoices[1])
    assert (share.client_id, share.counted, share.evidence) == (late[1], 120, "customer")


async def test_money_of_a_customer_holds_the_invoices_of_whoever_has_the_customer_now(
    paydue: Paydue,
) -> None:
    api = await an_api(paydue)
    moved, replaced = customer(paydue, "cus_moved"), customer(paydue, "cus_replaced")
    before = await api.client(stripe_customer_id=moved)
    after = await api.client(stripe_customer_id=replaced)
    for one in (moved, replaced):
        paydue.sandbox.strangers.pay(DUE, customer=one)
    await deliver_all(paydue)

    await api.post("Client", id=before, stripe_customer_id="")
    await api.post("Client", id=after, stripe_customer_id=customer(paydue, "cus_new"))
    heir = await api.client(stripe_customer_id=moved)
    invoices = [await api.invoice(120, client_id=one) for one in (heir, after)]
    report = await paydue.autopay()

    assert report["charged"] == []
    reasons = {one["invoice_id"]: one["reason"] for one in report["skipped"]}
    assert [("may be for this one" in reasons[one]) for one in invoices] == [True, True]


async def test_a_person_gives_money_of_a_shared_customer_to_either_client(paydue: Paydue) -> None:
    api = await an_api(paydue)
    shared = customer(paydue, "cus_shared")
    for client_id in [await api.client(stripe_customer_id=shared) for _ in range(2)]:
        claimed, assigned = [await api.invoice(120, client_id=client_id) for _ in range(2)]
        at_once, later = (
            paydue.sandbox.strangers.pay(DUE, customer=shared)["id"] for _ in range(2)
        )

        await api.post("InvoicePayment", invoice_id=claimed, amount=120, intent_id=at_once)
        await deliver_all(paydue)
        (unapplied,) = [one.id for one in await paydue.payments() if one.intent_id == later]
        await api.post("InvoicePayment", id=unapplied, invoice_id=assigned)

        rows = [await paydue.invoice(one) for one in (claimed, assigned)]
        assert [one.amountpaid for one in rows] == [120, 120]
        assert {one.client_id for one in await paydue.payments(assigned)} == {client_id}


async def test_a_client_whose_customer_paid_is_kept_for_what_may_come_back(paydue: Paydue) -> None:
    api = await an_api(paydue)
    payer = await api.client(stripe_customer_id=customer(paydue, "cus_payer"))
    invoice = await paydue.an_invoice()
    paydue.sandbox.strangers.pay(DUE, customer="cus_payer")
    await deliver_all(paydue)
    (payment,) = await paydue.payments()
    async with paydue.database.transaction() as tx:
        said = {"now": datetime.now(UTC), "who": "tests", "is_other_client": True}
        await assignment.assign(tx, payment.id, invoice, **said)

    assert await api.delete("Client", payer) == 400
    await api.post("InvoicePayment", id=payment.id, invoice_id=None)

    (credit,) = await paydue.payments()
    assert credit.client_id == payer


@pytest.mark.parametrize("asked", ["at once", "later"])
async def test_the_intent_of_another_installation_pays_nothing_whatever_a_person_says(
    paydue: Paydue, asked: str
) -> None:
    api = await an_api(paydue)
    invoice = await paydue.an_invoice()
    metadata = {"paydue_installation": "another", "invoice_id": "7"}
    page = paydue.sandbox.strangers.open_intent(DUE, metadata=metadata)
    if asked == "later":
        paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=50)

    claim = {"invoice_id": invoice, "amount": 120, "intent_id": page["id"]}
    status, said = await api.send("InvoicePayment", claim)
    paydue.sandbox.clear_faults()
    await paydue.reconcile()
    paydue.sandbox.strangers.finish_intent(page["id"])
    await deliver_all(paydue)
    await paydue.reconcile()

    assert status == (400 if asked == "at once" else 200), said
    assert (await paydue.invoice(invoice)).amountpaid == 0
    assert [one for one in await paydue.payments() if one.counted] == []
    assert len((await paydue.autopay())["charged"]) == 1


async def test_a_claim_of_an_old_payment_is_asked_about_until_stripe_answers(
    paydue: Paydue,
) -> None:
    """Its date is the person's; Stripe keeps events for a month, and lists nothing so old."""
    api = await an_api(paydue)
    invoice = await paydue.an_invoice()
    paid = paydue.sandbox.strangers.pay(DUE)
    paydue.sandbox.overwrite(paid["id"], created=1_700_000_000)
    paydue.sandbox.state.events.clear()
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=50)
    claim = {"invoice_id": invoice, "amount": 120, "intent_id": paid["id"]}
    await api.post("InvoicePayment", **claim, date="2023-11-14")

    await paydue.reconcile()
    paydue.sandbox.clear_faults()
    async with paydue.database.transaction() as tx:
        asked = update(INTENTS).where(INTENTS.c.check_at < datetime.now(UTC) + timedelta(hours=2))
        await tx.execute(asked.values(check_at=datetime.now(UTC)))
    await paydue.reconcile()

    assert (await paydue.invoice(invoice)).amountpaid == 120


# --- intents of ours that others change ---------------------------------------------------------


@pytest.mark.parametrize("waits", ["for an answer", "for a second try"])
async def test_an_intent_that_somebody_changed_takes_no_other_money(
    paydue: Paydue, waits: str
) -> None:
    changes = [{"amount": 50_000}, {"customer": None}, {"capture_method": "manual"}]
    behaviour = ["insufficient_funds", "succeed"] if waits == "for a second try" else ["succeed"]
    clients = [await paydue.a_client(behaviour) for _ in changes]
    invoices = [await paydue.an_invoice(client=one) for one in clients]
    if waits == "for an answer":
        paydue.sandbox.fault(CONFIRM, kind="status", status=503, times=200)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    for invoice, change in zip(invoices, changes, strict=True):
        (attempt,) = await paydue.attempts(invoice)
        paydue.sandbox.overwrite(attempt.intent_id, **change)

    for days in (7, 8):
        await paydue.autopay(today() + timedelta(days=days))

    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [DUE] * len(changes)
    assert [(await paydue.invoice(one)).amountdue for one in invoices] == [0] * len(changes)


# --- invoices that are corrected ----------------------------------------------------------------


async def test_money_that_names_an_invoice_pays_it_once_a_correction_lets_it(
    paydue: Paydue,
) -> None:
    """Too much for it as it was, in another currency, or of another client."""
    api = await an_api(paydue)
    dearer, converted, moved, note = [
        await api.invoice(100, client_id=await paydue.a_client(), **more)
        for more in ({}, {}, {}, {"invoicetype": 1})
    ]
    other = await paydue.a_client()
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == other)
    things = [
        await paydue.own_intent(dearer, amount=15_000),
        await paydue.own_intent(converted, amount=10_000, currency="eur"),
        intent(moved, amount=10_000, customer=row.stripe_customer_id),
        await paydue.own_intent(note, amount=10_000),
    ]
    await paydue.deliver(*(event("payment_intent.succeeded", one) for one in things))
    before = [(await paydue.invoice(one)).amountpaid for one in (dearer, converted, moved, note)]

    await api.post("Invoice", id=dearer, lines=[{"qty_order": 1, "unit_price": 150}])
    await api.post("Invoice", id=converted, currency_code=await api.currency("EUR"))
    await api.post("Invoice", id=moved, client_id=other)
    await api.post("Invoice", id=note, invoicetype=0)

    after = [(await paydue.invoice(one)).amountdue for one in (dearer, converted, moved, note)]
    assert before == [100, 0, 0, 0]
    assert after == [0, 0, 0, 0]
    assert (await paydue.autopay())["charged"] == []


@pytest.mark.parametrize("act", ["is deleted", "is for another", "is for none"])
async def test_an_invoice_that_loses_a_payment_is_paid_by_the_other_that_names_it(
    paydue: Paydue, act: str
) -> None:
    api = await an_api(paydue)
    ways = ["by hand", "by credit note"] + ["at stripe"] * (act != "is deleted")
    for first in ways:
        invoice, another = await a_paid_invoice(paydue, api, first)
        (had,) = await paydue.payments(invoice)
        named = await paydue.own_intent(invoice)
        await paydue.deliver(event("payment_intent.succeeded", named))

        if act == "is deleted":
            assert await api.delete("InvoicePayment", had.id) == 200
        else:
            wanted = another if act == "is for another" else None
            await api.post("InvoicePayment", id=had.id, invoice_id=wanted)

        (pays,) = await paydue.payments(invoice)
        assert (pays.intent_id, pays.counted) == (named["id"], 120)


async def a_paid_invoice(paydue: Paydue, api: "PaydueApi", way: str) -> tuple[int, int]:
    """An invoice that was paid in this way, and another one of its client."""
    client = await paydue.a_client()
    invoice, another = [await api.invoice(120, client_id=client) for _ in range(2)]
    entry: dict[str, Any] = {"invoice_id": invoice, "amount": 120}
    if way == "at stripe":
        paid = await paydue.own_intent(invoice)
        await paydue.deliver(event("payment_intent.succeeded", paid))
    elif way == "by credit note":
        note = await api.invoice(120, client_id=client, invoicetype=1)
        await api.post("InvoicePayment", **entry, credit_note_id=note)
    else:
        await api.post("InvoicePayment", **entry)
    return invoice, another


async def test_a_credit_note_that_paid_stays_what_it_was(paydue: Paydue) -> None:
    api = await an_api(paydue)
    client = await paydue.a_client()
    for total, kind in ((50, 1), (-50, 0)):
        invoice = await api.invoice(120, client_id=client)
        note = await api.invoice(total, client_id=client, invoicetype=kind)
        used = {"invoice_id": invoice, "amount": 20, "credit_note_id": note}
        assert (await api.send("InvoicePayment", used))[0] == 200

        changes: list[dict[str, Any]] = [
            {"lines": [{"qty_order": 1, "unit_price": price}]} for price in (19.99, 0, -19.99)
        ]
        changes += [
            {"lines": []},
            {"invoicetype": 1 - kind},
            {"client_id": await paydue.a_client()},
            {"currency_code": await api.currency("EUR")},
        ]
        refused = [(await api.send("Invoice", {"id": note, **one}))[0] for one in changes]
        kept = {"id": note, "lines": [{"qty_order": 1, "unit_price": 20 if kind else -20}]}

        other = {"id": invoice, "client_id": await paydue.a_client()}
        assert (await api.send("Invoice", other))[0] == 400
        assert refused == [400] * len(changes)
        assert (await api.send("Invoice", kept))[0] == 201
        assert (await paydue.invoice(invoice)).amountdue == 100


async def test_an_invoice_that_was_paid_is_no_credit_note_afterwards(paydue: Paydue) -> None:
    api = await an_api(paydue)
    invoice = await api.invoice(120, client_id=await paydue.a_client())
    paid = await paydue.own_intent(invoice)
    await paydue.deliver(event("payment_intent.succeeded", paid))

    status, said = await api.send("Invoice", {"id": invoice, "invoicetype": 1})

    assert (status, "invoicetype" in said) == (400, True)
    assert (await paydue.invoice(invoice)).invoicetype == 0


# --- nothing, as clients of HaloPSA write it ----------------------------------------------------


async def test_a_blank_id_of_stripe_is_none_and_keeps_nobody_from_being_charged(
    paydue: Paydue,
) -> None:
    api = await an_api(paydue)
    blank = {"stripe_customer_id": "", "stripe_payment_method_id": " "}
    without = await api.client(**blank)
    own = await api.client(stripe_customer_id=f" {customer(paydue, 'cus_own')}\n")
    await api.post("Client", id=own, stripe_payment_method_id="")
    invoices = [await api.invoice(120, client_id=one) for one in (without, own)]

    report = await paydue.autopay()

    assert [one["invoice_id"] for one in report["charged"]] == [invoices[1]]
    (skipped,) = report["skipped"]
    assert skipped["reason"] == "the client has no stripe_customer_id"
    for path, record in (
        ("Client", {"id": own, "stripe_customer_id": "../customers"}),
        ("AutopayRule", {"name": "R", "charge_method": "named", "payment_method_id": ""}),
    ):
        assert (await api.send(path, record))[0] == 400


async def test_a_payment_by_hand_that_names_no_intent_and_no_credit_note_is_one(
    paydue: Paydue,
) -> None:
    api = await an_api(paydue)
    invoice = await paydue.an_invoice()
    for blank in ({"intent_id": ""}, {"intent_id": " "}, {"credit_note_id": 0},
                  {"credit_note_id": "-1", "intent_id": None}):  # fmt: skip
        await api.post("InvoicePayment", invoice_id=invoice, amount=20, **blank)

    assert (await paydue.invoice(invoice)).amountpaid == 80
    assert {one.intent_id for one in await paydue.payments(invoice)} == {None}
    assert len((await paydue.autopay())["charged"]) == 1


# --- charges of other programs ------------------------------------------------------------------


async def test_what_becomes_of_a_charge_without_an_intent_is_nobodys_dead_letter(
    paydue: Paydue,
) -> None:
    """Programs beside ours may still use the Charges API, whose charges have no PaymentIntent."""
    of_charge = {"charge": "ch_old", "payment_intent": None, "amount": 500, "currency": "usd"}
    things = {
        "refund.created": {"id": "re_old", "object": "refund", "status": "succeeded", **of_charge},
        "charge.dispute.created": {
            "id": "du_old", "object": "dispute", "status": "needs_response", **of_charge,
        },
        "charge.refunded": {
            "id": "ch_old", "object": "charge", "amount_refunded": 500, "status": "succeeded",
            **of_charge,
        },
    }  # fmt: skip

    await paydue.deliver(*(event(kind, thing) for kind, thing in things.items()))

    assert {one.state for one in await paydue.events()} == {"applied"}
    assert await paydue.payments() == []


# --- acts ---------------------------------------------------------------------------------------


class PaydueApi:
    """The API as a person's program uses it, one object a request."""

    def __init__(self, paydue: Paydue, headers: dict[str, str]) -> None:
        self._http = paydue.http
        self._headers = headers

    async def send(self, path: str, record: dict[str, Any]) -> tuple[int, str]:
        sent = self._http.post(f"/api/{path}", json=[record], headers=self._headers)
        async with sent as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, **record: Any) -> Any:
        sent = self._http.post(f"/api/{path}", json=[record], headers=self._headers)
        async with sent as answer:
            assert answer.status in (200, 201), await answer.text()
            return await answer.json()

    async def delete(self, path: str, record_id: int) -> int:
        sent = self._http.delete(f"/api/{path}/{record_id}", headers=self._headers)
        async with sent as answer:
            return answer.status

    async def client(self, **values: Any) -> int:
        return int((await self.post("Client", name="Ada Ltd", **values))["id"])

    async def invoice(self, total: int, **values: Any) -> int:
        """Due today and flagged for autopay."""
        lines = [{"qty_order": 1, "unit_price": total}]
        due = {"duedate": str(today()), "take_auto_payment": True}
        return int((await self.post("Invoice", lines=lines, **due, **values))["id"])

    async def currency(self, code: str) -> int:
        async with self._http.get("/api/Currency", headers=self._headers) as answer:
            found = [one["id"] for one in await answer.json() if one["code"].upper() == code]
            return int(found[0])


async def an_api(paydue: Paydue) -> PaydueApi:
    return PaydueApi(paydue, await paydue.access())


def customer(paydue: Paydue, customer_id: str) -> str:
    """A Stripe customer with a card that pays."""
    paydue.sandbox.add_customer(customer_id, payment_method=customer_id.replace("cus", "pm"))
    return customer_id


async def deliver_all(paydue: Paydue) -> None:
    """Every event of the account's, those delivered before once more."""
    await paydue.deliver(*list(paydue.sandbox.events))

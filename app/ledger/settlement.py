"""The only writer of payments; what they leave owing is written by `owing` in the same breath.

Every way to pay ends here, keyed by the PaymentIntent's id, so that a webhook and our own charge
cannot disagree, whichever comes first. Locks are taken in one order: invoices by id, payments by
intent, money going back by id. The caller holds the transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import insert, select, update

from app.errors import ChargeUnderWay, InvalidField, NotFound, Refused
from app.ledger import audit, balances, reversals
from app.ledger.dependents import load_dependents
from app.rules import money
from app.rules.invoice import Dependents, charge_under_way
from app.rules.notation import plain
from app.rules.payment import (
    FINAL,
    FOR_NONE,
    LONG_AGO,
    Payment,
    PaymentReport,
    PaymentState,
    ReversedTotal,
    merge_report,
    payment_from_report,
)
from app.storage.column_types import table_of
from app.storage.driver_errors import LostRace
from app.storage.engines import Record, Tx
from app.storage.prepared import BulkInsert, BulkUpdate, PreparedStatement, any_of
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment

PAYMENTS = table_of(InvoicePayment)

# An intent that has not ended is asked about after so long without news of it.
CHECK_AFTER = timedelta(minutes=10)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ManualPayment:
    """A payment somebody enters by hand; `values` are further columns of InvoicePayment."""

    invoice_id: int | None
    amount: Decimal
    date: datetime
    values: Mapping[str, Any] = field(default_factory=dict)


async def record(
    tx: Tx, news: Sequence[PaymentReport], *, now: datetime, who: str
) -> dict[str, str]:
    """Book a batch of reports on payments. The same batch may come again, in any order.

    Answers what was refused, by intent, with the reason: that news was kept, and waits.
    """
    if not news:
        return {}
    intents = sorted({one.intent_id for one in news})
    known = await _payments(tx, intents)
    invoices = await balances.lock_invoices(tx, _invoice_ids(known.values(), news))
    if known:  # what another node wrote between the look and the lock; a new one it would refuse
        known = await _locked_payments(tx, intents)
        _assert_locked(known.values(), invoices)
    back = await reversals.record_reversals(tx, intents, news)
    after = _folded(known, news, back)
    refused = {one.intent_id: "no payment is known for this intent yet" for one in news}
    for intent, payment in after.items():
        after[intent], why = _attached(payment, invoices)
        refused.pop(intent)
        if why:
            refused[intent] = why
    await _name_clients(tx, after)
    await _write_payments(tx, known, after, now)
    await balances.settle(tx, invoices, balances.balance_deltas(known, after), now=now, who=who)
    return refused


async def enter_manual(
    tx: Tx, entries: Sequence[ManualPayment], *, now: datetime, who: str
) -> list[int]:
    """Book payments entered by hand; answers their ids in the order given."""
    named = {entry.invoice_id for entry in entries if entry.invoice_id is not None}
    invoices = await balances.lock_invoices(tx, named)
    _assert_not_charged(await load_dependents(tx, named))
    rows = [_entered(entry, invoices, now) for entry in entries]
    ids = [await tx.scalar(insert(PAYMENTS).values(row).returning(PAYMENTS.c.id)) for row in rows]
    entered = [
        audit.AuditChange(entry.invoice_id, "payments", None, f"{one}: {plain(entry.amount)}")
        for entry, one in zip(entries, ids, strict=True)
    ]
    await audit.write(tx, entered, who=who, now=now)
    await balances.recompute(tx, named, now=now, who=who)
    return [cast(int, one) for one in ids]


async def assign(
    tx: Tx, payment_id: int, invoice_id: int | None, *, now: datetime, who: str
) -> None:
    """Say which invoice a payment is for, or that it is for none."""
    found = await tx.scalar(select(PAYMENTS.c.invoice_id).where(PAYMENTS.c.id == payment_id))
    invoices = await balances.lock_invoices(
        tx, {one for one in (found, invoice_id) if one is not None}
    )
    payment = (
        await tx.execute(select(PAYMENTS).where(PAYMENTS.c.id == payment_id).with_for_update())
    ).one_or_none()
    if payment is None:
        raise NotFound("InvoicePayment", payment_id)
    if payment.invoice_id != found:
        raise LostRace
    client_id = payment.client_id
    if invoice_id is not None:
        invoice = _must_exist(invoices, invoice_id)
        if invoice.currency_iso != payment.currency_iso:
            raise Refused(_other_currency(payment.currency_iso, invoice))
        client_id = invoice.client_id
    # What it claims goes too, or its next report would put it back where it was.
    await tx.execute(
        update(PAYMENTS)
        .where(PAYMENTS.c.id == payment_id)
        .values(
            invoice_id=invoice_id, client_id=client_id, claimed_invoice_id=invoice_id or FOR_NONE
        )
    )
    await _audit_assignment(tx, payment, invoice_id, now=now, who=who)
    await balances.recompute(tx, list(invoices), now=now, who=who)


async def _audit_assignment(
    tx: Tx, payment: Record, invoice_id: int | None, *, now: datetime, who: str
) -> None:
    changes = [
        audit.AuditChange(one, "payments", payment.invoice_id, invoice_id)
        for one in (payment.invoice_id, invoice_id)
        if one is not None
    ]
    await audit.write(tx, changes, who=who, now=now)


async def attach_unassigned(tx: Tx, invoice_ids: Sequence[int], *, now: datetime, who: str) -> None:
    """Book the payments that named these invoices before they existed."""
    if not invoice_ids:
        return
    rows = await _WAITING.all(tx, ids=sorted(invoice_ids))
    if not rows:
        return
    invoices = await balances.lock_invoices(tx, invoice_ids)
    known = {row.intent_id: _payment(row) for row in rows}
    after = {intent: _attached(one, invoices)[0] for intent, one in known.items()}
    await _write_payments(tx, known, after, now)
    await balances.settle(tx, invoices, balances.balance_deltas(known, after), now=now, who=who)


async def schedule_check(tx: Tx, intent_id: str, at: datetime | None) -> None:
    """When reconciliation asks about an unfinished intent again; None leaves it to events."""
    await tx.execute(
        update(PAYMENTS)
        .where(PAYMENTS.c.intent_id == intent_id, PAYMENTS.c.check_at.is_not(None))
        .values(check_at=at)
    )


# --- reading under locks ---------------------------------------------------------------------


def _invoice_ids(known: Iterable[Payment], news: Iterable[PaymentReport]) -> set[int]:
    booked = {one.invoice_id for one in known if one.invoice_id is not None}
    return booked | {one.invoice_id for one in news if one.invoice_id is not None}


async def _payments(tx: Tx, intents: Sequence[str]) -> dict[str, Payment]:
    return {one.intent_id: _payment(one) for one in await _PAYMENTS.all(tx, intents=intents)}


async def _locked_payments(tx: Tx, intents: Sequence[str]) -> dict[str, Payment]:
    return {one.intent_id: _payment(one) for one in await _LOCK_PAYMENTS.all(tx, intents=intents)}


_OF_PAYMENT = (
    PAYMENTS.c.intent_id,
    PAYMENTS.c.invoice_id,
    PAYMENTS.c.claimed_invoice_id,
    PAYMENTS.c.client_id,
    PAYMENTS.c.amount,
    PAYMENTS.c.currency_iso,
    PAYMENTS.c.intent_date,
    PAYMENTS.c.intent_response,
    PAYMENTS.c.webhook_event_id,
    PAYMENTS.c.state,
    PAYMENTS.c.state_at,
    PAYMENTS.c.reason,
    PAYMENTS.c.attempt,
    PAYMENTS.c.charge_id,
    PAYMENTS.c.stripe_customer_id,
    PAYMENTS.c.payment_method_name,
    PAYMENTS.c.amount_refunded,
    PAYMENTS.c.amount_lost,
    PAYMENTS.c.disputed,
)


_BY_INTENT = select(*_OF_PAYMENT).where(any_of(PAYMENTS.c.intent_id, "intents"))
_PAYMENTS = PreparedStatement(_BY_INTENT)
_LOCK_PAYMENTS = PreparedStatement(_BY_INTENT.order_by(PAYMENTS.c.intent_id).with_for_update())


_WAITING = PreparedStatement(
    select(*_OF_PAYMENT)
    .where(PAYMENTS.c.invoice_id.is_(None), any_of(PAYMENTS.c.claimed_invoice_id, "ids"))
    .order_by(PAYMENTS.c.intent_id)
    .with_for_update()
)


def _payment(row: Record) -> Payment:
    return Payment(
        intent_id=row.intent_id,
        state=PaymentState(row.state),
        state_at=row.state_at,
        amount=row.amount,
        currency=row.currency_iso,
        intent_at=row.intent_date,
        invoice_id=row.invoice_id,
        claimed_invoice_id=row.claimed_invoice_id,
        client_id=row.client_id,
        attempt=row.attempt,
        charge_id=row.charge_id,
        customer_id=row.stripe_customer_id,
        reason=row.reason,
        method=row.payment_method_name,
        event_id=row.webhook_event_id,
        response=row.intent_response,
        back=ReversedTotal(row.amount_refunded, row.amount_lost, row.disputed),
    )


def _assert_locked(payments: Iterable[Payment], invoices: Mapping[int, Record]) -> None:
    """A payment that was assigned between our first look and our lock starts us over."""
    if any(one.invoice_id is not None and one.invoice_id not in invoices for one in payments):
        raise LostRace


# --- payments --------------------------------------------------------------------------------


def _folded(
    known: Mapping[str, Payment], news: Iterable[PaymentReport], back: Mapping[str, ReversedTotal]
) -> dict[str, Payment]:
    """Each intent's payment after all its reports. Money going back alone makes no payment."""
    after = dict(known)
    for one in sorted(news, key=lambda report: report.reversal is not None):
        before = after.get(one.intent_id)
        if before is not None:
            after[one.intent_id] = merge_report(before, one) if one.reversal is None else before
        elif one.reversal is None:
            after[one.intent_id] = payment_from_report(one)
    for intent, reversed_ in back.items():
        if intent in after:
            after[intent] = replace(after[intent], back=reversed_)
    return after


def _attached(payment: Payment, invoices: Mapping[int, Record]) -> tuple[Payment, str | None]:
    """The payment with the invoice it claims, or the reason why it stays without one."""
    if payment.invoice_id is not None or payment.claimed_invoice_id in (None, FOR_NONE):
        return payment, None
    invoice = invoices.get(payment.claimed_invoice_id or FOR_NONE)
    if invoice is None or invoice.is_recurring_invoice:
        return payment, f"invoice {payment.claimed_invoice_id} does not exist"
    if invoice.currency_iso != payment.currency:
        return payment, _other_currency(payment.currency, invoice)
    return replace(payment, invoice_id=invoice.id, client_id=invoice.client_id), None


def _other_currency(currency: str, invoice: Record) -> str:
    return f"the payment is in {currency}, invoice {invoice.id} in {invoice.currency_iso}"


async def _name_clients(tx: Tx, payments: dict[str, Payment]) -> None:
    """An unassigned payment still shows whose it is, when we know the Stripe customer."""
    wanted = {
        one.customer_id for one in payments.values() if one.client_id is None and one.customer_id
    }
    if not wanted:
        return
    found = await tx.execute(
        select(Client.id, Client.stripe_customer_id).where(Client.stripe_customer_id.in_(wanted))
    )
    client_of = {row.stripe_customer_id: row.id for row in found}
    for intent, one in payments.items():
        if one.client_id is None and one.customer_id in client_of:
            payments[intent] = replace(one, client_id=client_of[one.customer_id])


async def _write_payments(
    tx: Tx, known: Mapping[str, Payment], after: Mapping[str, Payment], now: datetime
) -> None:
    new = [_columns(after[intent], now) for intent in sorted(after.keys() - known.keys())]
    await _INSERT_PAYMENTS.run(tx, new)
    changed = [
        _columns(payment, now)
        for intent, payment in sorted(after.items())
        if intent in known and known[intent] != payment
    ]
    await _UPDATE_PAYMENTS.run(tx, changed)


def _columns(payment: Payment, now: datetime) -> dict[str, Any]:
    return {
        "intent_id": payment.intent_id,
        "invoice_id": payment.invoice_id,
        "claimed_invoice_id": payment.claimed_invoice_id,
        "client_id": payment.client_id,
        "date": max(payment.state_at, payment.intent_at or LONG_AGO),
        "amount": payment.amount,
        "currency_iso": payment.currency,
        "status": payment.status,
        "intent_date": payment.intent_at,
        "intent_response": payment.response,
        "webhook_event_id": payment.event_id,
        "webhook_received_date": now if payment.event_id else None,
        "state": payment.state,
        "state_at": payment.state_at,
        "reason": payment.reason,
        "attempt": payment.attempt,
        "charge_id": payment.charge_id,
        "stripe_customer_id": payment.customer_id,
        "payment_method_name": payment.method,
        "amount_refunded": payment.back.refunded,
        "amount_lost": payment.back.lost,
        "disputed": payment.back.disputed,
        "counted": payment.counted,
        "check_at": None if payment.state in FINAL else now + CHECK_AFTER,
        "method": STRIPE_METHOD,
        "module_id": STRIPE_MODULE,
        "type": 0,
        "posted": False,
    }


# Nobody documents HaloPSA's numbers; docs/compatibility.md publishes these.
STRIPE_METHOD = 1
STRIPE_MODULE = 1

_WRITTEN = list(_columns(Payment("", PaymentState.CREATED, LONG_AGO, _ZERO, ""), LONG_AGO))
_INSERT_PAYMENTS = BulkInsert(PAYMENTS, _WRITTEN)
_UPDATE_PAYMENTS = BulkUpdate(
    PAYMENTS,
    "intent_id",
    [name for name in _WRITTEN if name not in {"intent_id", "type", "posted"}],
)


def _entered(entry: ManualPayment, invoices: Mapping[int, Record], now: datetime) -> dict[str, Any]:
    if entry.invoice_id is None:
        raise InvalidField("invoice_id", "a payment entered by hand needs an invoice")
    invoice = _must_exist(invoices, entry.invoice_id)
    if entry.amount <= 0:
        raise InvalidField("amount", "a payment is more than nothing")
    money.to_minor(entry.amount, invoice.currency_iso)
    if invoice.voided:
        raise Refused(f"invoice {invoice.id} is voided and takes no payment")
    if invoice.payments_pending:
        raise Refused(f"a payment of invoice {invoice.id} is still processing; wait for its end")
    return {
        **entry.values,
        "invoice_id": invoice.id,
        "client_id": invoice.client_id,
        "date": entry.date,
        "amount": entry.amount,
        "currency_iso": invoice.currency_iso,
        "status": PaymentState.SUCCEEDED,
        "state": PaymentState.SUCCEEDED,
        "state_at": now,
        "counted": entry.amount,
    }


def _assert_not_charged(standing_of: Mapping[int, Dependents]) -> None:
    """A charge under way cannot be called back: money entered now would pay the invoice twice."""
    for invoice_id, standing in standing_of.items():
        why = charge_under_way(standing)
        if why is not None:
            raise ChargeUnderWay(f"invoice {invoice_id} takes no payment by hand: {why}")


def _must_exist(invoices: Mapping[int, Record], invoice_id: int) -> Record:
    invoice = invoices.get(invoice_id)
    if invoice is None or invoice.is_recurring_invoice:
        raise NotFound("Invoice", invoice_id)
    return invoice

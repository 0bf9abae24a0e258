"""Settlement: the only writer of payments; `balances` writes what they leave due, in the same call.

Every way to pay ends here, keyed by the PaymentIntent's id, so that a webhook and our own charge
cannot disagree, whichever comes first. Locks are taken in one order: invoices by id, payments by
intent, money going back by id. The caller holds the transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypedDict, cast

from sqlalchemy import bindparam, insert, select, update

from app.errors import ChargeUnderWay, InvalidField, NotFound, Refused
from app.ledger import audit, balances
from app.ledger.balances import InvoiceRow
from app.ledger.dependents import load_dependents
from app.ledger.reversals import LOCK_REVERSALS, record_reversals
from app.rules import money
from app.rules.invoice import Dependents, charge_under_way
from app.rules.money import plain
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
from app.storage.engines import Tx
from app.storage.prepared import BulkInsert, BulkUpdate, PreparedStatement, any_of, projection
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment

PAYMENTS = table_of(InvoicePayment)
CLIENTS = table_of(Client)

# An intent that has not ended is asked about after so long without news of it.
CHECK_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ManualPayment:
    """A payment somebody enters by hand; `values` are further columns of InvoicePayment."""

    invoice_id: int | None
    amount: Decimal
    date: datetime
    values: Mapping[str, object] = field(default_factory=dict)


async def record(
    tx: Tx, reports: Sequence[PaymentReport], *, now: datetime, who: str
) -> dict[str, str]:
    """Book a batch of reports on payments. The same batch may come again, in any order.

    Answers the refused ones, by intent, with the reason: their news is kept, and waits.
    """
    if not reports:
        return {}
    intents = sorted({one.intent_id for one in reports})
    known = _by_intent(await _FIND_PAYMENTS.all(tx, intents=intents))
    invoices = await balances.lock_invoices(tx, _invoice_ids(known.values(), reports))
    if known:  # another node may have written between the look and the lock; a new one it refuses
        known = _by_intent(await _LOCK_PAYMENTS.all(tx, intents=intents))
        _assert_locked(known.values(), invoices)
    after = _merge_reports(known, reports, await _reversed_totals(tx, intents, reports))
    refused = {one.intent_id: "no payment is known for this intent yet" for one in reports}
    for intent, payment in after.items():
        after[intent], why = _attach(payment, invoices)
        refused.pop(intent)
        if why:
            refused[intent] = why
    await _name_clients(tx, after)
    await _write_payments(tx, known, after, now)
    await balances.settle(tx, invoices, known, after, now=now, who=who)
    return refused


async def _reversed_totals(
    tx: Tx, intents: Sequence[str], reports: Sequence[PaymentReport]
) -> dict[str, ReversedTotal]:
    """The reversals of each intent, summed up; most intents have none."""
    locked = await LOCK_REVERSALS.all(tx, intents=intents)
    if not locked and all(one.reversal is None for one in reports):
        return {}
    return await record_reversals(tx, locked, reports)


async def enter_manual(
    tx: Tx, entries: Sequence[ManualPayment], *, now: datetime, who: str
) -> list[int]:
    """Book payments entered by hand; answers their ids in the order given."""
    named = {entry.invoice_id for entry in entries if entry.invoice_id is not None}
    invoices = await balances.lock_invoices(tx, named)
    _assert_not_charged(await load_dependents(tx, named))
    rows = [_manual_columns(entry, invoices, now) for entry in entries]
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
    """Assign a payment to an invoice, or to none."""
    found = await tx.scalar(select(PAYMENTS.c.invoice_id).where(PAYMENTS.c.id == payment_id))
    invoices = await balances.lock_invoices(
        tx, {one for one in (found, invoice_id) if one is not None}
    )
    locked = await _LOCK_ASSIGNMENT.all(tx, id=payment_id)
    if not locked:
        raise NotFound("InvoicePayment", payment_id)
    payment = locked[0]
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
    await _audit_assignment(tx, payment.invoice_id, invoice_id, now=now, who=who)
    await balances.recompute(tx, list(invoices), now=now, who=who)


class _Assignment(NamedTuple):
    """The invoice and the client that a payment is for."""

    invoice_id: int | None
    client_id: int | None
    currency_iso: str


_LOCK_ASSIGNMENT = PreparedStatement(
    select(*projection(PAYMENTS, _Assignment))
    .where(PAYMENTS.c.id == bindparam("id"))
    .with_for_update(),
    _Assignment,
)


async def _audit_assignment(
    tx: Tx, before: int | None, after: int | None, *, now: datetime, who: str
) -> None:
    """Each of the two invoices keeps the change in its history."""
    changes = [
        audit.AuditChange(one, "payments", before, after)
        for one in (before, after)
        if one is not None
    ]
    await audit.write(tx, changes, who=who, now=now)


async def attach_unassigned(tx: Tx, invoice_ids: Sequence[int], *, now: datetime, who: str) -> None:
    """Book the payments that named these invoices before the invoices existed."""
    if not invoice_ids:
        return
    known = _by_intent(await _LOCK_UNASSIGNED.all(tx, ids=sorted(invoice_ids)))
    if not known:
        return
    invoices = await balances.lock_invoices(tx, invoice_ids)
    after = {intent: _attach(one, invoices)[0] for intent, one in known.items()}
    await _write_payments(tx, known, after, now)
    await balances.settle(tx, invoices, known, after, now=now, who=who)


async def schedule_check(tx: Tx, intent_id: str, at: datetime | None) -> None:
    """Set when reconciliation asks about an unfinished intent again; None leaves it to events."""
    await tx.execute(
        update(PAYMENTS)
        .where(PAYMENTS.c.intent_id == intent_id, PAYMENTS.c.check_at.is_not(None))
        .values(check_at=at)
    )


# --- reading under locks ---------------------------------------------------------------------


class PaymentRow(NamedTuple):
    """All that is known of a PaymentIntent's payment."""

    intent_id: str
    invoice_id: int | None
    claimed_invoice_id: int | None
    client_id: int | None
    amount: Decimal
    currency_iso: str
    intent_date: datetime | None
    intent_response: str | None
    webhook_event_id: str | None
    state: int
    state_at: datetime
    reason: str | None
    attempt: int | None
    charge_id: str | None
    stripe_customer_id: str | None
    payment_method_name: str | None
    amount_refunded: Decimal
    amount_lost: Decimal
    disputed: bool


_OF_PAYMENT = projection(PAYMENTS, PaymentRow)
_BY_INTENT = select(*_OF_PAYMENT).where(any_of(PAYMENTS.c.intent_id, "intents"))
_FIND_PAYMENTS = PreparedStatement(_BY_INTENT, PaymentRow)
_LOCK_PAYMENTS = PreparedStatement(
    _BY_INTENT.order_by(PAYMENTS.c.intent_id).with_for_update(), PaymentRow
)
_LOCK_UNASSIGNED = PreparedStatement(
    select(*_OF_PAYMENT)
    .where(PAYMENTS.c.invoice_id.is_(None), any_of(PAYMENTS.c.claimed_invoice_id, "ids"))
    .order_by(PAYMENTS.c.intent_id)
    .with_for_update(),
    PaymentRow,
)


def _invoice_ids(known: Iterable[Payment], reports: Iterable[PaymentReport]) -> set[int]:
    booked = {one.invoice_id for one in known if one.invoice_id is not None}
    return booked | {one.invoice_id for one in reports if one.invoice_id is not None}


def _by_intent(rows: Iterable[PaymentRow]) -> dict[str, Payment]:
    return {row.intent_id: _payment(row) for row in rows}


def _payment(row: PaymentRow) -> Payment:
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


def _assert_locked(payments: Iterable[Payment], invoices: Mapping[int, InvoiceRow]) -> None:
    """A payment that was assigned between our first look and our lock starts us over."""
    if any(one.invoice_id is not None and one.invoice_id not in invoices for one in payments):
        raise LostRace


# --- payments --------------------------------------------------------------------------------


def _merge_reports(
    known: Mapping[str, Payment],
    reports: Iterable[PaymentReport],
    reversed_totals: Mapping[str, ReversedTotal],
) -> dict[str, Payment]:
    """Each intent's payment after all its reports. A reversal alone makes no payment."""
    after = dict(known)
    for one in sorted(reports, key=lambda report: report.reversal is not None):
        before = after.get(one.intent_id)
        if before is not None:
            after[one.intent_id] = merge_report(before, one) if one.reversal is None else before
        elif one.reversal is None:
            after[one.intent_id] = payment_from_report(one)
    for intent, total in reversed_totals.items():
        if intent in after:
            after[intent] = replace(after[intent], back=total)
    return after


def _attach(payment: Payment, invoices: Mapping[int, InvoiceRow]) -> tuple[Payment, str | None]:
    """The payment with the invoice it claims, or the reason why it stays without one."""
    if payment.invoice_id is not None or payment.claimed_invoice_id in (None, FOR_NONE):
        return payment, None
    invoice = invoices.get(payment.claimed_invoice_id or FOR_NONE)
    if invoice is None or invoice.is_recurring_invoice:
        return payment, f"invoice {payment.claimed_invoice_id} does not exist"
    if invoice.currency_iso != payment.currency:
        return payment, _other_currency(payment.currency, invoice)
    return replace(payment, invoice_id=invoice.id, client_id=invoice.client_id), None


def _other_currency(currency: str, invoice: InvoiceRow) -> str:
    return f"the payment is in {currency}, invoice {invoice.id} in {invoice.currency_iso}"


async def _name_clients(tx: Tx, payments: dict[str, Payment]) -> None:
    """An unassigned payment still shows whose it is, when we know the Stripe customer."""
    wanted = {
        one.customer_id for one in payments.values() if one.client_id is None and one.customer_id
    }
    if not wanted:
        return
    found = await _CLIENTS_BY_CUSTOMER.all(tx, customers=sorted(wanted))
    client_of = {row.stripe_customer_id: row.id for row in found}
    for intent, one in payments.items():
        if one.client_id is None and one.customer_id in client_of:
            payments[intent] = replace(one, client_id=client_of[one.customer_id])


class _ClientRow(NamedTuple):
    id: int
    stripe_customer_id: str


_CLIENTS_BY_CUSTOMER = PreparedStatement(
    select(*projection(CLIENTS, _ClientRow)).where(
        any_of(CLIENTS.c.stripe_customer_id, "customers")
    ),
    _ClientRow,
)


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


class _PaymentColumns(TypedDict):
    """The columns that Stripe's reports decide, and the constants of a payment by Stripe."""

    intent_id: str
    invoice_id: int | None
    claimed_invoice_id: int | None
    client_id: int | None
    date: datetime
    amount: Decimal
    currency_iso: str
    status: int
    intent_date: datetime | None
    intent_response: str | None
    webhook_event_id: str | None
    webhook_received_date: datetime | None
    state: int
    state_at: datetime
    reason: str | None
    attempt: int | None
    charge_id: str | None
    stripe_customer_id: str | None
    payment_method_name: str | None
    amount_refunded: Decimal
    amount_lost: Decimal
    disputed: bool
    counted: Decimal
    check_at: datetime | None
    method: int
    module_id: int
    type: int
    posted: bool


def _columns(payment: Payment, now: datetime) -> _PaymentColumns:
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

_KEPT_ON_UPDATE = {"intent_id", "type", "posted"}
_INSERT_PAYMENTS = BulkInsert(PAYMENTS, _PaymentColumns.__annotations__)
_UPDATE_PAYMENTS = BulkUpdate(
    PAYMENTS,
    "intent_id",
    [name for name in _PaymentColumns.__annotations__ if name not in _KEPT_ON_UPDATE],
)


def _manual_columns(
    entry: ManualPayment, invoices: Mapping[int, InvoiceRow], now: datetime
) -> dict[str, object]:
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


def _must_exist(invoices: Mapping[int, InvoiceRow], invoice_id: int) -> InvoiceRow:
    invoice = invoices.get(invoice_id)
    if invoice is None or invoice.is_recurring_invoice:
        raise NotFound("Invoice", invoice_id)
    return invoice

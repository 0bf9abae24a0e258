"""A person's word on payments: money entered by hand, and the invoice that a payment is for.

What a person says about a PaymentIntent is a claim like any other: Stripe says whether it was paid,
and how much. Locks are taken as in `settlement`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, cast

from sqlalchemy import bindparam, insert, select, update

from app.errors import ChargeUnderWay, InvalidField, NotFound, Refused
from app.ledger import (
    allocations,
    audit,
    balances,
    credit_notes,
    journal,
    payment_intents,
    reversals,
)
from app.ledger.balances import InvoiceRow
from app.ledger.dependents import load_dependents
from app.ledger.settlement import (
    PaymentChange,
    attach_unassigned,
    may_be_of_client,
    other_currency,
    write_change,
)
from app.rules import money
from app.rules.allocation import UNAPPLIED, Key, Share, move
from app.rules.claim import Evidence
from app.rules.double_entry import HandPayment
from app.rules.invoice import Dependents, charge_under_way
from app.rules.money import plain
from app.rules.payment import FOR_NONE, LONG_AGO, Payment, PaymentState
from app.storage.column_types import table_of
from app.storage.driver_errors import LostRace
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, projection
from app.storage.tables.invoice_payments import InvoicePayment

PAYMENTS = table_of(InvoicePayment)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ManualPayment:
    """A payment somebody enters by hand; `values` are further columns of InvoicePayment.

    With an `intent_id` it is a claim: that PaymentIntent pays this amount of the invoice.
    """

    invoice_id: int | None
    amount: Decimal
    date: datetime
    intent_id: str | None = None
    credit_note_id: int | None = None
    values: Mapping[str, object] = field(default_factory=dict)


async def enter_manual(
    tx: Tx, entries: Sequence[ManualPayment], *, now: datetime, who: str
) -> list[int]:
    """Book payments entered by hand; answers their ids in the order given."""
    named = {entry.invoice_id for entry in entries if entry.invoice_id is not None}
    credits = {one.credit_note_id for one in entries if one.credit_note_id is not None}
    invoices = await balances.lock_invoices(tx, named | credits)
    _assert_not_charged(await load_dependents(tx, named))
    ids = []
    for entry in entries:
        invoice = _payable(entry, invoices)
        if entry.intent_id is None:
            ids.append(await _enter(tx, entry, invoice, invoices, now=now, who=who))
        else:
            ids.append(await _claim_intent(tx, entry, entry.intent_id, now=now, who=who))
        invoices = await balances.lock_invoices(tx, named | credits)
    return ids


async def _enter(
    tx: Tx,
    entry: ManualPayment,
    invoice: InvoiceRow,
    invoices: Mapping[int, InvoiceRow],
    *,
    now: datetime,
    who: str,
) -> int:
    """Book money that Stripe knows nothing of. More than is due becomes the client's credit."""
    if entry.credit_note_id is not None:
        await credit_notes.assert_covers(tx, entry.credit_note_id, invoice, invoices, entry.amount)
    applied = min(entry.amount, balances.amount_due(invoice))
    row = _manual_columns(entry, invoice)
    rest = entry.amount - applied
    if rest and entry.credit_note_id is not None:
        due = money.text(balances.amount_due(invoice), invoice.currency_iso)
        raise Refused(f"amount: invoice {invoice.id} owes {due}; credit beyond that stays unused")
    parts = [part for part in ((invoice.id, applied), (None, rest)) if part[1]]
    entered = [await _insert(tx, row, invoice, *part) for part in parts]
    await journal.record_hand_payments(tx, [], entered, now=now, who=who)
    payment_id = entered[0].id
    change = audit.AuditChange(invoice.id, "payments", None, f"{payment_id}: {plain(entry.amount)}")
    await audit.write(tx, [change], who=who, now=now)
    await balances.recompute(tx, [invoice.id], now=now, who=who)
    return payment_id


async def _insert(
    tx: Tx,
    row: Mapping[str, object],
    invoice: InvoiceRow,
    invoice_id: int | None,
    amount: Decimal,
) -> HandPayment:
    values = {**row, "invoice_id": invoice_id, "amount": amount, "counted": amount}
    payment_id = await tx.scalar(insert(PAYMENTS).values(values).returning(PAYMENTS.c.id))
    note = cast(int | None, row["credit_note_id"])
    return HandPayment(
        cast(int, payment_id), invoice.client_id, invoice_id, invoice.currency_iso, amount, note
    )


async def _claim_intent(
    tx: Tx, entry: ManualPayment, intent_id: str, *, now: datetime, who: str
) -> int:
    """Share out a PaymentIntent as a person says. One not heard of counts once Stripe says so."""
    assert entry.invoice_id is not None, "checked by _payable"
    if entry.credit_note_id is not None:
        raise InvalidField("credit_note_id", f"the money is that of {intent_id}")
    known = await reversals.with_refunded_invoices(tx, await payment_intents.lock(tx, [intent_id]))
    stored = await allocations.load(tx, [intent_id])
    invoices = await balances.lock_invoices(tx, stored.invoice_ids | {entry.invoice_id})
    invoice = invoices[entry.invoice_id]
    payment = known.get(intent_id) or _unheard_of(intent_id, entry, invoice)
    shares = stored.of(intent_id)
    if invoice.id in shares:
        raise Refused(f"intent_id: {intent_id} pays invoice {invoice.id} already")
    _assert_same_currency(payment, invoice)
    _assert_may_be_of_client(payment, invoice)
    if payment.state_at == LONG_AGO and payment.evidence == Evidence.PERSON:
        payment = payment._replace(amount=_named(shares) + entry.amount)
    else:
        _assert_covers(payment, shares, entry.amount, balances.amount_due(invoice), invoice)
    amounts = {key: one.amount for key, one in shares.items() if key is not None}
    after = move(
        shares or {UNAPPLIED: Share(payment.amount, payment.state)},
        {**amounts, invoice.id: entry.amount},
        payment.back,
        total=payment.amount,
    )
    payment = payment._replace(claimed_invoice_id=invoice.id, evidence=Evidence.PERSON)
    change = PaymentChange(known, {intent_id: payment}, stored, {intent_id: after}, invoices)
    await _write(tx, change, now=now, who=who)
    entered = audit.AuditChange(invoice.id, "payments", None, f"{intent_id}: {plain(entry.amount)}")
    await audit.write(tx, [entered], who=who, now=now)
    share_id = (await allocations.load(tx, [intent_id])).ids[intent_id][invoice.id]
    if entry.values:
        by_id = PAYMENTS.c.id == share_id
        await tx.execute(update(PAYMENTS).where(by_id).values(dict(entry.values)))
    return share_id


def _unheard_of(intent_id: str, entry: ManualPayment, invoice: InvoiceRow) -> Payment:
    return Payment(
        intent_id=intent_id,
        state=PaymentState.CREATED,
        state_at=LONG_AGO,
        amount=ZERO,
        currency=invoice.currency_iso,
        intent_at=entry.date,
        method=cast(str | None, entry.values.get("payment_method_name")),
        claimed_invoice_id=invoice.id,
        evidence=Evidence.PERSON,
    )


def _named(shares: Mapping[Key, Share]) -> Decimal:
    return sum((one.amount for key, one in shares.items() if key is not None), ZERO)


def _assert_covers(
    payment: Payment,
    shares: Mapping[Key, Share],
    amount: Decimal,
    due: Decimal,
    invoice: InvoiceRow,
) -> None:
    """An intent gives no more than it has, and an invoice takes no more than it owes."""
    left = payment.amount - _named(shares)
    if amount > left:
        unapplied = money.text(max(left, ZERO), payment.currency)
        raise Refused(f"amount: {payment.intent_id} has {unapplied} that no invoice has")
    if payment.state == PaymentState.SUCCEEDED and amount > due:
        raise Refused(f"amount: invoice {invoice.id} owes {money.text(due, invoice.currency_iso)}")


async def _write(tx: Tx, change: PaymentChange, *, now: datetime, who: str) -> None:
    await write_change(tx, change, now=now, who=who)
    for intent, payment in change.after.items():
        if payment.state_at == LONG_AGO:
            await payment_intents.schedule_check(tx, intent, now)


# --- assignment --------------------------------------------------------------------------------


class _Wish(NamedTuple):
    """How much a person wants applied, where he says it, and whether another client is meant."""

    amount: Decimal | None
    is_other_client: bool


class _Assigned(NamedTuple):
    """A row of InvoicePayment, as far as its assignment is concerned."""

    id: int
    intent_id: str | None
    invoice_id: int | None
    client_id: int | None
    currency_iso: str
    amount: Decimal
    counted: Decimal
    credit_note_id: int | None


_OF_ROW = select(*projection(PAYMENTS, _Assigned)).where(PAYMENTS.c.id == bindparam("id"))
_FIND = PreparedStatement(_OF_ROW, _Assigned)
_LOCK = PreparedStatement(_OF_ROW.with_for_update(), _Assigned)


async def assign(
    tx: Tx,
    payment_id: int,
    invoice_id: int | None,
    *,
    now: datetime,
    who: str,
    is_other_client: bool = False,
    amount: Decimal | None = None,
) -> None:
    """Assign a payment, or a share of one, to an invoice, or to none.

    An invoice takes what it owes; the rest stays without an invoice, as the client's credit. The
    invoice that loses it is paid by other money that names it, where there is some. With
    an `amount` only so much of money that no invoice has is applied, and not more than is owed.
    A payment of another client is refused unless `is_other_client` says that it is meant so.
    """
    found = await _FIND.all(tx, id=payment_id)
    if not found:
        raise NotFound("InvoicePayment", payment_id)
    row = found[0]
    both = {one for one in (row.invoice_id, invoice_id) if one is not None}
    stored = await allocations.load(tx, [row.intent_id] if row.intent_id else [])
    invoices = await balances.lock_invoices(tx, both | stored.invoice_ids)
    if invoice_id is not None:
        _assert_takes_money(must_exist(invoices, invoice_id))
        _assert_not_charged(await load_dependents(tx, [invoice_id]))
    if amount is not None:
        _assert_applicable(row, amount, invoices.get(invoice_id or FOR_NONE))
    wish = _Wish(amount, is_other_client)
    if row.intent_id is None:
        moved = await _assign_manual(tx, row, invoice_id, invoices, wish)
        before = [_hand_payment(row, invoices)]
        await journal.record_hand_payments(tx, before, moved, now=now, who=who)
        await balances.recompute(tx, list(both), now=now, who=who)
    else:
        await _assign_share(tx, row, invoice_id, invoices, wish, now=now, who=who)
    await _audit_assignment(tx, row.invoice_id, invoice_id, now=now, who=who)
    if row.invoice_id not in (None, invoice_id):
        await attach_unassigned(tx, [row.invoice_id], now=now, who=who)


async def _assign_share(
    tx: Tx,
    row: _Assigned,
    invoice_id: int | None,
    invoices: Mapping[int, InvoiceRow],
    wish: _Wish,
    *,
    now: datetime,
    who: str,
) -> None:
    intent = cast(str, row.intent_id)
    known = await reversals.with_refunded_invoices(tx, await payment_intents.lock(tx, [intent]))
    stored = await allocations.load(tx, [intent])
    if stored.ids[intent].get(row.invoice_id) != row.id:
        raise LostRace
    payment, shares = known[intent], stored.of(intent)
    amounts = {key: one.amount for key, one in shares.items() if key is not None}
    share = shares[row.invoice_id]
    # The money that went back of a share stays where it is; a share that is gone moves as a whole.
    moved = share.counted or share.amount if wish.amount is None else wish.amount
    if wish.amount is not None and wish.amount > share.counted:
        raise LostRace
    amounts.pop(cast(int, row.invoice_id), None)
    if invoice_id is not None:
        invoice = invoices[invoice_id]
        _assert_same_currency(payment, invoice)
        if not wish.is_other_client and payment.customer_id is not None:
            _assert_may_be_of_client(payment, invoice)
        taken = _assigned_amount(payment, moved, invoice)
        amounts[invoice_id] = amounts.get(invoice_id, ZERO) + taken
    # What it claims goes too, or its next report would put it back where it was.
    payment = payment._replace(claimed_invoice_id=invoice_id or FOR_NONE, evidence=Evidence.PERSON)
    if payment.customer_id is None and invoice_id is not None:
        payment = payment._replace(client_id=invoices[invoice_id].client_id)
    after = move(shares, amounts, payment.back, total=payment.amount)
    change = PaymentChange(known, {intent: payment}, stored, {intent: after}, invoices)
    await _write(tx, change, now=now, who=who)


def _assigned_amount(payment: Payment, moved: Decimal, invoice: InvoiceRow) -> Decimal:
    """The amount of a share that the invoice takes: once paid, no more than it owes."""
    if payment.state != PaymentState.SUCCEEDED:
        return moved
    taken = min(moved, balances.amount_due(invoice))
    if taken <= 0:
        raise Refused(f"invoice {invoice.id} owes nothing")
    return taken


async def _assign_manual(
    tx: Tx,
    row: _Assigned,
    invoice_id: int | None,
    invoices: Mapping[int, InvoiceRow],
    wish: _Wish,
) -> list[HandPayment]:
    """Assign a payment by hand; answers its parts as they are then."""
    (locked,) = await _LOCK.all(tx, id=row.id)
    if locked != row:
        raise LostRace
    by_id = PAYMENTS.c.id == row.id
    if invoice_id is None or invoice_id == row.invoice_id:
        await tx.execute(update(PAYMENTS).where(by_id).values(invoice_id=invoice_id))
        return [_hand_payment(row._replace(invoice_id=invoice_id), invoices)]
    invoice = invoices[invoice_id]
    if invoice.currency_iso != row.currency_iso:
        raise Refused(other_currency(row.currency_iso, invoice))
    if not wish.is_other_client:
        _assert_same_client(row.client_id, invoice)
    taken = min(row.amount if wish.amount is None else wish.amount, balances.amount_due(invoice))
    if taken <= 0:
        raise Refused(f"invoice {invoice.id} owes nothing")
    values = {
        "invoice_id": invoice_id,
        "client_id": invoice.client_id,
        "amount": taken,
        "counted": taken,
        "evidence": Evidence.PERSON,
    }
    await tx.execute(update(PAYMENTS).where(by_id).values(values))
    rest = row._replace(invoice_id=None, counted=row.amount - taken)
    if rest.counted:
        await _copy_rest(tx, row, rest.counted)
    applied = row._replace(invoice_id=invoice_id, counted=taken)
    return [_hand_payment(one, invoices) for one in (applied, rest)]


def _hand_payment(row: _Assigned, invoices: Mapping[int, InvoiceRow]) -> HandPayment:
    """The payment as the journal books it: an applied one is of its invoice's client."""
    invoice = invoices.get(row.invoice_id or 0)
    client_id = invoice.client_id if invoice else row.client_id
    return HandPayment(
        row.id, client_id, row.invoice_id, row.currency_iso, row.counted, row.credit_note_id
    )


async def _copy_rest(tx: Tx, row: _Assigned, rest: Decimal) -> None:
    """The rest of a payment by hand stays without an invoice, under its own client."""
    whole = (await tx.execute(select(PAYMENTS).where(PAYMENTS.c.id == row.id))).one()._asdict()
    own = {"invoice_id": None, "client_id": row.client_id, "amount": rest, "counted": rest}
    copied = {name: value for name, value in whole.items() if name not in {"id", "evidence"}}
    await tx.execute(insert(PAYMENTS).values({**copied, **own}))


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


# --- refusals ----------------------------------------------------------------------------------


def _payable(entry: ManualPayment, invoices: Mapping[int, InvoiceRow]) -> InvoiceRow:
    """The invoice that a payment by hand is for, when it may take one."""
    if entry.invoice_id is None:
        raise InvalidField("invoice_id", "a payment entered by hand needs an invoice")
    invoice = must_exist(invoices, entry.invoice_id)
    if entry.amount <= 0:
        raise InvalidField("amount", "a payment is more than nothing")
    money.to_minor(entry.amount, invoice.currency_iso)
    _assert_takes_money(invoice)
    return invoice


def _assert_takes_money(invoice: InvoiceRow) -> None:
    if invoice.voided:
        raise Refused(f"invoice {invoice.id} is voided and takes no payment")
    if invoice.payments_pending:
        raise Refused(f"a payment of invoice {invoice.id} is still processing; wait for its end")


def _manual_columns(entry: ManualPayment, invoice: InvoiceRow) -> dict[str, object]:
    return {
        **entry.values,
        "client_id": invoice.client_id,
        "date": entry.date,
        "currency_iso": invoice.currency_iso,
        "credit_note_id": entry.credit_note_id,
        "status": PaymentState.SUCCEEDED,
        "state": PaymentState.SUCCEEDED,
        "evidence": Evidence.PERSON,
    }


def _assert_applicable(row: _Assigned, amount: Decimal, invoice: InvoiceRow | None) -> None:
    """A part is applied of money that counts and that no invoice has, up to what is owed."""
    if invoice is None or row.invoice_id is not None:
        raise Refused("amount: only money of no invoice is applied in part, and to an invoice")
    if amount <= 0:
        raise InvalidField("amount", "is more than nothing")
    money.to_minor(amount, row.currency_iso)
    for what, left in ((f"payment {row.id} has", row.counted), ("", balances.amount_due(invoice))):
        if amount > left:
            said = what or f"invoice {invoice.id} owes"
            raise Refused(f"amount: {said} {money.text(left, row.currency_iso)}")


def _assert_not_charged(dependents_of: Mapping[int, Dependents]) -> None:
    """A charge under way cannot be called back: money entered now would pay the invoice twice."""
    for invoice_id, dependents in dependents_of.items():
        why = charge_under_way(dependents)
        if why is not None:
            raise ChargeUnderWay(f"invoice {invoice_id} takes no payment by hand: {why}")


def _assert_same_currency(payment: Payment, invoice: InvoiceRow) -> None:
    if invoice.currency_iso != payment.currency:
        raise Refused(other_currency(payment.currency, invoice))


def _assert_same_client(client_id: int | None, invoice: InvoiceRow) -> None:
    if client_id is not None and client_id != invoice.client_id:
        raise Refused(
            f"invoice_id: the payment is of client {client_id}, "
            f"invoice {invoice.id} of client {invoice.client_id}"
        )


def _assert_may_be_of_client(payment: Payment, invoice: InvoiceRow) -> None:
    if not may_be_of_client(payment, invoice):
        _assert_same_client(payment.client_id, invoice)


def must_exist(invoices: Mapping[int, InvoiceRow], invoice_id: int) -> InvoiceRow:
    invoice = invoices.get(invoice_id)
    if invoice is None or invoice.is_recurring_invoice:
        raise NotFound("Invoice", invoice_id)
    return invoice

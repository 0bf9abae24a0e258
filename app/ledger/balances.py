"""Balances of invoices: written here alone, whenever payments or totals move.

The caller holds the transaction. Invoices are locked in the order of their ids, before anything
else of theirs.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypedDict

from sqlalchemy import ColumnElement, case, func, literal_column, or_, select

from app.ledger import audit
from app.ledger.allocations import Allocations, Stored
from app.rules.allocation import Share
from app.rules.invoice import Balance, InvoicePaymentStatus, balance, is_owed
from app.rules.payment import PaymentState
from app.storage.bulk_writes import BulkUpdate, TableWrite, write_all
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.clients import Client
from app.storage.tables.cluster import MAIL_KINDS, InstallationValue
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice

PAYMENTS = table_of(InvoicePayment)
CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)
FACTS = table_of(InstallationValue)
_ZERO = Decimal(0)


class InvoiceRow(NamedTuple):
    """An invoice under its lock, as far as money is concerned."""

    id: int
    client_id: int | None
    currency_iso: str
    voided: bool
    invoicetype: int
    is_recurring_invoice: bool
    total: Decimal
    amountpaid: Decimal
    amountdue: Decimal
    paymentstatus: int
    payments_pending: int
    payments_reversed: int
    datepaid: datetime | None
    client_customer_id: str | None
    # The kinds of mail that are on: read here, so that nothing more is asked for a receipt.
    mail_kinds: str | None


class BalanceColumns(TypedDict):
    """The columns of an invoice that its payments decide."""

    amountpaid: Decimal
    amountdue: Decimal
    paymentstatus: int
    payments_pending: int
    payments_reversed: int
    datepaid: datetime | None


class BalanceUpdate(BalanceColumns):
    id: int
    last_modified: datetime


async def lock_invoices(tx: Tx, ids: Collection[int]) -> dict[int, InvoiceRow]:
    """The invoices that exist, by id."""
    if not ids:
        return {}
    return {row.id: row for row in await _LOCK_INVOICES.all(tx, ids=sorted(ids))}


_OWN_COLUMNS = [INVOICES.c[name] for name in InvoiceRow._fields if name in INVOICES.c]
_MAIL_KINDS = select(FACTS.c.value).where(FACTS.c.name == literal_column(f"'{MAIL_KINDS}'"))
_LOCK_INVOICES = PreparedStatement(
    select(
        *_OWN_COLUMNS,
        CLIENTS.c.stripe_customer_id.label("client_customer_id"),
        _MAIL_KINDS.scalar_subquery().label("mail_kinds"),
    )
    .select_from(INVOICES.outerjoin(CLIENTS, CLIENTS.c.id == INVOICES.c.client_id))
    .where(any_of(INVOICES.c.id, "ids"))
    .order_by(INVOICES.c.id)
    .with_for_update(of=INVOICES),
    InvoiceRow,
)


def amount_due(invoice: InvoiceRow) -> Decimal:
    """The amount that the invoice still takes; a template, a credit note or a void takes none."""
    is_claim = is_owed(invoice.invoicetype, voided=invoice.voided)
    if not is_claim or invoice.is_recurring_invoice:
        return _ZERO
    return max(invoice.total - invoice.amountpaid, _ZERO)


async def recompute(tx: Tx, invoice_ids: Collection[int], *, now: datetime, who: str) -> None:
    """Compute the balances of invoices from all their payments. The caller has locked them."""
    invoices = await lock_invoices(tx, invoice_ids)
    found = {row.invoice_id: row for row in await _SUMS.all(tx, ids=list(invoices))}
    moved = {}
    for invoice_id, invoice in invoices.items():
        row = found.get(invoice_id)
        moved[invoice_id] = BalanceDelta(
            paid=((row.paid if row else None) or _ZERO) - invoice.amountpaid,
            pending=(row.pending if row else 0) - invoice.payments_pending,
            reversed=(row.reversed if row else 0) - invoice.payments_reversed,
            paid_at=row.paid_at if row else None,
        )
    await write_all(tx, _balance_writes(invoices, moved, now, who))


# Share.is_reversed, in SQL.
_IS_REVERSED = or_(PAYMENTS.c.amount_refunded + PAYMENTS.c.amount_lost > 0, PAYMENTS.c.disputed)


class _PaymentSums(NamedTuple):
    invoice_id: int
    paid: Decimal
    pending: int
    reversed: int
    paid_at: datetime | None


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


_SUMS = PreparedStatement(
    select(
        PAYMENTS.c.invoice_id,
        func.sum(PAYMENTS.c.counted).label("paid"),
        _count_where(PAYMENTS.c.state == PaymentState.PROCESSING).label("pending"),
        _count_where(_IS_REVERSED).label("reversed"),
        func.max(case((PAYMENTS.c.counted > 0, PAYMENTS.c.date))).label("paid_at"),
    )
    .where(any_of(PAYMENTS.c.invoice_id, "ids"))
    .group_by(PAYMENTS.c.invoice_id),
    _PaymentSums,
)


@dataclass(slots=True)
class BalanceDelta:
    """A change of the sums that an invoice keeps of its payments."""

    paid: Decimal = _ZERO
    pending: int = 0
    reversed: int = 0
    # The latest day of a payment that counts; None when none of the changed ones does.
    paid_at: datetime | None = None

    def add(self, share: Share, sign: int) -> None:
        self.paid += sign * share.counted
        self.pending += sign * share.is_pending
        self.reversed += sign * share.is_reversed


def _deltas(
    before: Allocations, after: Allocations, paid_at: Mapping[str, datetime]
) -> dict[int, BalanceDelta]:
    """Each invoice's change: its shares as they were are subtracted, as they are now added."""
    found: dict[int, BalanceDelta] = {}
    for allocations, sign in ((before, -1), (after, 1)):
        for shares in allocations.values():
            for key, share in shares.items():
                if key is not None:
                    found.setdefault(key, BalanceDelta()).add(share, sign)
    for intent, shares in after.items():
        for key, share in shares.items():
            if key is not None and share.counted > 0:
                known = found[key].paid_at
                found[key].paid_at = max(paid_at[intent], known or paid_at[intent])
    return found


def writes(
    invoices: Mapping[int, InvoiceRow],
    stored: Stored,
    after: Allocations,
    paid_at: Mapping[str, datetime],
    now: datetime,
    who: str,
) -> list[TableWrite]:
    """The balances that follow from shares as stored and as they are, written.

    `paid_at` is when each payment was made, by its intent.
    """
    before = {intent: stored.of(intent) for intent in after}
    return _balance_writes(invoices, _deltas(before, after, paid_at), now, who)


def _balance_writes(
    invoices: Mapping[int, InvoiceRow],
    deltas: Mapping[int, BalanceDelta],
    now: datetime,
    who: str,
) -> list[TableWrite]:
    """The balance of each invoice, written with its audit rows."""
    updates, changes = [], []
    for invoice_id, delta in sorted(deltas.items()):
        invoice = invoices[invoice_id]
        owed = balance(invoice.total, (invoice.amountpaid + delta.paid,))
        if not is_owed(invoice.invoicetype, voided=invoice.voided):
            owed = replace(owed, remaining=_ZERO)
        columns = _balance_columns(invoice, owed, delta, now)
        # News that changes none of these leaves the invoice as it is, `last_modified` included.
        if any(value != getattr(invoice, name) for name, value in columns.items()):
            updates.append(BalanceUpdate(id=invoice_id, last_modified=now, **columns))
        changes += _audit_changes(invoice, owed)
    return [(_UPDATE_INVOICES, updates), audit.writes(changes, who=who, now=now)]


def _balance_columns(
    invoice: InvoiceRow, owed: Balance, delta: BalanceDelta, now: datetime
) -> BalanceColumns:
    is_paid = owed.status == InvoicePaymentStatus.PAID
    return {
        "amountpaid": owed.paid,
        "amountdue": owed.remaining,
        "paymentstatus": owed.status,
        "payments_pending": invoice.payments_pending + delta.pending,
        "payments_reversed": invoice.payments_reversed + delta.reversed,
        "datepaid": (invoice.datepaid or delta.paid_at or now) if is_paid else None,
    }


_UPDATE_INVOICES = BulkUpdate(INVOICES, "id", [*BalanceColumns.__annotations__, "last_modified"])


def _audit_changes(invoice: InvoiceRow, owed: Balance) -> list[audit.AuditChange]:
    before_and_after = (
        ("amountpaid", invoice.amountpaid, owed.paid),
        ("paymentstatus", invoice.paymentstatus, owed.status.value),
    )
    return [
        audit.AuditChange(invoice.id, name, old, new)
        for name, old, new in before_and_after
        if old != new
    ]

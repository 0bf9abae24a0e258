"""Invoices that autopay holds for a person: held, approved, rejected, lapsed.

An approval is for one charge: once more is due, once the invoice's total has grown, its client or
currency is another, or a charge has succeeded since, it counts no longer, and the invoice is held
anew. A rejection counts until a person approves.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import exists, literal_column, select, update

from app.errors import InvalidField, NotFound, Refused
from app.ledger import audit
from app.rules import money
from app.rules.attempt import AttemptState
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.rows import insert_of
from app.storage.tables.autopay_policies import AutopayApproval
from app.storage.tables.charge_attempts import ChargeAttempt, attempt_ids_of
from app.storage.tables.invoices import Invoice

APPROVALS = table_of(AutopayApproval)
ATTEMPTS = table_of(ChargeAttempt)
INVOICES = table_of(Invoice)

# Many at once are one list of names; each has its own line in its invoice's history.
DECIDED_MAX = 1000
# It stands in the invoice's history.
REASON_MAX = 500


class ApprovalState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    LAPSED = "lapsed"


class ChargeApproval(NamedTuple):
    """An invoice that was held, with the amount that it was held for."""

    id: int
    invoice_id: int
    client_id: int | None
    state: str
    amount: Decimal
    total: Decimal
    currency: str
    reason: str
    rule_name: str | None
    held_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    is_used: bool

    def covers(self, amount: Decimal, total: Decimal, currency: str, client_id: int | None) -> bool:
        """Whether a person approved this charge, or more of the same invoice."""
        if self.state != ApprovalState.APPROVED or self.is_used:
            return False
        same = (self.currency, self.client_id) == (currency, client_id)
        return same and amount <= self.amount and total <= self.total


class Held(NamedTuple):
    """An invoice to be held, as it is now."""

    invoice_id: int
    client_id: int | None
    amount: Decimal
    total: Decimal
    currency: str
    reason: str
    rule_name: str | None


async def load_current(tx: Tx, invoice_ids: Iterable[int]) -> dict[int, ChargeApproval]:
    """The approval, rejection or open question that counts for each invoice."""
    found = await _CURRENT.all(tx, ids=sorted(invoice_ids))
    return {row.invoice_id: row for row in found}


# Written out, not bound: the partial index is chosen only for the literal.
_IS_CURRENT = APPROVALS.c.state != literal_column("'lapsed'")
# Whatever was charged since the decision used it up, whoever charged it.
_IS_USED = (
    exists()
    .where(
        ATTEMPTS.c.id.in_(attempt_ids_of(APPROVALS.c.invoice_id)),
        ATTEMPTS.c.state == AttemptState.SUCCEEDED,
        ATTEMPTS.c.finished_at > APPROVALS.c.decided_at,
    )
    .correlate(APPROVALS)
    .label("is_used")
)
_COLUMNS = [*(APPROVALS.c[name] for name in ChargeApproval._fields[:-1]), _IS_USED]
_CURRENT = PreparedStatement(
    select(*_COLUMNS).where(any_of(APPROVALS.c.invoice_id, "ids"), _IS_CURRENT), ChargeApproval
)


async def hold(tx: Tx, held: Sequence[Held], *, now: datetime) -> None:
    """Let a person decide these. One that waits already keeps its time; its amount follows.

    An approval that no longer covers its invoice lapses.
    """
    known = await load_current(tx, [one.invoice_id for one in held])
    lapsed = [one.id for one in known.values() if one.state == ApprovalState.APPROVED]
    if lapsed:
        await tx.execute(
            update(APPROVALS).where(APPROVALS.c.id.in_(lapsed)).values(state=ApprovalState.LAPSED)
        )
    new, changed = [], []
    for one in held:
        waiting = known.get(one.invoice_id)
        if waiting is None or waiting.id in lapsed:
            new.append({**one._asdict(), "state": ApprovalState.WAITING, "held_at": now})
        elif waiting.state == ApprovalState.WAITING and _differs(waiting, one):
            changed.append((waiting.id, one))
    if new:
        insert_new = insert_of(tx.dialect.name)(APPROVALS).on_conflict_do_nothing()
        await tx.execute(insert_new, new)
    for approval_id, one in changed:
        await tx.execute(
            update(APPROVALS)
            .where(APPROVALS.c.id == approval_id, APPROVALS.c.state == ApprovalState.WAITING)
            .values(**one._asdict())
        )


def _differs(waiting: ChargeApproval, one: Held) -> bool:
    return any(getattr(waiting, name) != value for name, value in one._asdict().items())


# --- decisions of a person -----------------------------------------------------------------------


class QueueRow(NamedTuple):
    """An invoice in the queue: its approval, and what is due on it now."""

    approval: ChargeApproval
    invoicenumber: str | None
    amountdue: Decimal


async def list_waiting(tx: Tx, *, after: int = 0, most: int = 1000) -> list[QueueRow]:
    """Held invoices on which something is due, the longest held first."""
    found = await tx.execute(
        _QUEUE.where(APPROVALS.c.state == ApprovalState.WAITING, APPROVALS.c.id > after)
        .where(INVOICES.c.amountdue > 0, INVOICES.c.voided.is_(False))
        .order_by(APPROVALS.c.id)
        .limit(most)
    )
    return [_queue_row(row) for row in found]


_QUEUE = select(*_COLUMNS, INVOICES.c.invoicenumber, INVOICES.c.amountdue).select_from(
    APPROVALS.join(INVOICES, INVOICES.c.id == APPROVALS.c.invoice_id)
)


def _queue_row(row: Record) -> QueueRow:
    *approval, number, due = row
    return QueueRow(ChargeApproval._make(approval), number, due)


async def decide(
    tx: Tx,
    amounts: Mapping[int, Decimal | None],
    state: ApprovalState,
    *,
    who: str,
    reason: str,
    now: datetime,
) -> list[ChargeApproval]:
    """Approve or reject held invoices, all or none, by name; each decision is audited.

    `amounts` has the invoices, each with the amount that the person has seen: Refused where it
    is held for another. Whatever is due later, no more is approved than it is held for.
    """
    _assert_decision(amounts, who, reason)
    await _lock_invoices(tx, amounts)
    known = await load_current(tx, amounts)
    for invoice_id, amount in amounts.items():
        _assert_decidable(invoice_id, known.get(invoice_id), state, amount)
    await tx.execute(
        update(APPROVALS)
        .where(APPROVALS.c.id.in_([one.id for one in known.values()]))
        .values(state=state, decided_by=who, decided_at=now, decision_reason=reason or None)
    )
    await audit.write(tx, [_change(one, state, reason) for one in known.values()], who=who, now=now)
    decided = await load_current(tx, amounts)
    return [decided[one] for one in amounts]


def _change(one: ChargeApproval, state: ApprovalState, reason: str) -> audit.AuditChange:
    return audit.AuditChange(
        one.invoice_id, "autopay_approval", one.state, _said(one, state, reason)
    )


def _said(one: ChargeApproval, state: ApprovalState, reason: str) -> str:
    said = f"{state} {money.text(one.amount, one.currency)} {one.currency}"
    return f"{said}: {reason}" if reason else said


def _assert_decision(amounts: Collection[int], who: str, reason: str) -> None:
    if not 0 < len(amounts) <= DECIDED_MAX:
        raise InvalidField("invoices", f"are not 1 to {DECIDED_MAX}")
    if not who.strip():
        raise InvalidField("who", "is required: an approval is by name")
    if len(reason) > REASON_MAX:
        raise InvalidField("reason", f"has more than {REASON_MAX} characters")


async def _lock_invoices(tx: Tx, invoice_ids: Iterable[int]) -> None:
    """A charge reads approvals under the lock of their invoice."""
    await tx.execute(
        select(INVOICES.c.id)
        .where(INVOICES.c.id.in_(sorted(invoice_ids)))
        .order_by(INVOICES.c.id)
        .with_for_update()
    )


def _assert_decidable(
    invoice_id: int, one: ChargeApproval | None, state: ApprovalState, amount: Decimal | None
) -> None:
    if one is None:
        raise NotFound("held invoice", invoice_id)
    if one.state == state:
        raise Refused(f"invoice {invoice_id} is {state} already, by {one.decided_by}")
    if amount is not None and amount != one.amount:
        shown = f"{money.text(one.amount, one.currency)} {one.currency}"
        raise Refused(f"invoice {invoice_id} waits for the approval of {shown}")

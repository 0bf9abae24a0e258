"""Reversals: refunds, disputes, their warnings, charges' totals, and their sums by payment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, select, update

from app.ledger import outbox
from app.ledger.outbox import OpenedDispute
from app.ledger.refund_requests import follow_refunds
from app.rules.payment import (
    DISPUTE_OPEN,
    Payment,
    PaymentReport,
    Reversal,
    ReversalKind,
    ReversedTotal,
    merge_reversal,
    reversed_total,
)
from app.storage.column_types import table_of
from app.storage.driver_errors import LostRace
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.rows import insert_once
from app.storage.tables.stripe_reversals import StripeReversal

REVERSALS = table_of(StripeReversal)


class ReversalRow(NamedTuple):
    id: str
    kind: str
    intent_id: str
    amount: Decimal
    status: str
    invoice_id: int | None
    request_id: int | None
    reason: str | None
    evidence_due_at: datetime | None
    funds_withdrawn: bool
    funds_reinstated: bool
    currency_iso: str | None


LOCK_REVERSALS = PreparedStatement(
    select(*projection(REVERSALS, ReversalRow))
    .where(any_of(REVERSALS.c.intent_id, "intents"))
    .order_by(REVERSALS.c.id)
    .with_for_update(),
    ReversalRow,
)


async def record_reversals(
    tx: Tx, locked: Sequence[ReversalRow], reports: Iterable[PaymentReport], *, now: datetime
) -> dict[str, list[Reversal]]:
    """Write the reversals that are reported; answer each intent's, with those of before.

    `locked` is what LOCK_REVERSALS found of the reported intents.
    """
    known = {row.id: row for row in locked}
    after = dict(known)
    currencies = {}
    for report in reports:
        if report.reversal is not None:
            row = _merged(after.get(report.reversal.id), report.intent_id, report.reversal)
            after[row.id] = row
            currencies[row.id] = report.currency
    await _write(tx, known, after)
    changed = [row for row in after.values() if known.get(row.id) != row]
    await follow_refunds(tx, [(row.intent_id, _reversal(row)) for row in changed])
    opened = [
        OpenedDispute(
            row.id, row.intent_id, row.amount, currencies[row.id], row.reason, row.evidence_due_at
        )
        for row in changed
        if row.kind == ReversalKind.DISPUTE and row.id not in known and row.status in DISPUTE_OPEN
    ]
    await outbox.queue_disputes(tx, opened, now=now)
    return _by_intent(after.values())


async def with_refunded_invoices(tx: Tx, payments: Mapping[str, Payment]) -> dict[str, Payment]:
    """The payments, each with the invoices that its refunds are for; their rows know only sums."""
    refunded = sorted(intent for intent, one in payments.items() if one.back.refunded)
    if not refunded:
        return dict(payments)
    reversals = _by_intent(await LOCK_REVERSALS.all(tx, intents=refunded))
    return {
        intent: one._replace(
            back=replace(one.back, refunded_of=total_back(one, reversals[intent]).refunded_of)
        )
        if intent in reversals
        else one
        for intent, one in payments.items()
    }


def total_back(payment: Payment, reversals: Iterable[Reversal]) -> ReversedTotal:
    return reversed_total(reversals, currency=payment.currency, whole=payment.amount)


def _by_intent(rows: Iterable[ReversalRow]) -> dict[str, list[Reversal]]:
    found: dict[str, list[Reversal]] = {}
    for row in rows:
        found.setdefault(row.intent_id, []).append(_reversal(row))
    return found


def _merged(known: ReversalRow | None, intent_id: str, reported: Reversal) -> ReversalRow:
    one = merge_reversal(_reversal(known), reported) if known else reported
    return ReversalRow(
        one.id,
        one.kind,
        intent_id,
        one.amount,
        one.status,
        one.invoice_id,
        one.request_id,
        one.reason,
        one.evidence_due_at,
        one.funds_withdrawn,
        one.funds_reinstated,
        one.currency,
    )


def _reversal(row: ReversalRow) -> Reversal:
    return Reversal(
        row.id,
        ReversalKind(row.kind),
        row.amount,
        row.status,
        row.invoice_id,
        row.request_id,
        row.reason,
        row.evidence_due_at,
        row.funds_withdrawn,
        row.funds_reinstated,
        row.currency_iso,
    )


_FACTS = [name for name in ReversalRow._fields if name not in {"id", "kind", "intent_id"}]


async def _write(
    tx: Tx, known: Mapping[str, ReversalRow], after: Mapping[str, ReversalRow]
) -> None:
    new = [row._asdict() for _, row in sorted(after.items()) if row.id not in known]
    if new:
        key = [REVERSALS.c.id]
        if len(await insert_once(tx, REVERSALS, new, key=key, returning=key)) < len(new):
            raise LostRace
    changed = [row for row in after.values() if row.id in known and known[row.id] != row]
    if changed:
        await tx.execute(
            update(REVERSALS)
            .where(REVERSALS.c.id == bindparam("b_id"))
            .values({name: bindparam(f"b_{name}") for name in _FACTS}),
            [{f"b_{name}": value for name, value in row._asdict().items()} for row in changed],
        )

"""Reversals: refunds, disputes and charges' totals of refunds, and their sums by payment."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, select, update

from app.rules.payment import (
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


LOCK_REVERSALS = PreparedStatement(
    select(*projection(REVERSALS, ReversalRow))
    .where(any_of(REVERSALS.c.intent_id, "intents"))
    .order_by(REVERSALS.c.id)
    .with_for_update(),
    ReversalRow,
)


async def record_reversals(
    tx: Tx, locked: Sequence[ReversalRow], reports: Iterable[PaymentReport]
) -> dict[str, ReversedTotal]:
    """Write the reversals that are reported; answer each intent's sum of all of them.

    `locked` is what LOCK_REVERSALS found of the reported intents.
    """
    known = {row.id: row for row in locked}
    after = dict(known)
    for report in reports:
        if report.reversal is not None:
            row = _merged(after.get(report.reversal.id), report.intent_id, report.reversal)
            after[row.id] = row
    await _write(tx, known, after)
    by_intent: dict[str, list[Reversal]] = {}
    for row in after.values():
        by_intent.setdefault(row.intent_id, []).append(_reversal(row))
    return {intent_id: reversed_total(all_of) for intent_id, all_of in by_intent.items()}


def _merged(known: ReversalRow | None, intent_id: str, reported: Reversal) -> ReversalRow:
    one = merge_reversal(_reversal(known), reported) if known else reported
    return ReversalRow(one.id, one.kind, intent_id, one.amount, one.status)


def _reversal(row: ReversalRow) -> Reversal:
    return Reversal(row.id, ReversalKind(row.kind), row.amount, row.status)


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
            .values(amount=bindparam("b_amount"), status=bindparam("b_status")),
            [{"b_id": row.id, "b_amount": row.amount, "b_status": row.status} for row in changed],
        )

"""Money going back: refunds, disputes and charges' totals, and what they come to per payment."""

from collections.abc import Iterable, Mapping, Sequence

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
from app.storage.prepared import PreparedStatement, any_of
from app.storage.rows import insert_once
from app.storage.tables.stripe_reversals import StripeReversal

REVERSALS = table_of(StripeReversal)


async def record_reversals(
    tx: Tx, intents: Sequence[str], news: Iterable[PaymentReport]
) -> dict[str, ReversedTotal]:
    """What went back of each intent in all, with this batch's reports written down."""
    found = await _LOCK_REVERSALS.all(tx, intents=intents)
    known = {
        row.id: (row.intent_id, Reversal(row.id, ReversalKind(row.kind), row.amount, row.status))
        for row in found
    }
    after = dict(known)
    for one in news:
        if one.reversal:
            before = after.get(one.reversal.id)
            seen = merge_reversal(before[1], one.reversal) if before else one.reversal
            after[seen.id] = (one.intent_id, seen)
    await _write(tx, known, after)
    by_intent: dict[str, list[Reversal]] = {}
    for intent_id, reversal in after.values():
        by_intent.setdefault(intent_id, []).append(reversal)
    return {intent_id: reversed_total(all_of) for intent_id, all_of in by_intent.items()}


_LOCK_REVERSALS = PreparedStatement(
    select(REVERSALS)
    .where(any_of(REVERSALS.c.intent_id, "intents"))
    .order_by(REVERSALS.c.id)
    .with_for_update()
)


async def _write(
    tx: Tx,
    known: Mapping[str, tuple[str, Reversal]],
    after: Mapping[str, tuple[str, Reversal]],
) -> None:
    new = [
        {"id": one.id, "kind": one.kind, "intent_id": intent_id, "amount": one.amount,
         "status": one.status}
        for _, (intent_id, one) in sorted(after.items())
        if one.id not in known
    ]  # fmt: skip
    if new:
        key = [REVERSALS.c.id]
        if len(await insert_once(tx, REVERSALS, new, key=key, returning=key)) < len(new):
            raise LostRace
    changed = [
        {"b_id": one.id, "b_amount": one.amount, "b_status": one.status}
        for key_, (_, one) in after.items()
        if key_ in known and known[key_][1] != one
    ]
    if changed:
        await tx.execute(
            update(REVERSALS)
            .where(REVERSALS.c.id == bindparam("b_id"))
            .values(amount=bindparam("b_amount"), status=bindparam("b_status")),
            changed,
        )

"""Orphans: intents that a lost create of ours made, and that no attempt goes on with."""

from datetime import UTC, datetime
from functools import partial

import structlog
from sqlalchemy import and_, bindparam, exists, or_, select

from app.ledger import payment_intents
from app.payments.reconciliation.object_pass import book
from app.payments.reconciliation.reconcile_pass import BATCH, ReconcilePass
from app.payments.stripe.gateway import RequestRefused
from app.payments.stripe.stripe_objects import intent_report
from app.rules.attempt import UNRESOLVED, AttemptState
from app.rules.claim import Evidence
from app.rules.payment import PaymentState
from app.storage.column_types import table_of
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.stripe_payments import StripePayment

log = structlog.get_logger("paydue.reconcile")
PAYMENTS = table_of(StripePayment)
ATTEMPTS = table_of(ChargeAttempt)

# Only what this installation made is cancelled: another's may be waiting for its own customer.
_OUR_OWN = (Evidence.METADATA, Evidence.KEY, Evidence.ATTEMPT)


async def cancel_orphans(at: ReconcilePass) -> None:
    """Cancel each orphan; one that was paid before we could is booked."""
    for intent_id in await _orphan_ids(at):
        if at.stop.is_set():
            return
        try:
            answer = await at.gateway.cancel(intent_id)
        except RequestRefused:
            answer = await at.gateway.retrieve(intent_id)
        read = partial(
            intent_report,
            at=datetime.now(UTC),
            installation=at.installation,
            response=answer.body,
        )
        for news in at.readable([answer.object], read):
            await book(at, [news])
            is_canceled = news.state == PaymentState.CANCELED
            at.found.orphans_canceled += is_canceled
            said = "orphan canceled" if is_canceled else "orphan had ended"
            log.warning(said, intent=intent_id, invoice=news.invoice_id)


async def _orphan_ids(at: ReconcilePass) -> list[str]:
    old = datetime.now(UTC) - payment_intents.CHECK_AFTER
    async with at.database.snapshot() as tx:
        return list(await tx.scalars(_ORPHANS, {"old": old}))


_MAY_GO_ON = exists().where(
    or_(
        and_(
            ATTEMPTS.c.intent_id == PAYMENTS.c.intent_id,
            ATTEMPTS.c.state.in_([*UNRESOLVED, AttemptState.DECLINED, AttemptState.REFUSED]),
        ),
        and_(
            ATTEMPTS.c.invoice_id == PAYMENTS.c.claimed_invoice_id,
            ATTEMPTS.c.intent_id.is_(None),
            ATTEMPTS.c.state.in_(UNRESOLVED),
        ),
    )
)
_ORPHANS = (
    select(PAYMENTS.c.intent_id)
    .where(
        PAYMENTS.c.check_at.is_not(None),
        PAYMENTS.c.state == PaymentState.CREATED,
        PAYMENTS.c.attempt.is_not(None),
        PAYMENTS.c.evidence.in_(_OUR_OWN),
        PAYMENTS.c.intent_date < bindparam("old"),
        ~_MAY_GO_ON,
    )
    .limit(BATCH)
)

"""Charge attempts follow the payments that Stripe reports, by whatever way a report comes."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import and_, or_, select

from app.payments.autopay.attempts import (
    ATTEMPT_COLUMNS,
    ATTEMPTS,
    Attempt,
    adopt_intent,
    check_soon,
    end_attempt,
)
from app.rules import money
from app.rules.attempt import AttemptState, AttemptStep
from app.rules.claim import Evidence
from app.rules.payment import FINAL, PaymentReport, PaymentState
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.charge_attempts import IS_UNRESOLVED


async def follow_reports(tx: Tx, reports: Sequence[PaymentReport], *, now: datetime) -> None:
    """Let attempts follow what events report; the invoices concerned are locked already."""
    stateful = [one for one in reports if one.state is not None]
    if not stateful:
        return
    unresolved = await _UNRESOLVED.all(
        tx,
        intents=list({one.intent_id for one in stateful}),
        invoices=list({one.invoice_id for one in stateful if one.attempt and one.invoice_id}),
    )
    for report in sorted(stateful, key=lambda one: one.intent_id):
        for attempt in unresolved:
            if attempt.intent_id == report.intent_id:
                await _follow(tx, attempt, report, now)
            elif _was_created_by(attempt, report):
                await adopt_intent(tx, attempt.id, report.intent_id, now=now)
                # Another way of paying may have cancelled it before anybody knew its attempt.
                await _follow(tx, attempt, report, now)


_UNRESOLVED = PreparedStatement(
    select(*ATTEMPT_COLUMNS)
    .where(
        IS_UNRESOLVED,
        or_(
            any_of(ATTEMPTS.c.intent_id, "intents"),
            and_(any_of(ATTEMPTS.c.invoice_id, "invoices"), ATTEMPTS.c.intent_id.is_(None)),
        ),
    )
    .order_by(ATTEMPTS.c.id)
    .with_for_update(),
    Attempt,
)


def _was_created_by(attempt: Attempt, report: PaymentReport) -> bool:
    """Whether the reported intent is the one whose create got no answer."""
    is_named = attempt.invoice_id == report.invoice_id and attempt.number == report.attempt
    is_unanswered = attempt.intent_id is None and report.state in _WITHOUT_CONFIRM
    return is_named and is_unanswered and _is_for_its_money(attempt, report)


# Nobody confirms an intent whose create got no answer; it may be cancelled, or paid by its secret.
_WITHOUT_CONFIRM = frozenset({PaymentState.CREATED, *FINAL})


def _is_for_its_money(attempt: Attempt, report: PaymentReport) -> bool:
    """Whether an intent takes the attempt's very money, for the same installation.

    Another installation has the same small numbers, and a restored database may reuse a name.
    """
    _, wanted = money.from_stripe(attempt.amount_minor, attempt.currency)
    is_ours = report.evidence in (Evidence.METADATA, Evidence.KEY)
    found = (report.amount, report.currency, report.customer_id)
    is_same = found == (wanted, attempt.currency, attempt.customer_id)
    return is_same and is_ours and _parts(attempt) == (report.shares or {})


def _parts(attempt: Attempt) -> dict[int, Decimal]:
    return {
        one: money.from_minor(minor, attempt.currency)
        for one, minor in attempt.planned_shares.items()
    }


async def _follow(tx: Tx, attempt: Attempt, report: PaymentReport, now: datetime) -> None:
    match report.state:
        case PaymentState.SUCCEEDED:
            await end_attempt(
                tx, attempt.id, AttemptState.SUCCEEDED, now=now, charge_id=report.charge_id
            )
        case _ if attempt.step == AttemptStep.CONFIRMING:
            # Only the intent itself tells which try a failure belongs to, and whether a bank had
            # declined before somebody cancelled it: it is checked soon.
            await check_soon(tx, attempt.id, now=now)
        case PaymentState.CANCELED:
            await end_attempt(
                tx, attempt.id, AttemptState.CANCELED, now=now, reason="canceled at Stripe"
            )

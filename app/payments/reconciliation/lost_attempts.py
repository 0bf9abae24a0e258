"""Attempts that Stripe knows of and this database does not: it was restored from an older copy.

Their intents carry this installation's name. The attempts are written again from them, so that no
number is used twice and no verdict of a bank is forgotten; invoice ids that Stripe has heard of are
not given again.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, TypedDict

import structlog
from sqlalchemy import select

from app.payments.autopay import attempts
from app.payments.reconciliation import cursor
from app.payments.reconciliation.reconcile_pass import ReconcilePass
from app.payments.stripe.stripe_objects import (
    StripeObject,
    charge_id,
    decline_of,
    evidence_in,
    failed_charge_id,
    instant_of,
    intent_state,
    metadata_number,
    named_shares,
    reference,
)
from app.rules import retry
from app.rules.attempt import UNRESOLVED, AttemptState, AttemptStep, parse_key
from app.rules.claim import Evidence
from app.rules.payment import PaymentState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.id_sequences import last_id, skip_ids
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.rows import insert_of
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare
from app.storage.tables.invoices import Invoice

log = structlog.get_logger("paydue.reconcile")
ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(ChargeAttemptShare)
INVOICES = table_of(Invoice)

# No installation has so many invoices: a larger number in metadata is no id of one.
INVOICE_ID_MAX = 10**12


class AttemptNumber(NamedTuple):
    """The name of an attempt: its invoice and its number."""

    invoice_id: int
    number: int


def attempt_of(intent: StripeObject, installation: str) -> AttemptNumber | None:
    """The attempt of this installation that made an intent; None for any other intent."""
    if evidence_in(intent, installation) != Evidence.METADATA:
        return None
    invoice_id, number = (metadata_number(intent, name) for name in ("invoice_id", "attempt"))
    return _number(invoice_id, number)


def attempt_of_event(event: Mapping[str, Any], installation: str) -> AttemptNumber | None:
    """The attempt that an event is about: by its intent, or by the key of our own request."""
    thing = event["data"]["object"]
    found = attempt_of(thing, installation) if thing.get("object") == "payment_intent" else None
    request = event.get("request")
    sent = request.get("idempotency_key") if isinstance(request, dict) else None
    key = parse_key(sent) if isinstance(sent, str) else None
    if found is None and key is not None and key.installation == installation:
        found = _number(key.invoice_id, key.attempt)
    return found


def _number(invoice_id: int | None, number: int | None) -> AttemptNumber | None:
    if invoice_id is None or number is None or invoice_id > INVOICE_ID_MAX:
        return None
    return AttemptNumber(invoice_id, number)


async def find_unknown(tx: Tx, named: Collection[AttemptNumber]) -> set[AttemptNumber]:
    """Those attempts that this database should know and does not.

    One whose invoice was deleted here is not among them: its id has been given away.
    """
    if not named:
        return set()
    ids = {one.invoice_id for one in named}
    known = await _NUMBERS.all(tx, invoice_ids=ids)
    there = {row.id for row in await _THERE.all(tx, invoice_ids=ids)}
    newest = await last_id(tx, INVOICES)
    return {
        one
        for one in set(named).difference(known)
        if one.invoice_id in there or one.invoice_id > newest
    }


class _InvoiceId(NamedTuple):
    id: int


_NUMBERS = PreparedStatement(
    select(*projection(ATTEMPTS, AttemptNumber)).where(
        any_of(ATTEMPTS.c.invoice_id, "invoice_ids")
    ),
    AttemptNumber,
)
_THERE = PreparedStatement(
    select(INVOICES.c.id).where(any_of(INVOICES.c.id, "invoice_ids")), _InvoiceId
)


async def restore_attempts(at: ReconcilePass, intents: Sequence[StripeObject]) -> None:
    """Write the attempts again whose intents these are and which are not known here."""
    named = {
        number: intent
        for intent in intents
        if (number := attempt_of(intent, at.installation)) is not None
    }
    async with at.database.snapshot() as tx:
        unknown = await find_unknown(tx, named)
    if not unknown:
        return
    lost = at.readable(
        [named[number] for number in sorted(unknown)],
        lambda intent: (_lost_attempt(intent, at.installation), named_shares(intent)),
    )
    await at.database.with_retry(lambda tx: _write(tx, lost))
    at.found.attempts_restored += len(lost)
    log.warning("attempts written again after a restore", attempts=len(lost))


class LostAttempt(TypedDict):
    """An attempt as its intent shows it, written again after the database was restored."""

    invoice_id: int
    number: int
    state: AttemptState
    business_day: date
    amount_minor: int
    currency: str
    customer_id: str
    payment_method_id: str | None
    intent_id: str
    created_at: datetime
    charge_id: str | None
    code: str | None
    decline_code: str | None
    advice_code: str | None
    reason: str | None
    next_try_on: date | None


async def _write(tx: Tx, lost: Sequence[tuple[LostAttempt, Mapping[int, int]]]) -> None:
    """Write them in the order they were made: an invoice's newest attempt has the largest id."""
    ids = {id_ for one, shares in lost for id_ in (one["invoice_id"], *shares)}
    there = set(await tx.scalars(select(INVOICES.c.id).where(INVOICES.c.id.in_(ids))))
    for one, shares in sorted(lost, key=lambda pair: (pair[0]["created_at"], pair[0]["number"])):
        if one["invoice_id"] in there:
            known = {id_: amount for id_, amount in shares.items() if id_ in there}
            await _insert(tx, one, known)
    await skip_ids(tx, INVOICES, max(ids, default=0))


async def begin_epoch(tx: Tx) -> None:
    """Let no idempotency key be used again that an earlier life of the database may have used."""
    await cursor.save_epoch(tx, await cursor.load_epoch(tx) + 1)


def _lost_attempt(intent: StripeObject, installation: str) -> LostAttempt:
    named = attempt_of(intent, installation)
    made_at = instant_of(intent, "created")
    customer = reference(intent.get("customer"))
    assert named is not None, "only intents of ours are written again"
    if made_at is None or customer is None:
        raise ValueError("an intent of ours has a time and a customer")
    decline = decline_of(intent)
    state = _STATES[intent_state(intent)]
    verdict = None
    if state == AttemptState.DECLINED:
        verdict = retry.after_decline(decline, tries=named.number, on=made_at.date())
    return {
        "invoice_id": named.invoice_id,
        "number": named.number,
        "state": state,
        "business_day": made_at.date(),
        "amount_minor": _amount(intent),
        "currency": str(intent.get("currency")),
        "customer_id": customer,
        "payment_method_id": _payment_method(intent),
        "intent_id": str(intent["id"]),
        "created_at": made_at,
        "charge_id": failed_charge_id(intent) or charge_id(intent),
        "code": decline.code,
        "decline_code": decline.decline_code,
        "advice_code": decline.advice_code,
        "reason": verdict.reason if verdict else _REASONS.get(state),
        "next_try_on": verdict.next_try_on if verdict else None,
    }


_STATES = {
    # A confirm that was never sent: the intent is cancelled as an orphan.
    PaymentState.CREATED: AttemptState.CANCELED,
    PaymentState.REQUIRES_ACTION: AttemptState.DECLINED,
    PaymentState.PROCESSING: AttemptState.PROCESSING,
    PaymentState.FAILED: AttemptState.DECLINED,
    PaymentState.CANCELED: AttemptState.CANCELED,
    PaymentState.SUCCEEDED: AttemptState.SUCCEEDED,
}
_REASONS = {AttemptState.CANCELED: "it had not been confirmed when the database was restored"}


def _amount(intent: StripeObject) -> int:
    amount = intent.get("amount")
    if not isinstance(amount, int):
        raise TypeError(f"payment_intent.amount is not an amount: {amount!r}")
    return amount


def _payment_method(intent: StripeObject) -> str | None:
    """The method of the intent; after a decline only the error names it."""
    error = intent.get("last_payment_error") or {}
    return reference(intent.get("payment_method")) or reference(error.get("payment_method"))


async def count_unknown(at: ReconcilePass, events: Sequence[Mapping[str, Any]]) -> int:
    """How many attempts of ours these events name that are not known here."""
    named = {
        number for one in events if (number := attempt_of_event(one, at.installation)) is not None
    }
    async with at.database.snapshot() as tx:
        return len(await find_unknown(tx, named))


async def _insert(tx: Tx, lost: LostAttempt, shares: Mapping[int, int]) -> None:
    """Write an attempt again, unless its number or an unresolved one is there.

    A consolidated one has shares: the minor units of each of its invoices.
    """
    is_over = lost["state"] not in UNRESOLVED
    row = {
        **lost,
        "step": AttemptStep.ENDED if is_over else AttemptStep.CONFIRMING,
        "is_consolidated": bool(shares),
        "creates": 1,
        "checks": 0,
        "finished_at": lost["created_at"] if is_over else None,
        "check_at": None if is_over else lost["created_at"] + attempts.CHECK_DEBIT_AFTER,
    }
    insert = insert_of(tx.dialect.name)
    written = insert(ATTEMPTS).values(row).on_conflict_do_nothing().returning(ATTEMPTS.c.id)
    attempt_id = await tx.scalar(written)
    if attempt_id is not None and shares:
        rows = [
            {
                "attempt_id": attempt_id,
                "invoice_id": invoice_id,
                "amount_minor": amount_minor,
                "is_unresolved": not is_over,
            }
            for invoice_id, amount_minor in shares.items()
        ]
        await tx.execute(insert(SHARES).values(rows).on_conflict_do_nothing())

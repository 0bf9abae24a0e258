"""A payment's timeline: each row that tells of it, as an entry in words."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.console.pages.payment_reads import (
    AttemptRow,
    HeardEvent,
    HistoryEntry,
    PaymentDetails,
    RequestedRefund,
)
from app.console.pages.story import Happening
from app.console.pages.wording import (
    ShownAmount,
    Tone,
    ViewerTime,
    dispute_state,
    ordinal,
    shown_amount,
    words_of,
)
from app.rules.attempt import UNRESOLVED, AttemptState
from app.rules.payment import ReversalKind
from app.rules.refund import RefundState
from app.storage.tables.stripe_events import EventState

# An event tells of what an attempt of ours has told already, if it comes this soon after.
_SAME_NEWS = timedelta(minutes=10)


def happenings(details: PaymentDetails, times: ViewerTime) -> list[Happening]:
    """Everything that happened, in no order."""
    tried = [one for row in details.attempts for one in _attempt(row, times)]
    ended_at = [row.finished_at for row in details.attempts if row.finished_at]
    heard = [
        _event(row, details, ended_at, times)
        for row in details.events
        if row.state != EventState.IGNORED
    ]
    asked = [_request(row) for row in details.requests]
    noted = [one for row in details.history for one in _history(row)]
    return [*tried, *heard, *asked, *noted, *_paid_out(details)]


def _attempt(row: AttemptRow, times: ViewerTime) -> Iterator[Happening]:
    by = f"Autopay, attempt {row.number} of invoice {row.invoice_id}"
    if row.confirm_sent_at is not None:
        yield Happening(
            row.confirm_sent_at,
            "bolt",
            f"Charge sent to Stripe, {ordinal(row.number)} try",
            Tone.GO,
            shown_amount(row.amount, row.currency),
            by=by,
            order=1,
        )
    elif row.state in UNRESOLVED:
        yield Happening(row.created_at, "bolt", "Charge prepared", Tone.GO, by=by, is_minor=True)
    if row.state == AttemptState.UNKNOWN:
        at = row.confirm_sent_at or row.created_at
        text = "It may have been charged; Stripe is asked until it answers. Nothing is sent again."
        yield Happening(at, "clock", "No answer from Stripe", Tone.WAIT, text=text, by=by, order=2)
    if row.finished_at is not None:
        yield from _ending(row, row.finished_at, by, times)


def _ending(row: AttemptRow, at: datetime, by: str, times: ViewerTime) -> Iterator[Happening]:
    why = words_of(row.decline_code or row.code or "")
    match row.state:
        case AttemptState.DECLINED if row.next_try_on is not None:
            text = f"This was not a failure: the next try is on {times.day(row.next_try_on)}."
            title = f"Not charged yet: {why.lower() or 'declined'}"
            yield Happening(at, "retry", title, Tone.WAIT, text=text, by=by, order=3)
        case AttemptState.DECLINED:
            title = f"Declined for good: {why.lower() or 'no more tries'}"
            yield Happening(at, "no", title, Tone.BAD, text=words_of(row.reason), by=by, order=3)
        case AttemptState.REFUSED:
            text = f"{words_of(row.reason)}. No bank was asked, and no try is counted."
            yield Happening(
                at, "warn", "Stripe refused the request", Tone.WAIT, text=text, by=by, order=3
            )
        case AttemptState.CANCELED:
            title = "Attempt ended before any money moved"
            yield Happening(at, "no", title, text=words_of(row.reason), by=by, order=3)


# The title of each type of event, its icon and its tone.
_EVENTS: dict[str, tuple[str, str, Tone]] = {
    "payment_intent.created": ("Payment opened at Stripe", "card", Tone.NONE),
    "payment_intent.processing": ("The bank debit is under way", "clock", Tone.GO),
    "payment_intent.requires_action": ("The bank asks the client to confirm", "warn", Tone.WAIT),
    "payment_intent.succeeded": ("Paid", "check", Tone.GOOD),
    "payment_intent.payment_failed": ("Not charged yet: the bank said no", "retry", Tone.WAIT),
    "payment_intent.canceled": ("Canceled at Stripe", "no", Tone.NONE),
    "charge.refunded": ("Stripe’s total of what went back", "back", Tone.NONE),
    "refund.created": ("Refund made", "back", Tone.NONE),
    "refund.updated": ("Refund changed", "back", Tone.NONE),
    "charge.refund.updated": ("Refund changed", "back", Tone.NONE),
    "refund.failed": ("Refund came back: the money is ours again", "warn", Tone.WAIT),
    "charge.dispute.created": ("The customer disputes the payment", "flag", Tone.BAD),
    "charge.dispute.updated": ("The dispute changed", "flag", Tone.NONE),
    "charge.dispute.closed": ("The dispute is closed", "flag", Tone.NONE),
    "charge.dispute.funds_withdrawn": ("The disputed money left the balance", "flag", Tone.WAIT),
    "charge.dispute.funds_reinstated": ("The disputed money came back", "flag", Tone.GOOD),
    "radar.early_fraud_warning.created": (
        "The card network warns of fraud",
        "warn",
        Tone.WAIT,
    ),
    "checkout.session.completed": ("Checkout page completed", "card", Tone.NONE),
    "checkout.session.expired": ("Checkout page expired", "card", Tone.NONE),
}


def _event(
    row: HeardEvent, details: PaymentDetails, ended_at: Sequence[datetime], times: ViewerTime
) -> Happening:
    title, icon, tone = _EVENTS.get(row.type, (f"Event {row.type}", "card", Tone.NONE))
    is_told = row.type == "payment_intent.payment_failed" and any(
        abs(row.created_at - at) <= _SAME_NEWS for at in ended_at
    )
    if is_told:
        title, icon, tone = "Stripe’s event says the same", "same", Tone.NONE
    amount, text = _event_details(row, details, times)
    if row.state in (EventState.PARKED, EventState.DEAD):
        icon, tone = "tray", Tone.BAD if row.state == EventState.DEAD else Tone.WAIT
        text = _parked(row, times)
    return Happening(
        row.created_at,
        icon,
        title,
        tone,
        amount,
        text,
        by=f"{_way(row)}, {row.type}, {row.event_id}",
        event_id=row.event_id,
        is_minor=is_told or row.type == "payment_intent.created",
        order=0 if row.type == "payment_intent.created" else 4,
    )


def _way(row: HeardEvent) -> str:
    if row.source != "webhook":
        return f"Found by {row.source}"
    late = (row.received_at - row.created_at).total_seconds()
    return "Webhook" if late < 2 else f"Webhook, {late:.0f} s after it happened"


def _parked(row: HeardEvent, times: ViewerTime) -> str:
    why = row.error or "it could not be applied"
    if row.state == EventState.DEAD:
        return f"Not applied after {row.tries} tries: {why}. A person must look."
    again = f" Tried again {times.full(row.next_try_at)}." if row.next_try_at else ""
    return f"Not applied yet: {why}.{again}"


def _event_details(
    row: HeardEvent, details: PaymentDetails, times: ViewerTime
) -> tuple[ShownAmount | None, str | None]:
    if row.type == "payment_intent.succeeded" and details.intent is not None:
        return shown_amount(details.intent.amount, details.currency), _allocated(details)
    for one in details.reversals:
        if one.id == row.object_id:
            amount = shown_amount(one.amount, details.currency)
            if one.kind == ReversalKind.DISPUTE:
                state = dispute_state(one.status, one.evidence_due_at, times)
                return amount, f"{words_of(one.reason)}. Now: {state.text.lower()}."
            return amount, f"{words_of(one.reason)}. " if one.reason else None
    return None, None


def _allocated(details: PaymentDetails) -> str:
    """The part that each invoice has of it."""
    parts = [
        f"{shown_amount(one.amount, details.currency).number} to "
        f"{one.invoicenumber or f'invoice {one.invoice_id}'}"
        for one in details.shares
        if one.invoice_id is not None
    ]
    rest = sum((one.amount for one in details.shares if one.invoice_id is None), Decimal(0))
    if rest:
        parts.append(f"{shown_amount(rest, details.currency).number} on no invoice")
    evidence = details.intent.evidence if details.intent else None
    known_by = f" Known by: {_EVIDENCE[evidence]}." if evidence in _EVIDENCE else ""
    return f"{', '.join(parts)}.{known_by}" if parts else known_by.strip()


_EVIDENCE = {
    "attempt": "our own charge attempt",
    "metadata": "the metadata names this Paydue",
    "key": "an idempotency key of ours",
    "person": "a person assigned it",
    "customer": "the client’s own Stripe customer",
    "amount": "exactly the amount that was due",
}


def _request(row: RequestedRefund) -> Happening:
    has_failed = row.state in (RefundState.FAILED, RefundState.REFUSED)
    title = "Refund asked for, and not made" if has_failed else "Refund asked for"
    said = f" {row.said}." if row.said else ""
    return Happening(
        row.created_at,
        "back",
        title,
        Tone.WAIT if has_failed or row.state == RefundState.UNKNOWN else Tone.NONE,
        shown_amount(row.amount, row.currency),
        f"“{row.reason}”{said}",
        by=row.who,
    )


def _history(row: HistoryEntry) -> Iterator[Happening]:
    if row.datetime is None:
        return
    match row.field_name:
        case "note":
            yield Happening(
                row.datetime, "note", "Note", text=f"“{row.new_value or ''}”", by=row.who
            )
        case "payment_retry":
            text = f"“{row.new_value or ''}”"
            yield Happening(row.datetime, "retry", "Tried again by hand", text=text, by=row.who)
        case "payments":
            before, after = (f"invoice {one}" if one else "no invoice" for one in row[3:5])
            text = f"From {before} to {after}."
            yield Happening(row.datetime, "doc", "Assigned by hand", text=text, by=row.who)


def _paid_out(details: PaymentDetails) -> Iterator[Happening]:
    for one in details.payouts:
        moved = [row for row in details.movements if row.payout_id == one.payout_id]
        net = shown_amount(sum((row.net for row in moved), Decimal(0)), moved[0].currency_iso)
        at = datetime.combine(one.arrival_date, datetime.min.time(), tzinfo=UTC)
        title = "Paid out to your bank" if one.status == "paid" else "On its way to your bank"
        yield Happening(at, "bank", title, Tone.GOOD, net, by=f"Payout {one.payout_id}")

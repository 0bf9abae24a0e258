"""A payment's timeline: each row that tells of it, as an entry in words."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.console.language import N_, _
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
    midsentence,
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
    by = _(
        "Autopay, attempt %(number)s of invoice %(invoice_id)s",
        number=row.number,
        invoice_id=row.invoice_id,
    )
    if row.confirm_sent_at is not None:
        yield Happening(
            row.confirm_sent_at,
            "bolt",
            _("Charge sent to Stripe, %(ordinal)s try", ordinal=ordinal(row.number)),
            Tone.GO,
            shown_amount(row.amount, row.currency),
            by=by,
            order=1,
        )
    elif row.state in UNRESOLVED:
        yield Happening(row.created_at, "bolt", _("Charge prepared"), Tone.GO, by=by, is_minor=True)
    if row.state == AttemptState.UNKNOWN:
        at = row.confirm_sent_at or row.created_at
        text = _(
            "It may have been charged; Stripe is asked until it answers. Nothing is sent again."
        )
        yield Happening(
            at, "clock", _("No answer from Stripe"), Tone.WAIT, text=text, by=by, order=2
        )
    if row.finished_at is not None:
        yield from _ending(row, row.finished_at, by, times)


def _ending(row: AttemptRow, at: datetime, by: str, times: ViewerTime) -> Iterator[Happening]:
    why = words_of(row.decline_code or row.code or "")
    match row.state:
        case AttemptState.DECLINED if row.next_try_on is not None:
            text = _(
                "This was not a failure: the next try is on %(day)s.",
                day=times.day(row.next_try_on),
            )
            title = _("Not charged yet: %(why)s", why=midsentence(why or _("Declined")))
            yield Happening(at, "retry", title, Tone.WAIT, text=text, by=by, order=3)
        case AttemptState.DECLINED:
            title = _("Declined for good: %(why)s", why=midsentence(why or _("No more tries")))
            yield Happening(at, "no", title, Tone.BAD, text=words_of(row.reason), by=by, order=3)
        case AttemptState.REFUSED:
            text = _(
                "%(reason)s. No bank was asked, and no try is counted.", reason=words_of(row.reason)
            )
            yield Happening(
                at, "warn", _("Stripe refused the request"), Tone.WAIT, text=text, by=by, order=3
            )
        case AttemptState.CANCELED:
            title = _("Attempt ended before any money moved")
            yield Happening(at, "no", title, text=words_of(row.reason), by=by, order=3)


# The title of each type of event, its icon and its tone.
_EVENTS: dict[str, tuple[str, str, Tone]] = {
    "payment_intent.created": (N_("Payment opened at Stripe"), "card", Tone.NONE),
    "payment_intent.processing": (N_("The bank debit is under way"), "clock", Tone.GO),
    "payment_intent.requires_action": (
        N_("The bank asks the client to confirm"),
        "warn",
        Tone.WAIT,
    ),
    "payment_intent.succeeded": (N_("Paid"), "check", Tone.GOOD),
    "payment_intent.payment_failed": (N_("Not charged yet: the bank said no"), "retry", Tone.WAIT),
    "payment_intent.canceled": (N_("Canceled at Stripe"), "no", Tone.NONE),
    "charge.refunded": (N_("Stripe’s total of what went back"), "back", Tone.NONE),
    "refund.created": (N_("Refund made"), "back", Tone.NONE),
    "refund.updated": (N_("Refund changed"), "back", Tone.NONE),
    "charge.refund.updated": (N_("Refund changed"), "back", Tone.NONE),
    "refund.failed": (N_("Refund came back: the money is ours again"), "warn", Tone.WAIT),
    "charge.dispute.created": (N_("The customer disputes the payment"), "flag", Tone.BAD),
    "charge.dispute.updated": (N_("The dispute changed"), "flag", Tone.NONE),
    "charge.dispute.closed": (N_("The dispute is closed"), "flag", Tone.NONE),
    "charge.dispute.funds_withdrawn": (
        N_("The disputed money left the balance"),
        "flag",
        Tone.WAIT,
    ),
    "charge.dispute.funds_reinstated": (N_("The disputed money came back"), "flag", Tone.GOOD),
    "radar.early_fraud_warning.created": (
        N_("The card network warns of fraud"),
        "warn",
        Tone.WAIT,
    ),
    "checkout.session.completed": (N_("Checkout page completed"), "card", Tone.NONE),
    "checkout.session.expired": (N_("Checkout page expired"), "card", Tone.NONE),
}


def _event(
    row: HeardEvent, details: PaymentDetails, ended_at: Sequence[datetime], times: ViewerTime
) -> Happening:
    title, icon, tone = _EVENTS.get(
        row.type, (_("Event %(type)s", type=row.type), "card", Tone.NONE)
    )
    is_told = row.type == "payment_intent.payment_failed" and any(
        abs(row.created_at - at) <= _SAME_NEWS for at in ended_at
    )
    if is_told:
        title, icon, tone = _("Stripe’s event says the same"), "same", Tone.NONE
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
        return _("Found by %(source)s", source=row.source)
    late = (row.received_at - row.created_at).total_seconds()
    return (
        _("Webhook")
        if late < 2
        else _("Webhook, %(late)s s after it happened", late=format(late, ".0f"))
    )


def _parked(row: HeardEvent, times: ViewerTime) -> str:
    why = row.error or _("it could not be applied")
    if row.state == EventState.DEAD:
        return _(
            "Not applied after %(tries)s tries: %(why)s. A person must look.",
            tries=row.tries,
            why=why,
        )
    again = _(" Tried again %(time)s.", time=times.full(row.next_try_at)) if row.next_try_at else ""
    return _("Not applied yet: %(why)s.%(again)s", why=why, again=again)


def _event_details(
    row: HeardEvent, details: PaymentDetails, times: ViewerTime
) -> tuple[ShownAmount | None, str | None]:
    if row.type == "payment_intent.succeeded" and details.intent is not None:
        return shown_amount(details.intent.amount, details.currency), _allocated(details)
    for one in details.reversals:
        if one.id == row.object_id:
            amount = shown_amount(one.amount, one.currency_iso or details.currency)
            if one.kind == ReversalKind.DISPUTE:
                state = dispute_state(one.status, one.evidence_due_at, times)
                return amount, _(
                    "%(reason)s. Now: %(state)s.",
                    reason=words_of(one.reason),
                    state=midsentence(str(state.text)).rstrip("."),
                )
            return amount, f"{words_of(one.reason)}. " if one.reason else None
    return None, None


def _allocated(details: PaymentDetails) -> str:
    """The part that each invoice has of it."""
    parts = [
        _(
            "%(amount)s to %(invoice)s",
            amount=shown_amount(one.amount, details.currency).number,
            invoice=one.invoicenumber or _("invoice %(invoice_id)s", invoice_id=one.invoice_id),
        )
        for one in details.shares
        if one.invoice_id is not None
    ]
    rest = sum((one.amount for one in details.shares if one.invoice_id is None), Decimal(0))
    if rest:
        parts.append(
            _("%(amount)s on no invoice", amount=shown_amount(rest, details.currency).number)
        )
    evidence = details.intent.evidence if details.intent else None
    known_by = (
        _(" Known by: %(evidence)s.", evidence=_EVIDENCE[evidence]) if evidence in _EVIDENCE else ""
    )
    return f"{', '.join(parts)}.{known_by}" if parts else known_by.strip()


_EVIDENCE = {
    "attempt": N_("our own charge attempt"),
    "metadata": N_("the metadata names this Paydue"),
    "key": N_("an idempotency key of ours"),
    "person": N_("a person assigned it"),
    "customer": N_("the client’s own Stripe customer"),
    "amount": N_("exactly the amount that was due"),
}


def _request(row: RequestedRefund) -> Happening:
    has_failed = row.state in (RefundState.FAILED, RefundState.REFUSED)
    title = _("Refund asked for, and not made") if has_failed else _("Refund asked for")
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
                row.datetime, "note", _("Note"), text=f"“{row.new_value or ''}”", by=row.who
            )
        case "payment_retry":
            text = f"“{row.new_value or ''}”"
            yield Happening(row.datetime, "retry", _("Tried again by hand"), text=text, by=row.who)
        case "payments":
            before, after = (
                _("invoice %(invoice_id)s", invoice_id=one) if one else _("no invoice")
                for one in row[3:5]
            )
            text = _("From %(before)s to %(after)s.", before=before, after=after)
            yield Happening(row.datetime, "doc", _("Assigned by hand"), text=text, by=row.who)


def _paid_out(details: PaymentDetails) -> Iterator[Happening]:
    for one in details.payouts:
        moved = [row for row in details.movements if row.payout_id == one.payout_id]
        net = shown_amount(sum((row.net for row in moved), Decimal(0)), moved[0].currency_iso)
        at = datetime.combine(one.arrival_date, datetime.min.time(), tzinfo=UTC)
        title = _("Paid out to your bank") if one.status == "paid" else _("On its way to your bank")
        yield Happening(
            at, "bank", title, Tone.GOOD, net, by=_("Payout %(payout_id)s", payout_id=one.payout_id)
        )

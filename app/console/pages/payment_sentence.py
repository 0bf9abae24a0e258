"""A payment in one sentence: what happened, and what happens next."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from app.console.language import _
from app.console.pages.payment_reads import AttemptRow, PaymentDetails
from app.console.pages.story import Phrase
from app.console.pages.wording import (
    LastTry,
    ShownState,
    ViewerTime,
    ordinal,
    payment_state,
    shown_amount,
    words_of,
)
from app.ledger.reversals import ReversalRow
from app.rules.attempt import AttemptState
from app.rules.payment import AWAITS_EVIDENCE, PaymentState, PaymentStatus, ReversalKind


def last_try(details: PaymentDetails) -> LastTry | None:
    if not details.attempts:
        return None
    one = details.attempts[0]
    return LastTry(one.state, one.next_try_on, one.decline_code, one.code, one.reason)


def status_of_intent(details: PaymentDetails) -> PaymentStatus:
    """The intent's state, with what became of the money."""
    intent = details.intent
    if intent is None:
        return PaymentStatus.CREATED
    if intent.state != PaymentState.SUCCEEDED:
        return PaymentStatus(intent.state)
    if intent.disputed:
        return PaymentStatus.DISPUTED
    if intent.amount_lost:
        return PaymentStatus.DISPUTE_LOST
    if intent.amount_refunded:
        is_whole = intent.amount_refunded >= intent.amount
        return PaymentStatus.REFUNDED if is_whole else PaymentStatus.PART_REFUNDED
    return PaymentStatus.SUCCEEDED


def state_of_details(details: PaymentDetails, times: ViewerTime) -> ShownState:
    """The state beside the amount; what was given back stands there as a state of its own."""
    reason = details.intent.reason if details.intent else None
    status = status_of_intent(details)
    shown = PaymentStatus.SUCCEEDED if status == PaymentStatus.PART_REFUNDED else status
    return payment_state(shown, last_try(details), times, reason)


# --- the sentence ------------------------------------------------------------------------------


def sentence(details: PaymentDetails, times: ViewerTime) -> list[Phrase]:
    """One sentence says what happened, and after `Next:` what happens now."""
    return [*_happened(details, times), *_next(details, times)]


def _happened(details: PaymentDetails, times: ViewerTime) -> Iterator[Phrase]:
    who = details.client_name or _("A customer whose client is not known")
    href = f"/clients/{details.client_id}" if details.client_id else None
    intent = details.intent
    if intent is None:
        yield Phrase(
            _("Stripe’s events name this payment, but none of them could be applied yet. ")
        )
        return
    when = times.day_of(intent.state_at)
    yield Phrase(who, href=href)
    match PaymentState(intent.state):
        case PaymentState.SUCCEEDED:
            yield Phrase(" ")
            yield from _paid(details)
            yield Phrase(
                _(
                    " on %(when)s%(at_which_try)s",
                    when=when,
                    at_which_try=_at_which_try(details.attempts),
                )
            )
            yield from _went_back(details)
        case PaymentState.PROCESSING:
            yield Phrase(_(" is paying by bank debit since %(when)s; ", when=when))
            yield Phrase(_("the bank has not answered yet"), is_strong=True)
        case PaymentState.REQUIRES_ACTION:
            yield Phrase(_(" has not paid yet: "))
            yield Phrase(_("the bank asks for a confirmation"), is_strong=True)
        case PaymentState.CANCELED:
            yield Phrase(_(" paid nothing: the payment was canceled on %(when)s", when=when))
        case PaymentState.FAILED:
            yield Phrase(_(" has not paid yet: "))
            yield Phrase(_why(details).lower() or _("the bank said no"), is_strong=True)
            yield Phrase(_(" on %(when)s", when=when))
        case PaymentState.CREATED:
            yield Phrase(_(" has not paid yet"))
    yield Phrase(". ")


def _paid(details: PaymentDetails) -> Iterator[Phrase]:
    named = [one for one in details.shares if one.invoice_id is not None]
    if not named:
        yield Phrase(_("paid, and the money is on no invoice"), is_strong=True)
        return
    yield Phrase(_("paid "), is_strong=True)
    for place, one in enumerate(named[:3]):
        number = one.invoicenumber or _("invoice %(invoice_id)s", invoice_id=one.invoice_id)
        yield Phrase((", " if place else "") + number, href=f"/invoices/{one.invoice_id}")
    if len(named) > len(named[:3]):
        yield Phrase(_(" and %(number)s more", number=len(named) - 3))
    if all(one.amountdue == 0 for one in named):
        yield Phrase(_(" in full"), is_strong=True)


def _at_which_try(attempts: Sequence[AttemptRow]) -> str:
    tries = [one for one in attempts if one.state in (AttemptState.DECLINED,)]
    return (
        _(", at the %(ordinal)s try", ordinal=ordinal(len(tries) + 1)) if tries and attempts else ""
    )


def _went_back(details: PaymentDetails) -> Iterator[Phrase]:
    intent = details.intent
    assert intent is not None, "money goes back of a payment that is known"
    if intent.amount_refunded:
        yield Phrase(f"; {shown_amount(intent.amount_refunded, intent.currency_iso).number}")
        yield Phrase(_(" was given back"))
    if intent.disputed:
        yield Phrase("; ")
        yield Phrase(_("the payment is disputed"), is_strong=True)
    if intent.amount_lost:
        lost = shown_amount(intent.amount_lost, intent.currency_iso)
        yield Phrase(_("; %(lost)s was lost in a dispute", lost=lost.number))


def _why(details: PaymentDetails) -> str:
    one = last_try(details)
    told = (one.decline_code or one.code or one.reason) if one else None
    return words_of(told or (details.intent.reason if details.intent else None))


# --- what happens next -------------------------------------------------------------------------


def _next(details: PaymentDetails, times: ViewerTime) -> Iterator[Phrase]:
    told = list(_next_step(details, times))
    if told:
        yield Phrase(_("Next: "), is_strong=True)
        yield from told


def _next_step(details: PaymentDetails, times: ViewerTime) -> Iterator[Phrase]:
    intent = details.intent
    newest = details.attempts[0] if details.attempts else None
    if newest is not None and newest.state in (AttemptState.UNKNOWN, AttemptState.OPEN):
        yield Phrase(_("Paydue asks Stripe until it answers; nothing is charged again meanwhile."))
    elif intent is None:
        yield Phrase(_("the events are tried again, or a person looks at them in the "))
        yield Phrase(_("inbox"), href="/inbox")
        yield Phrase(".")
    else:
        yield from _next_of_state(details, PaymentState(intent.state), times)


def _next_of_state(
    details: PaymentDetails, state: PaymentState, times: ViewerTime
) -> Iterator[Phrase]:
    match state:
        case PaymentState.SUCCEEDED:
            yield from _next_of_paid(details, times)
        case PaymentState.PROCESSING:
            yield Phrase(_("no other way to pay is opened until the debit ends."))
        case PaymentState.REQUIRES_ACTION:
            yield Phrase(_("the client confirms with the bank; Paydue does not try by itself."))
        case PaymentState.FAILED:
            yield from _next_of_declined(details, times)
        case PaymentState.CREATED:
            yield Phrase(_("the customer pays, or the payment is canceled; no money has moved."))
        case PaymentState.CANCELED:
            pass


def _next_of_paid(details: PaymentDetails, times: ViewerTime) -> Iterator[Phrase]:
    waiting = _evidence_due(details.reversals)
    if waiting is not None:
        yield Phrase(_("Stripe takes evidence until %(time)s.", time=times.full(waiting)))
        return
    unapplied = sum((one.counted for one in details.shares if one.invoice_id is None), Decimal(0))
    if unapplied:
        amount = shown_amount(unapplied, details.currency)
        yield Phrase(_("say what %(amount)s of it is for: ", amount=amount.text))
        yield Phrase(_("unapplied money"), href="/unapplied")
        yield Phrase(".")
        return
    yield from _payout(details, times)


def _evidence_due(reversals: Sequence[ReversalRow]) -> datetime | None:
    due = [
        one.evidence_due_at
        for one in reversals
        if one.kind == ReversalKind.DISPUTE and one.status in AWAITS_EVIDENCE
        if one.evidence_due_at is not None
    ]
    return min(due, default=None)


def _payout(details: PaymentDetails, times: ViewerTime) -> Iterator[Phrase]:
    if not details.payouts:
        yield Phrase(_("Stripe pays it out to your bank; the payout is not known yet."))
        return
    one = details.payouts[-1]
    moved = [row for row in details.movements if row.payout_id == one.payout_id]
    net = shown_amount(sum((row.net for row in moved), Decimal(0)), moved[0].currency_iso)
    has_arrived = one.status == "paid" and one.arrival_date <= times.today
    reach = _("reached") if has_arrived else _("reach")
    yield Phrase(
        _(
            "%(net)s after fees %(reach)s your bank on %(day)s with ",
            net=net.text,
            reach=reach,
            day=times.day(one.arrival_date),
        )
    )
    yield Phrase(
        _("payout %(payout_id)s", payout_id=one.payout_id), href=f"/payouts/{one.payout_id}"
    )
    yield Phrase(".")


def _next_of_declined(details: PaymentDetails, times: ViewerTime) -> Iterator[Phrase]:
    one = last_try(details)
    if one is None:
        yield Phrase(_("the customer may try again; Stripe tells us of it."))
    elif one.next_try_on is not None:
        day = one.next_try_on
        yield Phrase(
            _(
                "Paydue tries again on %(day)s, %(distance)s.",
                day=times.day(day),
                distance=times.distance(day),
            )
        )
    else:
        yield Phrase(_("Paydue does not try this again; the client must give another card."))

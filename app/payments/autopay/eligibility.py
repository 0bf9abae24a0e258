"""Eligibility: the reason to skip an invoice, or none. The only copy."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from app.errors import AmountNotAllowed
from app.ledger.approvals import ApprovalState, ChargeApproval
from app.payments.autopay import attempt_history
from app.payments.autopay.candidates import Candidate, LastAttempt, Ruling
from app.rules import calendar, money, retry
from app.rules.attempt import AttemptState
from app.rules.autopay_limit import LimitKind, over_limit
from app.rules.autopay_rule import RuleAction
from app.rules.retry import VerdictSubject
from app.settings import Settings
from app.storage.engines import Tx


@dataclass(frozen=True, slots=True)
class ChosenMethod:
    """The payment method to charge, and its version where Stripe was asked for it."""

    id: str
    version: str | None = None
    # The wish of the invoice's rule (method_choice.method_key), and whether it was granted.
    rule_key: str | None = None
    by_rule: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """A reason to skip an invoice, the day on which it may be charged, and what changes that.

    Both texts are parts of a sentence. `fault` is Stripe's code where it is our configuration or
    the invoice that is wrong.
    """

    reason: str
    next_try: date | None = None
    fault: str | None = None
    # The invoice could not be judged or charged: something of it is broken.
    is_failure: bool = False
    # A person may approve it: it waits in the queue until somebody has.
    needs_approval: bool = False
    change: str = field(kw_only=True)

    def __post_init__(self) -> None:
        assert self.reason.strip(), "who asks why gets an answer"
        assert self.change.strip(), "and hears what would change it"


def skip_reason(
    one: Candidate,
    day: date | None,
    now: datetime,
    settings: Settings,
    method: ChosenMethod | None = None,
) -> Skip | None:
    """The reason to skip an invoice on a business day, or None when it is charged.

    Without a day, each client's own business day counts. Without the payment method, an earlier
    verdict is no reason yet: another method may reopen it.
    """
    assert one.ruling or one.policy_revision is None, "rules are read with the invoice"
    today = day or calendar.business_day(now, one.timezone or settings.timezone)
    return (
        _not_chargeable(one, today, settings)
        or _money_elsewhere(one)
        or _not_allowed(one)
        or _not_approved(one, settings)
        or (_after_last_try(one, method, today) if method else None)
    )


def network_refusal(one: Candidate, method: ChosenMethod) -> Skip | None:
    """The reason why no further try of the card is allowed, whatever the amount; or None.

    A network forbids the card, not the amount: not even a person may have it tried again.
    """
    last = one.last
    if last is None or not last.network_forbids:
        return None
    if not retry.holds_for(last.about, _subject(one, method, amount_minor=last.about.amount_minor)):
        return None
    return Skip(
        "the card network forbids another try of this card",
        change="the customer gives another card",
    )


async def network_limits(
    tx: Tx, payment_method_ids: Iterable[str], now: datetime
) -> dict[str, Skip]:
    """Payment methods that the card networks' limits on retries forbid, over all their invoices."""
    counts = await attempt_history.count_declines(tx, payment_method_ids, now=now)
    reasons = {
        method: retry.network_limit(declines_today=today, declines_month=month)
        for method, (today, month) in counts.items()
        if month
    }
    return {
        method: Skip(reason, change="days without a try, or another payment method")
        for method, reason in reasons.items()
        if reason
    }


def reusable_intent(one: Candidate, amount_minor: int) -> str | None:
    """The intent of a declined or refused try that a new try may confirm again."""
    if not has_verdict(one):
        return None
    assert one.last is not None, "a verdict is the last attempt's"
    if one.last.is_consolidated or one.last.intent_has_ended:
        return None
    about = one.last.about
    same = (about.amount_minor, about.currency, about.customer_id) == (
        amount_minor,
        one.currency,
        one.customer_id,
    )
    return one.last.intent_id if same else None


def replaced_intent(one: Candidate) -> str | None:
    """The intent of a declined or refused try, which must not be payable beside another one."""
    return one.last.intent_id if one.last and has_verdict(one) else None


def is_charged_alone(one: Candidate) -> bool:
    """Whether an amount that Stripe refused was the sum of this invoice and others."""
    last = one.last
    return bool(last and last.is_consolidated and _is_amount_refused(last))


def _is_amount_refused(last: LastAttempt) -> bool:
    return last.state == AttemptState.REFUSED and retry.is_about_amount(last.code)


def has_verdict(one: Candidate) -> bool:
    """Whether the newest attempt ended with a no: then the method is looked at more closely."""
    return one.last is not None and one.last.state in _WITH_VERDICT


_WITH_VERDICT = (AttemptState.DECLINED, AttemptState.REFUSED)


def _not_chargeable(one: Candidate, today: date, settings: Settings) -> Skip | None:
    if one.voided:
        return Skip("the invoice is voided", change="nothing: a voided invoice stays so")
    unwanted = _not_wanted(one)
    if unwanted:
        return unwanted
    if one.amount <= 0:
        return Skip("nothing is left to pay", change="nothing needs to: it is paid")
    if one.duedate is None:
        return Skip("the invoice has no due date", change="a due date on the invoice")
    early = _before_its_day(one, today)
    if early:
        return early
    if settings.autopay_posted_only and not one.posted:
        return Skip("the invoice is not posted", change="somebody posts the invoice")
    if one.held_back:
        return Skip(
            f"the invoice may not go out: {one.held_back}",
            change=f"`paydue invoice mark {one.invoice_id} reviewed` or `approved`, `--who NAME`",
        )
    return _client_not_chargeable(one)


def is_taken(one: Candidate) -> bool:
    """Whether autopay is for the invoice: by its flag, or by a rule that needs none."""
    rule = one.ruling.decision.rule if one.ruling else None
    return one.is_flagged or (rule is not None and rule.unflagged)


def charge_on(one: Candidate) -> date | None:
    """The day of the charge: by its rule, or the due day."""
    return one.ruling.decision.charge_on if one.ruling else one.duedate


def _not_wanted(one: Candidate) -> Skip | None:
    if not is_taken(one):
        return Skip(
            "autopay is switched off for it",
            change="take_auto_payment or include_in_autopay on the invoice, or a rule",
        )
    if one.ruling is None:
        return None
    if one.ruling.decision.action == RuleAction.NEVER:
        return Skip(
            f"the rule {one.ruling.decision.rule_name!r} never charges it",
            change="another rule before that one, or an end of it",
        )
    pause = one.ruling.pause
    if pause is None:
        return None
    until = f"until {pause.until} " if pause.until else ""
    said = f"autopay of {pause.of} is paused {until}by {pause.paused_by}: {pause.reason}"
    return Skip(
        said, pause.until, change=f"`paydue pauses end {pause.id} --by NAME` lets autopay go on"
    )


def _before_its_day(one: Candidate, today: date) -> Skip | None:
    day = charge_on(one)
    rule = one.ruling.decision.rule_name if one.ruling else None
    if day is None:
        return Skip(
            f"the invoice has no date, from which the rule {rule!r} counts",
            change="an invoice date on the invoice",
        )
    if day <= today:
        return None
    if rule is None:
        return Skip(f"due on {day} where the client is", day, change=f"that day comes: {day}")
    return Skip(f"the rule {rule!r} charges it on {day}", day, change=f"that day comes: {day}")


def _not_approved(one: Candidate, settings: Settings) -> Skip | None:
    """The reason why a person is asked first, unless one has approved this very charge."""
    if one.ruling is None:
        return None
    approval = one.ruling.approval
    if approval is not None and approval.state == ApprovalState.REJECTED:
        why = f": {approval.decision_reason}" if approval.decision_reason else ""
        return Skip(
            f"{approval.decided_by} rejected its charge{why}",
            change=f"`paydue approvals approve {one.invoice_id} --by NAME`",
        )
    reason = None if is_approved(one) else _reason_to_ask(one, one.ruling, settings)
    return ask(one, f"{_lapsed(approval, one)}{reason}") if reason else None


def ask(one: Candidate, reason: str) -> Skip:
    """The invoice waits in the queue of approvals."""
    change = f"`paydue approvals approve {one.invoice_id} --by NAME`"
    return Skip(reason, needs_approval=True, change=change)


def is_approved(one: Candidate) -> bool:
    """Whether a person approved this very charge. No limit stands against it then."""
    ruling = one.ruling
    if ruling is None or ruling.approval is None:
        return False
    return ruling.approval.covers(one.amount, ruling.total, one.currency, one.client_id)


def _reason_to_ask(one: Candidate, ruling: Ruling, settings: Settings) -> str | None:
    if ruling.decision.action == RuleAction.ASK:
        return f"the rule {ruling.decision.rule_name!r} asks a person first"
    began = settings.autopay_from
    if began is not None and ruling.made_on is not None and ruling.made_on < began:
        return f"it is of {ruling.made_on}, and autopay began on {began}: a person decides"
    return over_limit(ruling.limits, LimitKind.INVOICE, one.amount, one.currency, one.client_id)


def _lapsed(approval: ChargeApproval | None, one: Candidate) -> str:
    if approval is None or approval.state != ApprovalState.APPROVED:
        return ""
    approved = f"{money.text(approval.amount, approval.currency)} {approval.currency}"
    return f"{approval.decided_by} approved {approved}, and the invoice is another since; "


def _client_not_chargeable(one: Candidate) -> Skip | None:
    if one.client_id is None:
        return Skip("the invoice has no client", change="a client on the invoice")
    if one.client_inactive:
        return Skip("the client is inactive", change="the client is made active again")
    if one.customer_id is None:
        return Skip(
            "the client has no stripe_customer_id", change="a stripe_customer_id on the client"
        )
    return None


def _money_elsewhere(one: Candidate) -> Skip | None:
    last = one.last
    if one.pending or (last and last.state == AttemptState.PROCESSING):
        return Skip("a payment is processing", change="the bank's answer, in days")
    if one.reversed:
        return Skip(
            "a payment was refunded or is disputed: a person decides",
            change="the end of the dispute, or a payment or credit by hand",
        )
    if last and last.state == AttemptState.UNKNOWN:
        return Skip(
            f"attempt {last.number} waits for Stripe's answer: {last.reason}",
            change="Stripe's answer, for which the worker asks",
        )
    if last and last.state == AttemptState.OPEN:
        return Skip(f"attempt {last.number} is under way", change="the end of that attempt")
    return None


def _not_allowed(one: Candidate) -> Skip | None:
    try:
        money.to_minor(one.amount, one.currency)
    except AmountNotAllowed as error:
        return Skip(error.message, change="an amount that Stripe takes in this currency")
    return None


def _after_last_try(one: Candidate, method: ChosenMethod, today: date) -> Skip | None:
    """The last attempt's verdict, unless something that it was about has changed since."""
    last = one.last
    if last is None or not has_verdict(one):
        return None
    if last.state == AttemptState.REFUSED:
        return _after_refusal(one, last)
    if not retry.holds_for(last.about, _subject(one, method)):
        return network_refusal(one, method)
    if last.next_try_on is None:
        return Skip(
            f"attempt {last.number} was declined for good: {last.reason}",
            change="another payment method of the client's, or `paydue payment retry`",
        )
    if last.next_try_on > today:
        return Skip(
            f"attempt {last.number} was declined: {last.reason}",
            last.next_try_on,
            change=f"the next try, on {last.next_try_on}, or another payment method",
        )
    return None


def _after_refusal(one: Candidate, last: LastAttempt) -> Skip | None:
    """A refused amount is held while it is the same; whatever else was wrong is asked again."""
    asked = (last.about.amount_minor, last.about.currency)
    is_same = asked == (money.to_minor(one.amount, one.currency), one.currency)
    if is_same and _is_amount_refused(last) and not last.is_consolidated:
        return Skip(
            f"attempt {last.number} was refused: {last.reason}",
            fault=last.code,
            change="another amount or currency on the invoice",
        )
    return None


def _subject(
    one: Candidate, method: ChosenMethod, *, amount_minor: int | None = None
) -> VerdictSubject:
    return VerdictSubject(
        amount_minor=amount_minor or money.to_minor(one.amount, one.currency),
        currency=one.currency,
        customer_id=one.customer_id,
        payment_method_id=method.id,
        payment_method_version=method.version,
    )

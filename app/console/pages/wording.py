"""Amounts, times and states in words, as every page of the console shows them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from app.console.language import (
    N_,
    _,
    current_language,
    day_text,
    day_text_with_year,
    long_day_text,
    long_day_text_with_year,
    month_day_text,
    month_day_text_with_year,
    ngettext,
    number_text,
    plural_,
    separators,
)
from app.rules import calendar, money
from app.rules.attempt import AttemptState
from app.rules.invoice import InvoicePaymentStatus
from app.rules.payment import PaymentStatus, is_inquiry
from app.rules.refund import RefundState
from app.storage.tables.stripe_events import EventState


class Tone(StrEnum):
    """The colour of a state; its icon and its word say the same."""

    GOOD = "good"
    WAIT = "wait"
    BAD = "bad"
    GO = "go"
    NONE = "none"


class ShownState(NamedTuple):
    """A state as an icon and a word, with the reason below it where there is one."""

    tone: Tone
    icon: str
    text: str
    why: str | None = None


class ShownAmount(NamedTuple):
    """An amount taken apart at its decimal point, so that columns stand under each other."""

    whole: str
    fraction: str
    currency: str

    @property
    def number(self) -> str:
        return f"{self.whole}{self.fraction}"

    @property
    def text(self) -> str:
        return f"{self.number} {self.currency}"


def shown_amount(amount: Decimal, currency: str) -> ShownAmount:
    """`1,204` and `.50` and `EUR`; no digit is ever cut off."""
    whole, point, fraction = money.text(abs(amount), currency).partition(".")
    sign = "−" if amount < 0 else ""  # as wide as a digit
    mark = separators(current_language())[1] if point else ""
    return ShownAmount(f"{sign}{number_text(int(whole))}", mark + fraction, currency.upper())


_ORDINALS = (N_("first"), N_("second"), N_("third"), N_("fourth"), N_("fifth"), N_("sixth"))
_ENDINGS = {1: N_("%(num)sst"), 2: N_("%(num)snd"), 3: N_("%(num)srd")}


def ordinal(number: int) -> str:
    """`first` to `sixth`, then `7th` and `21st`."""
    if number <= len(_ORDINALS):
        return str(_ORDINALS[number - 1])
    is_teen = number % 100 in (11, 12, 13)
    ending = N_("%(num)sth")
    return _(ending if is_teen else _ENDINGS.get(number % 10, ending), num=number)


def midsentence(text: str) -> str:
    """The text within a sentence: English begins it small, German keeps its capitals."""
    return text.lower() if current_language() == "en" else text


# --- times -------------------------------------------------------------------------------------


class ShownMoment(NamedTuple):
    """An instant in the viewer's zone and, where that is another time, in UTC."""

    iso: str
    day: date
    time: str
    utc: str


class ViewerTime(NamedTuple):
    """Days and times as this viewer reads them at this moment."""

    now: datetime
    timezone: str

    @property
    def today(self) -> date:
        return calendar.business_day(self.now, self.timezone)

    @property
    def zone_name(self) -> str:
        """`CET`, or the offset of a zone that has no letters."""
        return self.local(self.now).tzname() or "UTC"

    @property
    def is_utc(self) -> bool:
        """The viewer's own time is UTC, so that nothing need be said twice."""
        return self.zone_name == "UTC"

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(calendar.zone(self.timezone))

    def moment(self, moment: datetime) -> ShownMoment:
        local, utc = self.local(moment), moment.astimezone(UTC)
        iso = utc.isoformat(timespec="seconds").replace("+00:00", "Z")
        in_utc = "" if self.is_utc else f"{utc:%H:%M:%S}"
        return ShownMoment(iso, local.date(), f"{local:%H:%M:%S}", in_utc)

    def day(self, day: date) -> str:
        """`Sat 28 Nov`, with the year of another year."""
        return day_text(day) if day.year == self.today.year else day_text_with_year(day)

    def named_day(self, day: date) -> str:
        """`Thursday 26 November`"""
        is_this_year = day.year == self.today.year
        return long_day_text(day) if is_this_year else long_day_text_with_year(day)

    def long_day(self, day: date) -> str:
        """`Today, Thursday 26 November`"""
        near = {self.today: _("Today, "), self.today - timedelta(days=1): _("Yesterday, ")}
        return f"{near.get(day, '')}{self.named_day(day)}"

    def day_of(self, moment: datetime) -> str:
        return self.day(self.local(moment).date())

    def short(self, moment: datetime) -> str:
        """`06:02` for today, else `25 Nov`, with the year of another year."""
        local = self.local(moment)
        if local.date() == self.today:
            return f"{local:%H:%M}"
        is_this_year = local.year == self.today.year
        return month_day_text(local) if is_this_year else month_day_text_with_year(local)

    def full(self, moment: datetime) -> str:
        """`26 Nov 2026, 06:02:03 CET`"""
        local = self.local(moment)
        return f"{month_day_text_with_year(local)}, {local:%H:%M:%S} {local.tzname()}"

    def distance(self, day: date) -> str:
        """`today`, `tomorrow`, `in 2 days`, `3 days ago`"""
        days = (day - self.today).days
        near = {0: N_("today"), 1: N_("tomorrow"), -1: N_("yesterday")}
        if days in near:
            return str(near[days])
        if days > 0:
            return ngettext("in %(num)s day", "in %(num)s days", days)
        return ngettext("%(num)s day ago", "%(num)s days ago", -days)

    def ago(self, moment: datetime) -> str:
        """`12 s`, `22 min`, `3 h`, `4 days`: how long it is since then."""
        return duration((self.now - moment).total_seconds())


def duration(seconds: float) -> str:
    """One unit, rounded down, as an age is said."""
    whole = max(int(seconds), 0)
    for size, unit in _UNITS:
        if whole >= size:
            return unit.of(whole // size)
    return SECONDS.of(whole)


SECONDS = plural_("%(num)s s", "%(num)s s")
MINUTES = plural_("%(num)s min", "%(num)s min")
_UNITS = (
    (86400, plural_("%(num)s day", "%(num)s days")),
    (3600, plural_("%(num)s h", "%(num)s h")),
    (60, MINUTES),
)


# --- codes -------------------------------------------------------------------------------------


def words_of(code: str | None) -> str:
    """`insufficient_funds` as `Insufficient funds`; a text of more than a code as it is."""
    if not code:
        return ""
    text = code if " " in code else code.replace("_", " ")
    return _(text[:1].upper() + text[1:])


# Codes of Stripe and words of ours that have a translation; others are shown as they come.
KNOWN_CODES = (
    N_("Insufficient funds"),
    N_("Generic decline"),
    N_("Card declined"),
    N_("Do not honor"),
    N_("Expired card"),
    N_("Incorrect cvc"),
    N_("Lost card"),
    N_("Stolen card"),
    N_("Processing error"),
    N_("Try again later"),
    N_("Authentication required"),
    N_("Fraudulent"),
    N_("Duplicate"),
    N_("Requested by customer"),
    N_("Product not received"),
    N_("Product unacceptable"),
    N_("Unrecognized"),
    N_("Subscription canceled"),
    N_("Credit not processed"),
    N_("General"),
    N_("Charge"),
    N_("Refund"),
    N_("Payment"),
    N_("Adjustment"),
    N_("Payout"),
    N_("Stripe fee"),
    N_("Warning closed"),
)


_BRANDS = {
    "amex": "Amex",
    "jcb": "JCB",
    "sepa_debit": N_("SEPA debit"),
    "us_bank_account": N_("US bank account"),
    "bacs_debit": N_("Bacs debit"),
    "au_becs_debit": N_("BECS debit"),
    "acss_debit": "ACSS debit",
    "eftpos_au": "eftpos",
    "unionpay": "UnionPay",
}


def method_name(stored: str | None) -> str:
    """`visa 4242` as `Visa 4242`"""
    if not stored:
        return ""
    kind, _, rest = stored.partition(" ")
    return f"{_BRANDS.get(kind) or words_of(kind)} {rest}".strip()


# --- states ------------------------------------------------------------------------------------


class LastTry(NamedTuple):
    """The newest attempt of ours on an intent: whether and when it is tried again."""

    state: str
    next_try_on: date | None
    decline_code: str | None
    code: str | None
    reason: str | None


_PAYMENT_STATES = {
    PaymentStatus.REQUIRES_ACTION: ShownState(
        Tone.WAIT, "warn", N_("Needs the client"), N_("The bank asks to confirm")
    ),
    PaymentStatus.PROCESSING: ShownState(
        Tone.GO, "clock", N_("Processing"), N_("The bank has not answered yet")
    ),
    PaymentStatus.CANCELED: ShownState(Tone.NONE, "no", N_("Canceled")),
    PaymentStatus.SUCCEEDED: ShownState(Tone.GOOD, "check", N_("Succeeded")),
    PaymentStatus.PART_REFUNDED: ShownState(Tone.NONE, "back", N_("Refunded in part")),
    PaymentStatus.REFUNDED: ShownState(Tone.NONE, "back", N_("Refunded")),
    PaymentStatus.DISPUTED: ShownState(Tone.BAD, "flag", N_("Disputed")),
    PaymentStatus.DISPUTE_LOST: ShownState(Tone.BAD, "flag", N_("Dispute lost")),
}


def payment_state(
    status: int, last: LastTry | None, times: ViewerTime, reason: str | None = None
) -> ShownState:
    """A payment's state. One that is not final is never shown as failed."""
    match PaymentStatus(status):
        case PaymentStatus.FAILED:
            return _declined(last, times, reason)
        case PaymentStatus.CREATED:
            return _created(last)
        case PaymentStatus() as ended:
            return _PAYMENT_STATES[ended]


def _declined(last: LastTry | None, times: ViewerTime, reason: str | None) -> ShownState:
    if last is None:
        # The customer may pay with the same intent again: Stripe ends it only by cancelling it.
        return ShownState(Tone.WAIT, "warn", _("Not paid yet"), words_of(reason) or None)
    why = words_of(last.decline_code or last.code or last.reason) or None
    if last.state in (AttemptState.OPEN, AttemptState.UNKNOWN, AttemptState.PROCESSING):
        return ShownState(Tone.GO, "clock", _("Under way"), why)
    if last.next_try_on is not None:
        return ShownState(
            Tone.WAIT, "retry", _("Tries again %(day)s", day=times.day(last.next_try_on)), why
        )
    return ShownState(Tone.BAD, "no", _("Declined for good"), why)


def _created(last: LastTry | None) -> ShownState:
    match last.state if last else None:
        case AttemptState.UNKNOWN:
            return ShownState(
                Tone.WAIT, "clock", _("Waits for Stripe"), _("Stripe has not answered")
            )
        case AttemptState.OPEN:
            return ShownState(Tone.GO, "clock", _("Under way"))
        case _:
            return ShownState(Tone.NONE, "clock", _("Not paid yet"))


_ATTEMPT_STATES = {
    AttemptState.SUCCEEDED: ShownState(Tone.GOOD, "check", N_("Succeeded")),
    AttemptState.PROCESSING: ShownState(Tone.GO, "clock", N_("Processing")),
    AttemptState.OPEN: ShownState(Tone.GO, "clock", N_("Under way")),
    AttemptState.UNKNOWN: ShownState(Tone.WAIT, "clock", N_("Waits for Stripe")),
    AttemptState.REFUSED: ShownState(Tone.WAIT, "warn", N_("Refused by Stripe")),
    AttemptState.CANCELED: ShownState(Tone.NONE, "no", N_("Ended")),
    AttemptState.DECLINED: ShownState(Tone.BAD, "no", N_("Declined for good")),
}


def attempt_state(one: LastTry, times: ViewerTime) -> ShownState:
    """The state of one try of ours, with the reason where there is one."""
    why = words_of(one.decline_code or one.code or one.reason) or None
    if one.state == AttemptState.DECLINED and one.next_try_on is not None:
        return ShownState(
            Tone.WAIT, "retry", _("Next try %(day)s", day=times.day(one.next_try_on)), why
        )
    return _ATTEMPT_STATES[AttemptState(one.state)]._replace(why=why)


class InvoiceFacts(NamedTuple):
    """The part of an invoice that its state follows from."""

    voided: bool
    paymentstatus: int
    amountdue: Decimal
    payments_pending: int
    payments_reversed: int
    is_flagged: bool
    duedate: date | None


def invoice_state(one: InvoiceFacts, times: ViewerTime) -> ShownState:
    """An invoice's state: paid, being paid, due, or overdue."""
    if one.voided:
        return ShownState(Tone.NONE, "no", _("Voided"))
    if one.payments_pending:
        return ShownState(Tone.GO, "clock", _("Processing"), _("A payment is under way"))
    if one.payments_reversed:
        return ShownState(Tone.WAIT, "warn", _("Needs a person"), _("Refunded or disputed"))
    if one.paymentstatus == InvoicePaymentStatus.PAID:
        return ShownState(Tone.GOOD, "check", _("Paid"))
    if one.amountdue <= 0:
        return ShownState(Tone.NONE, "check", _("Nothing due"))
    return _open_invoice(one, times)


def _open_invoice(one: InvoiceFacts, times: ViewerTime) -> ShownState:
    part = _("Paid in part") if one.paymentstatus == InvoicePaymentStatus.PART_PAID else None
    if one.duedate is None:
        return ShownState(Tone.NONE, "clock", _("Open"), part or _("No due date"))
    if one.duedate < times.today:
        return ShownState(
            Tone.WAIT, "warn", _("Overdue since %(day)s", day=times.day(one.duedate)), part
        )
    when = _("today") if one.duedate == times.today else times.day(one.duedate)
    if one.is_flagged:
        return ShownState(Tone.GO, "cal", _("Due %(when)s", when=when), part or _("Autopay"))
    return ShownState(Tone.NONE, "clock", _("Due %(when)s", when=when), part)


def event_state(state: str, error: str | None = None) -> ShownState:
    match EventState(state):
        case EventState.APPLIED:
            return ShownState(Tone.GOOD, "check", _("Applied"))
        case EventState.IGNORED:
            return ShownState(Tone.NONE, "check", _("Of no consequence"))
        case EventState.PARKED:
            return ShownState(Tone.WAIT, "tray", _("Parked"), error)
        case EventState.DEAD:
            return ShownState(Tone.BAD, "tray", _("Needs a person"), error)


def refund_state(status: str) -> ShownState:
    """A refund at Stripe, or our request for one."""
    match status:
        case RefundState.SUCCEEDED:
            return ShownState(Tone.GOOD, "check", _("Sent"))
        case RefundState.FAILED | RefundState.REFUSED:
            return ShownState(Tone.BAD, "no", _("Not given back"))
        case "canceled":
            return ShownState(Tone.NONE, "no", _("Canceled"))
        case RefundState.UNKNOWN:
            return ShownState(Tone.WAIT, "clock", _("Waits for Stripe"))
        case _:
            return ShownState(Tone.GO, "clock", _("Under way"))


def dispute_state(status: str, due_at: datetime | None, times: ViewerTime) -> ShownState:
    """A dispute or an inquiry, with its deadline while Stripe waits for evidence."""
    noun = _("Inquiry") if is_inquiry(status) else _("Dispute")
    match status:
        case "needs_response" | "warning_needs_response" | "appeal_needs_response":
            if due_at is None:
                return ShownState(Tone.WAIT, "flag", _("Needs evidence"))
            day = times.local(due_at).date()
            return ShownState(
                Tone.WAIT,
                "flag",
                _("Evidence due %(day)s", day=times.day(day)),
                times.distance(day),
            )
        case "under_review" | "warning_under_review" | "appeal_under_review":
            return ShownState(Tone.GO, "clock", _("Evidence sent"), _("The bank decides"))
        case "won" | "prevented":
            return ShownState(Tone.GOOD, "check", f"{noun} {_WON[status]}")
        case "lost":
            return ShownState(Tone.BAD, "no", _("Dispute lost"))
        case _:
            return ShownState(Tone.NONE, "check", words_of(status))


_WON = {"won": N_("won"), "prevented": N_("prevented")}


def payout_state(status: str) -> ShownState:
    match status:
        case "paid":
            return ShownState(Tone.GOOD, "check", _("Paid"))
        case "failed":
            return ShownState(Tone.BAD, "no", _("Failed"))
        case "canceled":
            return ShownState(Tone.NONE, "no", _("Canceled"))
        case _:
            return ShownState(Tone.GO, "clock", _("On its way"))

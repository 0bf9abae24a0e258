"""Amounts, times and states in words, as every page of the console shows them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

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
    return ShownAmount(f"{sign}{int(whole):,}", point + fraction, currency.upper())


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 payment`, `1,204 payments`"""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def ordinal(number: int) -> str:
    """`first` to `sixth`, then `7th` and `21st`."""
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    is_teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if is_teen else _ENDINGS.get(number % 10, 'th')}"


# --- times -------------------------------------------------------------------------------------


class ShownMoment(NamedTuple):
    """An instant in the viewer's zone and in UTC."""

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

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(calendar.zone(self.timezone))

    def moment(self, moment: datetime) -> ShownMoment:
        local, utc = self.local(moment), moment.astimezone(UTC)
        iso = utc.isoformat(timespec="seconds").replace("+00:00", "Z")
        return ShownMoment(iso, local.date(), f"{local:%H:%M:%S}", f"{utc:%H:%M:%S}")

    def day(self, day: date) -> str:
        """`Sat 28 Nov`, with the year of another year."""
        year = "" if day.year == self.today.year else f" {day.year}"
        return f"{day:%a} {day.day} {day:%b}{year}"

    def long_day(self, day: date) -> str:
        """`Today, Thursday 26 November`"""
        near = {self.today: "Today, ", self.today - timedelta(days=1): "Yesterday, "}
        year = "" if day.year == self.today.year else f" {day.year}"
        return f"{near.get(day, '')}{day:%A} {day.day} {day:%B}{year}"

    def day_of(self, moment: datetime) -> str:
        return self.day(self.local(moment).date())

    def short(self, moment: datetime) -> str:
        """`06:02` for today, else `25 Nov`, with the year of another year."""
        local = self.local(moment)
        if local.date() == self.today:
            return f"{local:%H:%M}"
        year = "" if local.year == self.today.year else f" {local.year}"
        return f"{local.day} {local:%b}{year}"

    def full(self, moment: datetime) -> str:
        """`26 Nov 2026, 06:02:03 CET`"""
        local = self.local(moment)
        return f"{local.day} {local:%b} {local.year}, {local:%H:%M:%S} {local.tzname()}"

    def distance(self, day: date) -> str:
        """`today`, `tomorrow`, `in 2 days`, `3 days ago`"""
        days = (day - self.today).days
        near = {0: "today", 1: "tomorrow", -1: "yesterday"}
        if days in near:
            return near[days]
        return f"in {days} days" if days > 0 else f"{-days} days ago"

    def ago(self, moment: datetime) -> str:
        """`12 s`, `22 min`, `3 h`, `4 days`: how long it is since then."""
        return duration((self.now - moment).total_seconds())


def duration(seconds: float) -> str:
    """One unit, rounded down, as an age is said."""
    whole = max(int(seconds), 0)
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if whole >= size:
            number = whole // size
            plural = "s" if unit == "day" and number != 1 else ""
            return f"{number} {unit}{plural}"
    return f"{whole} s"


# --- codes -------------------------------------------------------------------------------------


def words_of(code: str | None) -> str:
    """`insufficient_funds` as `Insufficient funds`; a text of more than a code as it is."""
    if not code:
        return ""
    text = code if " " in code else code.replace("_", " ")
    return text[:1].upper() + text[1:]


_BRANDS = {
    "amex": "Amex",
    "jcb": "JCB",
    "sepa_debit": "SEPA debit",
    "us_bank_account": "US bank account",
    "bacs_debit": "Bacs debit",
    "au_becs_debit": "BECS debit",
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
        Tone.WAIT, "warn", "Needs the client", "The bank asks to confirm"
    ),
    PaymentStatus.PROCESSING: ShownState(
        Tone.GO, "clock", "Processing", "The bank has not answered yet"
    ),
    PaymentStatus.CANCELED: ShownState(Tone.NONE, "no", "Canceled"),
    PaymentStatus.SUCCEEDED: ShownState(Tone.GOOD, "check", "Succeeded"),
    PaymentStatus.PART_REFUNDED: ShownState(Tone.NONE, "back", "Refunded in part"),
    PaymentStatus.REFUNDED: ShownState(Tone.NONE, "back", "Refunded"),
    PaymentStatus.DISPUTED: ShownState(Tone.BAD, "flag", "Disputed"),
    PaymentStatus.DISPUTE_LOST: ShownState(Tone.BAD, "flag", "Dispute lost"),
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
        return ShownState(Tone.WAIT, "warn", "Not paid yet", words_of(reason) or None)
    why = words_of(last.decline_code or last.code or last.reason) or None
    if last.state in (AttemptState.OPEN, AttemptState.UNKNOWN, AttemptState.PROCESSING):
        return ShownState(Tone.GO, "clock", "Under way", why)
    if last.next_try_on is not None:
        return ShownState(Tone.WAIT, "retry", f"Tries again {times.day(last.next_try_on)}", why)
    return ShownState(Tone.BAD, "no", "Declined for good", why)


def _created(last: LastTry | None) -> ShownState:
    match last.state if last else None:
        case AttemptState.UNKNOWN:
            return ShownState(Tone.WAIT, "clock", "Waits for Stripe", "Stripe has not answered")
        case AttemptState.OPEN:
            return ShownState(Tone.GO, "clock", "Under way")
        case _:
            return ShownState(Tone.NONE, "clock", "Not paid yet")


_ATTEMPT_STATES = {
    AttemptState.SUCCEEDED: ShownState(Tone.GOOD, "check", "Succeeded"),
    AttemptState.PROCESSING: ShownState(Tone.GO, "clock", "Processing"),
    AttemptState.OPEN: ShownState(Tone.GO, "clock", "Under way"),
    AttemptState.UNKNOWN: ShownState(Tone.WAIT, "clock", "Waits for Stripe"),
    AttemptState.REFUSED: ShownState(Tone.WAIT, "warn", "Refused by Stripe"),
    AttemptState.CANCELED: ShownState(Tone.NONE, "no", "Ended"),
    AttemptState.DECLINED: ShownState(Tone.BAD, "no", "Declined for good"),
}


def attempt_state(one: LastTry, times: ViewerTime) -> ShownState:
    """The state of one try of ours, with the reason where there is one."""
    why = words_of(one.decline_code or one.code or one.reason) or None
    if one.state == AttemptState.DECLINED and one.next_try_on is not None:
        return ShownState(Tone.WAIT, "retry", f"Next try {times.day(one.next_try_on)}", why)
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
        return ShownState(Tone.NONE, "no", "Voided")
    if one.payments_pending:
        return ShownState(Tone.GO, "clock", "Processing", "A payment is under way")
    if one.payments_reversed:
        return ShownState(Tone.WAIT, "warn", "Needs a person", "Refunded or disputed")
    if one.paymentstatus == InvoicePaymentStatus.PAID:
        return ShownState(Tone.GOOD, "check", "Paid")
    if one.amountdue <= 0:
        return ShownState(Tone.NONE, "check", "Nothing due")
    return _open_invoice(one, times)


def _open_invoice(one: InvoiceFacts, times: ViewerTime) -> ShownState:
    part = "Paid in part" if one.paymentstatus == InvoicePaymentStatus.PART_PAID else None
    if one.duedate is None:
        return ShownState(Tone.NONE, "clock", "Open", part or "No due date")
    if one.duedate < times.today:
        return ShownState(Tone.WAIT, "warn", f"Overdue since {times.day(one.duedate)}", part)
    when = "today" if one.duedate == times.today else times.day(one.duedate)
    if one.is_flagged:
        return ShownState(Tone.GO, "cal", f"Due {when}", part or "Autopay")
    return ShownState(Tone.NONE, "clock", f"Due {when}", part)


def event_state(state: str, error: str | None = None) -> ShownState:
    match EventState(state):
        case EventState.APPLIED:
            return ShownState(Tone.GOOD, "check", "Applied")
        case EventState.IGNORED:
            return ShownState(Tone.NONE, "check", "Of no consequence")
        case EventState.PARKED:
            return ShownState(Tone.WAIT, "tray", "Parked", error)
        case EventState.DEAD:
            return ShownState(Tone.BAD, "tray", "Needs a person", error)


def refund_state(status: str) -> ShownState:
    """A refund at Stripe, or our request for one."""
    match status:
        case RefundState.SUCCEEDED:
            return ShownState(Tone.GOOD, "check", "Sent")
        case RefundState.FAILED | RefundState.REFUSED:
            return ShownState(Tone.BAD, "no", "Not given back")
        case "canceled":
            return ShownState(Tone.NONE, "no", "Canceled")
        case RefundState.UNKNOWN:
            return ShownState(Tone.WAIT, "clock", "Waits for Stripe")
        case _:
            return ShownState(Tone.GO, "clock", "Under way")


def dispute_state(status: str, due_at: datetime | None, times: ViewerTime) -> ShownState:
    """A dispute or an inquiry, with its deadline while Stripe waits for evidence."""
    noun = "Inquiry" if is_inquiry(status) else "Dispute"
    match status:
        case "needs_response" | "warning_needs_response" | "appeal_needs_response":
            if due_at is None:
                return ShownState(Tone.WAIT, "flag", "Needs evidence")
            day = times.local(due_at).date()
            return ShownState(
                Tone.WAIT, "flag", f"Evidence due {times.day(day)}", times.distance(day)
            )
        case "under_review" | "warning_under_review" | "appeal_under_review":
            return ShownState(Tone.GO, "clock", "Evidence sent", "The bank decides")
        case "won" | "prevented":
            return ShownState(Tone.GOOD, "check", f"{noun} {status}")
        case "lost":
            return ShownState(Tone.BAD, "no", "Dispute lost")
        case _:
            return ShownState(Tone.NONE, "check", words_of(status))


def payout_state(status: str) -> ShownState:
    match status:
        case "paid":
            return ShownState(Tone.GOOD, "check", "Paid")
        case "failed":
            return ShownState(Tone.BAD, "no", "Failed")
        case "canceled":
            return ShownState(Tone.NONE, "no", "Canceled")
        case _:
            return ShownState(Tone.GO, "clock", "On its way")

"""Will an invoice be charged, when, and why? Answered by the function that autopay itself asks."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from app.console.language import _, long_day_text
from app.console.pages.wording import Tone, ViewerTime
from app.payments.autopay import eligibility, holds
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import ChosenMethod, Skip
from app.payments.autopay.ruling import find_ruled
from app.rules import calendar
from app.settings import Settings
from app.storage.engines import Tx


class OutlookCheck(NamedTuple):
    """One thing that autopay looks at, and how it stands."""

    tone: Tone
    icon: str
    text: str
    fact: str


class Outlook(NamedTuple):
    """When the invoice is charged, or why it is not. `will_be` is false where nothing will be."""

    will_be: bool
    when: str
    distance: str
    reason: str
    checks: list[OutlookCheck]


async def load_outlook(
    tx: Tx, invoice_id: int, settings: Settings, times: ViewerTime
) -> Outlook | None:
    """The outlook as far as this database knows; whether the card still works, Stripe knows."""
    one = await find_ruled(tx, invoice_id, settings, now=times.now)
    if one is None:
        return None
    method_id = one.payment_method_id or one.saved_method_id
    # Without a method of its own the client's default at Stripe is charged; its id is not known.
    method = ChosenMethod(method_id or "")
    skip = eligibility.skip_reason(one, None, times.now, settings, method)
    skip = skip or (await holds.find_holds(tx, [one])).get(invoice_id)
    return _outlook(one, skip, settings, times)


def _outlook(one: Candidate, skip: Skip | None, settings: Settings, times: ViewerTime) -> Outlook:
    checks = list(_checks(one, settings, times))
    if skip is not None and skip.next_try is None:
        return Outlook(False, _("Not charged"), "", _sentence(skip.reason), checks)
    day = skip.next_try if skip and skip.next_try else times.today
    at = _run_on(day, settings, times.now)
    local = times.local(at)
    when = f"{long_day_text(local.date())}, {local:%H:%M} {local.tzname()}"
    reason = _sentence(skip.reason) if skip else _("Nothing stands in the way.")
    return Outlook(True, when, times.distance(local.date()), reason, checks)


def _run_on(day: date, settings: Settings, now: datetime) -> datetime:
    """The first run on that day, or the next one if that has passed."""
    zone = calendar.zone(settings.timezone)
    run = datetime.combine(day, settings.autopay_at, tzinfo=zone)
    return run if run > now else calendar.next_daily(now, settings.autopay_at, settings.timezone)


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _checks(one: Candidate, settings: Settings, times: ViewerTime) -> Iterator[OutlookCheck]:
    """The facts in the order in which autopay asks for them."""
    yield _check(not one.voided, _("Not voided"), "")
    yield _check(
        one.is_flagged, _("Flagged for autopay"), "take_auto_payment or include_in_autopay"
    )
    yield _check(one.amount > 0, _("Something is left to pay"), "")
    if one.duedate is None:
        yield _check(False, _("A due date"), _("none is set"))
    elif one.duedate > times.today:
        day = f"{times.day(one.duedate)}, {times.distance(one.duedate)}"
        yield OutlookCheck(Tone.WAIT, "clock", _("The due date is not reached"), day)
    else:
        yield _check(True, _("The due date is reached"), times.day(one.duedate))
    if settings.autopay_posted_only:
        yield _check(one.posted, _("Posted"), "PAYDUE_AUTOPAY_POSTED_ONLY")
    yield _check(
        one.client_id is not None and not one.client_inactive, _("A client that is active"), ""
    )
    yield _check(one.customer_id is not None, _("A Stripe customer"), one.customer_id or "none")
    yield _check(not one.pending, _("No payment is processing"), "")
    yield _check(not one.reversed, _("Nothing refunded or disputed"), "")
    if one.last is not None:
        state = _("attempt %(number)s: %(state)s", number=one.last.number, state=one.last.state)
        yield OutlookCheck(Tone.NONE, "retry", _("The last try"), state)


def _check(is_so: bool, text: str, fact: str) -> OutlookCheck:
    return OutlookCheck(Tone.GOOD if is_so else Tone.BAD, "check" if is_so else "no", text, fact)

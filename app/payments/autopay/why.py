"""Why an invoice is charged automatically, or is not: one sentence, and the facts behind it.

Answered by the functions that a run asks, of what this database knows. Whether a card still works,
and the client's default payment method, only Stripe knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from app.errors import NotFound
from app.payments.autopay import eligibility, holds
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import ChosenMethod, Skip
from app.payments.autopay.method_choice import method_rule
from app.payments.autopay.ruling import find_ruled
from app.rules import calendar, money
from app.rules.autopay_rule import MethodChoice
from app.settings import Settings
from app.storage.engines import Tx

# A pause, the day of the charge and the next try after a decline follow one another at most.
_REASONS_MAX = 3


@dataclass(frozen=True, slots=True)
class ChargeForecast:
    """Whether, when and by what an invoice is charged; of one that is not, why and until what."""

    one: Candidate
    skip: Skip | None
    charge_on: date | None
    method: str

    @property
    def will_be_charged(self) -> bool:
        return self.charge_on is not None

    @property
    def sentence(self) -> str:
        amount = f"{money.text(self.one.amount, self.one.currency)} {self.one.currency}"
        if self.skip is None:
            return f"It is charged {amount} in the next run, by {self.method}{self._by_rule}."
        if self.charge_on is not None:
            return (
                f"It is charged {amount} on {self.charge_on}, by {self.method}{self._by_rule}: "
                f"{self.skip.reason}."
            )
        return f"It is not charged: {self.skip.reason}. What would change it: {self.skip.change}."

    @property
    def _by_rule(self) -> str:
        rule = self.one.ruling.decision.rule_name if self.one.ruling else None
        return f", under the rule {rule!r}" if rule else ""

    def as_dict(self) -> dict[str, Any]:
        """The forecast as JSON."""
        one, skip = self.one, self.skip
        ruling = one.ruling
        approval = ruling.approval if ruling else None
        return {
            "invoice_id": one.invoice_id,
            "sentence": self.sentence,
            "will_be_charged": self.will_be_charged,
            "charge_on": self.charge_on.isoformat() if self.charge_on else None,
            "amount": money.text(one.amount, one.currency),
            "currency": one.currency,
            "method": self.method,
            "rule": ruling.decision.rule_name if ruling else None,
            "reason": skip.reason if skip else None,
            "change": skip.change if skip else None,
            "needs_approval": bool(skip and skip.needs_approval),
            "approval": approval.state if approval else None,
            "decided_by": approval.decided_by if approval else None,
            "last_attempt": str(one.last.state) if one.last else None,
        }


async def forecast(tx: Tx, invoice_id: int, settings: Settings, *, now: datetime) -> ChargeForecast:
    """The forecast of an invoice, or NotFound. Templates have none."""
    one = await find_ruled(tx, invoice_id, settings, now=now)
    if one is None or invoice_id < 0:
        raise NotFound("Invoice", invoice_id)
    (found,) = await forecast_page(tx, [one], settings, now=now)
    return found


async def forecast_page(
    tx: Tx, page: Sequence[Candidate], settings: Settings, *, now: datetime
) -> list[ChargeForecast]:
    """The forecasts of invoices that were read with what people decided, in the page's order."""
    skips = {one.invoice_id: _skip_on(one, None, settings, now) for one in page}
    free = [one for one in page if skips[one.invoice_id] is None]
    skips.update(await holds.find_holds(tx, free))
    return [_forecast(one, skips[one.invoice_id], settings, now) for one in page]


def _skip_on(one: Candidate, day: date | None, settings: Settings, now: datetime) -> Skip | None:
    known = one.payment_method_id or one.saved_method_id
    # Without a method of its own the client's default at Stripe is charged; its id is not known.
    return eligibility.skip_reason(one, day, now, settings, ChosenMethod(known or ""))


def _forecast(
    one: Candidate, skip: Skip | None, settings: Settings, now: datetime
) -> ChargeForecast:
    if skip is None:
        today = calendar.business_day(now, one.timezone or settings.timezone)
        return ChargeForecast(one, None, today, _method(one))
    day, then = skip.next_try, skip
    for _ in range(_REASONS_MAX):
        if day is None:
            break
        # A pause that says its last day is over by then.
        free = replace(one, ruling=replace(one.ruling, pause=None)) if one.ruling else one
        found = _skip_on(free, day, settings, now)
        if found is None:
            return ChargeForecast(one, skip, day, _method(one))
        day, then = found.next_try, found
    return ChargeForecast(one, then, day, _method(one))


def _method(one: Candidate) -> str:
    rule = method_rule(one)
    own = one.payment_method_id or "the customer's default at Stripe"
    if rule is None:
        return own
    if rule.payment_method_id is not None:
        return rule.payment_method_id
    most = rule.card_max
    if rule.choice == MethodChoice.BANK or (most is not None and one.amount > most):
        return "a bank debit saved at Stripe" + (f", else {own}" if most is None else "")
    return own

"""GET /payments/{intent_id}: what happened to this payment, and what happens next?"""

from decimal import Decimal
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.payment_reads import PaymentDetails, load_payment_details
from app.console.pages.payment_sentence import sentence, state_of_details
from app.console.pages.payment_timeline import happenings
from app.console.pages.story import story_days
from app.console.pages.wording import ShownAmount, method_name, shown_amount
from app.console.routing import Viewer
from app.errors import NotFound
from app.rules.payment import PaymentState
from app.storage.tables.stripe_events import EventState

_DASHBOARD = "https://dashboard.stripe.com"


class MoneyLine(NamedTuple):
    """A line of the sum that leads from the charge to what reaches the bank."""

    text: str
    amount: ShownAmount


class PaymentMoney(NamedTuple):
    """The payment's money in one currency, from what was charged to the net."""

    currency: str
    lines: list[MoneyLine]
    net: ShownAmount | None


async def payment_page(request: Request, viewer: Viewer) -> Response:
    intent_id: str = request.path_params["intent_id"]
    times = times_of(request, viewer)
    async with reading(request) as tx:
        details = await load_payment_details(tx, intent_id)
        if details is None:
            raise NotFound("payment", intent_id)
        amount = _amount(details)
        return await show(
            request,
            viewer,
            tx,
            "payment.html",
            details=details,
            amount=shown_amount(amount, details.currency) if amount is not None else None,
            state=state_of_details(details, times),
            sentence=sentence(details, times),
            days=story_days(happenings(details, times), times),
            ignored=[one for one in details.events if one.state == EventState.IGNORED],
            money=_money(details),
            method=method_name(details.intent.payment_method_name if details.intent else None),
            dashboard=dashboard_url(request, "payments", intent_id),
            refundable=_refundable(details),
        )


def dashboard_url(request: Request, kind: str, object_id: str) -> str:
    """The object's page in Stripe's dashboard, in the mode of this installation."""
    test = "" if request.app.state.settings.livemode else "/test"
    return f"{_DASHBOARD}{test}/{kind}/{object_id}"


def _amount(details: PaymentDetails) -> Decimal | None:
    if details.intent is not None:
        return details.intent.amount
    return details.attempts[0].amount if details.attempts else None


def _refundable(details: PaymentDetails) -> bool:
    intent = details.intent
    if intent is None or intent.state != PaymentState.SUCCEEDED:
        return False
    return intent.amount > intent.amount_refunded + intent.amount_lost


def _money(details: PaymentDetails) -> PaymentMoney | None:
    """From Stripe's own balance transactions, once there are any; else from the intent."""
    if details.movements:
        currency = details.movements[0].currency_iso
        rows = [one for one in details.movements if one.currency_iso == currency]
        lines = [
            MoneyLine(_KINDS.get(one.type, one.type.replace("_", " ").capitalize()),
                      shown_amount(one.amount, currency))
            for one in rows
        ]  # fmt: skip
        fees = sum((one.fee for one in rows), Decimal(0))
        if fees:
            lines.append(MoneyLine(_("Stripe’s fee"), shown_amount(-fees, currency)))
        net = sum((one.net for one in rows), Decimal(0))
        return PaymentMoney(currency.upper(), lines, shown_amount(net, currency))
    intent = details.intent
    if intent is None or intent.state != PaymentState.SUCCEEDED:
        return None
    currency = intent.currency_iso
    lines = [MoneyLine(_("Charged"), shown_amount(intent.amount, currency))]
    back = {"Refunded": intent.amount_refunded, "Lost in a dispute": intent.amount_lost}
    lines += [MoneyLine(text, shown_amount(-one, currency)) for text, one in back.items() if one]
    kept = intent.amount - intent.amount_refunded - intent.amount_lost
    return PaymentMoney(currency.upper(), lines, shown_amount(kept, currency))


_KINDS = {
    "charge": N_("Charged"),
    "payment": N_("Charged"),
    "refund": N_("Refunded"),
    "payment_refund": N_("Refunded"),
    "adjustment": N_("Dispute"),
}

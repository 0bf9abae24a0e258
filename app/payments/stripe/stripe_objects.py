"""Stripe's objects, read into reports of our own. Reads every API version's shape; trusts none."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.errors import BadEvent, InvalidField
from app.rules import money
from app.rules.claim import INSTALLATION_KEY, Evidence, evidence_of_metadata
from app.rules.consolidation import shares_in
from app.rules.payment import (
    WARNING_CLOSED,
    WARNING_OPEN,
    PaymentReport,
    PaymentState,
    Reversal,
    ReversalKind,
)
from app.rules.payout import BalanceMovement, PayoutReport
from app.rules.refund import REQUEST_KEY
from app.rules.retry import Decline

StripeObject = Mapping[str, Any]

_STATES = {
    "requires_payment_method": PaymentState.CREATED,
    "requires_confirmation": PaymentState.CREATED,
    "requires_capture": PaymentState.CREATED,
    "requires_action": PaymentState.REQUIRES_ACTION,
    "processing": PaymentState.PROCESSING,
    "canceled": PaymentState.CANCELED,
    "succeeded": PaymentState.SUCCEEDED,
}
_WORD_MAX = 255
_BIGINT_MAX = 2**63 - 1
# Versions of one method are compared, a few in its life: 64 bits tell them apart.
_VERSION_DIGITS = 16
# As many digits as our keys have room for; more is somebody else's metadata.
_ATTEMPT_MAX = 10**9 - 1


def intent_report(
    intent: StripeObject,
    *,
    at: datetime,
    installation: str,
    response: str | None = None,
    at_least: PaymentState = PaymentState.CREATED,
    event_id: str | None = None,
) -> PaymentReport:
    """The report that a PaymentIntent is, from an event or an answer of the API.

    Its own status decides; `at_least` is what an event's type adds where the status leaves it open.
    """
    state = max(intent_state(intent), at_least)
    received = state == PaymentState.SUCCEEDED and intent.get("amount_received") is not None
    currency, amount = amount_of(intent, "amount_received" if received else "amount")
    evidence = evidence_in(intent, installation)
    return PaymentReport(
        intent_id=id_of(intent, "id"),
        at=at,
        currency=currency,
        amount=amount,
        state=state,
        intent_at=instant_of(intent, "created"),
        invoice_id=metadata_number(intent, "invoice_id"),
        shares=_shares(intent, currency) if evidence == Evidence.METADATA else None,
        evidence=evidence,
        attempt=_attempt(intent),
        charge_id=charge_id(intent),
        customer_id=reference(intent.get("customer")),
        reason=decline_of(intent).why if state == PaymentState.FAILED else None,
        method=method_name(intent),
        awaits=next_action(intent),
        capturable=_capturable(intent),
        event_id=event_id,
        response=response,
    )


def intent_state(intent: StripeObject) -> PaymentState:
    """An intent that waits for a payment method after an error has failed; one without is new."""
    status = text_of(intent.get("status")) or ""
    state = _STATES.get(status, PaymentState.CREATED)
    waits = status in {"requires_payment_method", "requires_confirmation"}
    return PaymentState.FAILED if waits and intent.get("last_payment_error") else state


def evidence_in(thing: StripeObject, installation: str) -> Evidence | None:
    """The evidence that an object's metadata gives for the invoice it names."""
    metadata = thing.get("metadata")
    named = metadata.get(INSTALLATION_KEY) if isinstance(metadata, dict) else None
    return evidence_of_metadata(text_of(named), installation)


def next_action(intent: StripeObject) -> str | None:
    """The step that the customer has to take, such as `verify_with_microdeposits`."""
    action = intent.get("next_action")
    return text_of(action.get("type")) if isinstance(action, dict) else None


def _capturable(intent: StripeObject) -> Decimal | None:
    """The amount that a card holds for us, and that a capture would take."""
    if intent.get("status") != "requires_capture":
        return None
    return amount_of(intent, "amount_capturable")[1]


def _shares(intent: StripeObject, currency: str) -> dict[int, Decimal] | None:
    """The shares of a consolidated charge of ours, or of a session that pays several invoices."""
    found = named_shares(intent)
    return {one: money.from_minor(minor, currency) for one, minor in found.items()} or None


def named_shares(thing: StripeObject) -> dict[int, int]:
    """The invoices that the metadata of a payment for several names, with their minor units."""
    metadata = thing.get("metadata")
    return shares_in(metadata) if isinstance(metadata, dict) else {}


def _attempt(intent: StripeObject) -> int | None:
    found = metadata_number(intent, "attempt")
    return found if found and found <= _ATTEMPT_MAX else None


def session_report(
    session: StripeObject, *, at: datetime, installation: str
) -> PaymentReport | None:
    """The report that a Checkout Session is: its intent, its invoice, and whether it is paid.

    None for a session that made no PaymentIntent. A payment link names the invoice by its
    `client_reference_id`, our own sessions by `metadata[invoice_id]`.
    """
    intent_id = reference(session.get("payment_intent"))
    if intent_id is None:
        return None
    currency, amount = amount_of(session, "amount_total")
    named = metadata_number(session, "invoice_id")
    evidence = evidence_in(session, installation)
    return PaymentReport(
        intent_id=intent_id,
        at=at,
        currency=currency,
        amount=amount,
        state=PaymentState.SUCCEEDED if session.get("payment_status") == "paid" else None,
        invoice_id=named if named is not None else whole_number(session.get("client_reference_id")),
        shares=_shares(session, currency) if evidence == Evidence.METADATA else None,
        evidence=evidence,
        customer_id=reference(session.get("customer")),
        is_intents=False,
    )


def refund_report(refund: StripeObject, *, at: datetime, installation: str) -> PaymentReport:
    """The report that a refund is. The invoice and the request it names are believed of our own."""
    report = _reversal_report(
        refund, ReversalKind.REFUND, "amount", at, charge=refund.get("charge")
    )
    assert report.reversal is not None, "the line above makes it"
    is_ours = evidence_in(refund, installation) == Evidence.METADATA
    reversal = replace(
        report.reversal,
        invoice_id=metadata_number(refund, "invoice_id") if is_ours else None,
        request_id=metadata_number(refund, REQUEST_KEY) if is_ours else None,
        reason=text_of(refund.get("failure_reason")) or text_of(refund.get("reason")),
    )
    return report._replace(reversal=reversal)


def dispute_report(
    dispute: StripeObject,
    *,
    at: datetime,
    withdrawn: bool = False,
    reinstated: bool = False,
) -> PaymentReport:
    """The report that a dispute is: its own status decides, and not the type of an event.

    Its money has moved as its balance transactions say, or as the event of a movement says.
    """
    report = _reversal_report(
        dispute, ReversalKind.DISPUTE, "amount", at, charge=dispute.get("charge")
    )
    assert report.reversal is not None, "the line above makes it"
    details = dispute.get("evidence_details")
    moved = [one.get("amount") for one in _listed(dispute.get("balance_transactions"))]
    amounts = [one for one in moved if isinstance(one, int)]
    reversal = replace(
        report.reversal,
        reason=text_of(dispute.get("reason")),
        evidence_due_at=instant_of(details, "due_by") if isinstance(details, dict) else None,
        funds_withdrawn=withdrawn or any(one < 0 for one in amounts),
        funds_reinstated=reinstated or any(one > 0 for one in amounts),
    )
    return report._replace(reversal=reversal)


def _listed(value: Any) -> list[StripeObject]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def fraud_warning_report(warning: StripeObject, *, at: datetime) -> PaymentReport | None:
    """The report that an early fraud warning is; None for a charge without a PaymentIntent."""
    intent_id = reference(warning.get("payment_intent"))
    if intent_id is None:
        return None
    reversal = Reversal(
        id=id_of(warning, "id"),
        kind=ReversalKind.FRAUD_WARNING,
        amount=Decimal(0),
        status=WARNING_OPEN if warning.get("actionable") is True else WARNING_CLOSED,
        reason=text_of(warning.get("fraud_type")),
    )
    # A warning names no currency, and none is needed: it makes no payment.
    return PaymentReport(
        intent_id, at, "", reversal=reversal, charge_id=reference(warning.get("charge"))
    )


def charge_refunded_reports(
    charge: StripeObject, *, at: datetime, installation: str
) -> list[PaymentReport]:
    """A charge's running total of refunds, and the refunds themselves where the shape has them."""
    total = _reversal_report(
        charge, ReversalKind.CHARGE, "amount_refunded", at, charge=charge.get("id")
    )
    listed = (charge.get("refunds") or {}).get("data") or []
    refunds = ({**_of_charge(charge), **one} for one in listed)
    return [total, *(refund_report(one, at=at, installation=installation) for one in refunds)]


def _of_charge(charge: StripeObject) -> dict[str, Any]:
    return {"payment_intent": charge.get("payment_intent"), "charge": charge.get("id")}


def _reversal_report(
    thing: StripeObject, kind: ReversalKind, field: str, at: datetime, *, charge: Any
) -> PaymentReport:
    intent_id = reference(thing.get("payment_intent"))
    if intent_id is None:
        raise BadEvent(f"{kind} {thing.get('id')} names no PaymentIntent")
    currency, amount = amount_of(thing, field)
    reversal = Reversal(
        id=id_of(thing, "id"),
        kind=kind,
        amount=amount,
        status=text_of(thing.get("status")) or "",
        currency=currency,
    )
    return PaymentReport(intent_id, at, currency, reversal=reversal, charge_id=reference(charge))


def payout_report(payout: StripeObject) -> PayoutReport:
    currency, amount = signed_amount_of(payout, "amount")
    return PayoutReport(
        payout_id=id_of(payout, "id"),
        status=text_of(payout.get("status")) or "",
        amount=amount,
        currency=currency,
        automatic=payout.get("automatic") is True,
        arrival_date=required_instant(payout, "arrival_date").date(),
        created_at=required_instant(payout, "created"),
        failure_code=text_of(payout.get("failure_code")),
    )


def balance_movement(transaction: StripeObject) -> BalanceMovement:
    """A balance transaction in major units, of the balance's currency and not the charge's."""
    currency, amount = signed_amount_of(transaction, "amount")
    _, fee = signed_amount_of(transaction, "fee")
    _, net = signed_amount_of(transaction, "net")
    return BalanceMovement(
        transaction_id=id_of(transaction, "id"),
        type=text_of(transaction.get("type")) or "",
        currency=currency,
        amount=amount,
        fee=fee,
        net=net,
        created_at=required_instant(transaction, "created"),
        available_at=required_instant(transaction, "available_on"),
        source_id=reference(transaction.get("source")),
        description=text_of(transaction.get("description")),
        exchange_rate=_digits(transaction.get("exchange_rate")),
    )


def _digits(number: Any) -> str | None:
    """The shortest digits that mean the same number, which are those that Stripe wrote."""
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return f"{Decimal(repr(number)):f}" if is_number else None


def decline_of(intent: StripeObject) -> Decline:
    """The decline of the intent's last try, with the network's own code where the charge has it."""
    error = intent.get("last_payment_error") or {}
    method = error.get("payment_method") or {}
    return Decline(
        code=text_of(error.get("code")),
        decline_code=text_of(error.get("decline_code")),
        advice_code=text_of(error.get("advice_code")),
        network_advice_code=text_of(error.get("network_advice_code")),
        network_decline_code=text_of(error.get("network_decline_code")),
        method=text_of(method.get("type")) or "card",
        method_version=method_version(method),
        message=error.get("message"),
    )


def method_version(method: StripeObject) -> str | None:
    """A digest that changes when a card is renewed or its holder's address is corrected.

    Only these fields are read: Stripe adds others to its objects at any time.
    """
    details = method.get(text_of(method.get("type")) or "")
    if not isinstance(details, dict):
        return None
    holder = method.get("billing_details") or {}
    address = holder.get("address") or {}
    told = [
        *(details.get(name) for name in ("fingerprint", "last4", "exp_month", "exp_year")),
        *(address.get(name) for name in ("line1", "postal_code", "country")),
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:_VERSION_DIGITS]


def failed_charge_id(intent: StripeObject) -> str | None:
    """The charge that the intent's last error is about."""
    return reference((intent.get("last_payment_error") or {}).get("charge"))


def charge_id(intent: StripeObject) -> str | None:
    """The newest charge: `latest_charge`, or the head of `charges.data` before 2022-11-15."""
    latest = reference(intent.get("latest_charge"))
    if latest is None:
        older = (intent.get("charges") or {}).get("data") or [None]
        latest = reference(older[0])
    return latest


def method_name(intent: StripeObject) -> str | None:
    """The charged method as people know it, such as `visa 4242`, where the object has it."""
    charge = intent.get("latest_charge")
    if not isinstance(charge, dict):
        charge = ((intent.get("charges") or {}).get("data") or [{}])[0]
    details = charge.get("payment_method_details")
    if not isinstance(details, dict):
        details = (intent.get("last_payment_error") or {}).get("payment_method")
    return described_method(details) if isinstance(details, dict) else None


def described_method(method: StripeObject) -> str | None:
    kind = text_of(method.get("type"))
    details = method.get(kind) if kind else None
    if kind is None or not isinstance(details, dict):
        return kind
    name = text_of(details.get("brand")) or text_of(details.get("bank_name")) or kind
    return f"{name} {text_of(details.get('last4')) or ''}".strip()


# --- reading one field -----------------------------------------------------------------------


def id_of(thing: StripeObject, field: str) -> str:
    found = reference(thing.get(field))
    if found is None:
        raise BadEvent(f"{thing.get('object') or 'object'}.{field} is not an id")
    return found


def reference(value: Any) -> str | None:
    """The id that a field holds, whether the object is expanded in it or not."""
    return text_of(value.get("id") if isinstance(value, dict) else value)


def text_of(value: Any) -> str | None:
    """An id, a code, a name: text that both databases can keep, or None."""
    usable = isinstance(value, str) and 0 < len(value) <= _WORD_MAX and value.isprintable()
    return value if usable else None


def whole_number(value: Any) -> int | None:
    """A positive whole number written as text, as metadata holds it."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    found = int(text)
    return found if 0 < found <= _BIGINT_MAX else None


def metadata_number(thing: StripeObject, name: str) -> int | None:
    metadata = thing.get("metadata")
    return whole_number(metadata.get(name)) if isinstance(metadata, dict) else None


def amount_of(thing: StripeObject, field: str) -> tuple[str, Decimal]:
    """The object's currency, and one of its amounts in major units; never less than zero."""
    currency, amount = signed_amount_of(thing, field)
    if amount < 0:
        raise BadEvent(f"{thing.get('object') or 'object'}.{field} is less than zero: {amount}")
    return currency, amount


def signed_amount_of(thing: StripeObject, field: str) -> tuple[str, Decimal]:
    """The object's currency, and one of its amounts in major units; what is taken is negative."""
    minor = thing.get(field)
    if not isinstance(minor, int) or isinstance(minor, bool) or abs(minor) > money.MINOR_MAX:
        raise BadEvent(f"{thing.get('object') or 'object'}.{field} is not an amount: {minor!r}")
    try:
        return money.from_stripe(minor, str(thing.get("currency")))
    except InvalidField as error:
        raise BadEvent(error.message) from None


def instant_of(thing: StripeObject, field: str) -> datetime | None:
    """A moment of Stripe's; one before 1970 is none, and not every database keeps the year 1."""
    value = thing.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def required_instant(thing: StripeObject, field: str) -> datetime:
    found = instant_of(thing, field)
    if found is None:
        raise BadEvent(f"{thing.get('object') or 'object'}.{field} is not an instant")
    return found

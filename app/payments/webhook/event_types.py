"""The event types that matter, each with its reason and its reader: HANDLERS, pure functions."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from app.ledger.payment_methods import PaymentMethodChange, PaymentMethodReport
from app.payments.stripe import stripe_objects
from app.rules.attempt import parse_key
from app.rules.claim import Evidence
from app.rules.payment import PaymentReport, PaymentState
from app.rules.payout import PayoutChange


class Origin(NamedTuple):
    """The event that an object came in, and our installation's name."""

    at: datetime
    event_id: str
    installation: str


EventReport = PaymentReport | PaymentMethodReport | PayoutChange
Handler = Callable[[Mapping[str, Any], Origin], Sequence[EventReport]]


def _intent(at_least: PaymentState) -> Handler:
    def handler(intent: Mapping[str, Any], origin: Origin) -> Sequence[EventReport]:
        return [
            stripe_objects.intent_report(
                intent,
                at=origin.at,
                installation=origin.installation,
                at_least=at_least,
                event_id=origin.event_id,
            )
        ]

    return handler


def _refund(refund: Mapping[str, Any], origin: Origin) -> Sequence[EventReport]:
    if _is_of_no_intent(refund):
        return []
    return [stripe_objects.refund_report(refund, at=origin.at, installation=origin.installation)]


def _charge_refunded(charge: Mapping[str, Any], origin: Origin) -> Sequence[EventReport]:
    if _is_of_no_intent(charge):
        return []
    return stripe_objects.charge_refunded_reports(
        charge, at=origin.at, installation=origin.installation
    )


def _dispute(*, withdrawn: bool = False, reinstated: bool = False) -> Handler:
    def handler(dispute: Mapping[str, Any], origin: Origin) -> Sequence[EventReport]:
        if _is_of_no_intent(dispute):
            return []
        return [
            stripe_objects.dispute_report(
                dispute, at=origin.at, withdrawn=withdrawn, reinstated=reinstated
            )
        ]

    return handler


def _is_of_no_intent(thing: Mapping[str, Any]) -> bool:
    """Another program's charge through the Charges API: no payment here is made so."""
    return "payment_intent" in thing and thing["payment_intent"] is None


def _fraud_warning(warning: Mapping[str, Any], origin: Origin) -> Sequence[EventReport]:
    report = stripe_objects.fraud_warning_report(warning, at=origin.at)
    return [] if report is None else [report]


def _session(otherwise: PaymentState | None) -> Handler:
    """Reads a Checkout Session; `otherwise` is the payment's state where it is not paid."""

    def handler(session: Mapping[str, Any], origin: Origin) -> Sequence[EventReport]:
        news = stripe_objects.session_report(
            session, at=origin.at, installation=origin.installation
        )
        if news is None:
            return []
        return [news._replace(state=news.state or otherwise, event_id=origin.event_id)]

    return handler


def _method_gone(method: Mapping[str, Any], _: Origin) -> Sequence[EventReport]:
    return [
        PaymentMethodReport(
            PaymentMethodChange.GONE, payment_method_id=stripe_objects.id_of(method, "id")
        )
    ]


def _method_renamed(method: Mapping[str, Any], _: Origin) -> Sequence[EventReport]:
    return [
        PaymentMethodReport(
            PaymentMethodChange.RENAMED,
            payment_method_id=stripe_objects.id_of(method, "id"),
            name=stripe_objects.described_method(method),
        )
    ]


def _method_saved(setup: Mapping[str, Any], _: Origin) -> Sequence[EventReport]:
    customer = stripe_objects.reference(setup.get("customer"))
    method = stripe_objects.reference(setup.get("payment_method"))
    if setup.get("usage") != "off_session" or not customer or not method:
        return []
    return [PaymentMethodReport(PaymentMethodChange.SAVED, customer, method)]


def _customer_gone(customer: Mapping[str, Any], _: Origin) -> Sequence[EventReport]:
    return [
        PaymentMethodReport(PaymentMethodChange.CUSTOMER_GONE, stripe_objects.id_of(customer, "id"))
    ]


def _payout(payout: Mapping[str, Any], _: Origin) -> Sequence[EventReport]:
    return [PayoutChange(stripe_objects.id_of(payout, "id"))]


HANDLERS: dict[str, Handler] = {
    # An intent exists: support can find it, and an orphan of ours is noticed.
    "payment_intent.created": _intent(PaymentState.CREATED),
    # A bank debit is under way: no other way to pay may start.
    "payment_intent.processing": _intent(PaymentState.PROCESSING),
    # The customer must authenticate: never retried unattended.
    "payment_intent.requires_action": _intent(PaymentState.REQUIRES_ACTION),
    # Money was taken. charge.succeeded says the same and is left alone: two would race.
    "payment_intent.succeeded": _intent(PaymentState.CREATED),
    # The bank said no; the same intent may be tried again.
    "payment_intent.payment_failed": _intent(PaymentState.FAILED),
    # The intent can never be paid any more.
    "payment_intent.canceled": _intent(PaymentState.CREATED),
    # The running total of refunds, also of refunds made before we listened.
    "charge.refunded": _charge_refunded,
    # Each refund by itself: it can fail after it had succeeded, and then the money is ours again.
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,  # the same, before 2024-10-28
    # A dispute's own status decides, never the event's type: funds come back on lost ones too.
    "charge.dispute.created": _dispute(),
    "charge.dispute.updated": _dispute(),
    "charge.dispute.closed": _dispute(),
    "charge.dispute.funds_withdrawn": _dispute(withdrawn=True),
    "charge.dispute.funds_reinstated": _dispute(reinstated=True),
    # The card network expects a dispute of this charge: to refund it now may spare the dispute.
    "radar.early_fraud_warning.created": _fraud_warning,
    "radar.early_fraud_warning.updated": _fraud_warning,  # nothing is left to be done about it
    # A Checkout Session or payment link names the invoice that its intent does not name.
    "checkout.session.completed": _session(None),
    "checkout.session.async_payment_succeeded": _session(PaymentState.SUCCEEDED),
    "checkout.session.async_payment_failed": _session(PaymentState.FAILED),
    "checkout.session.expired": _session(None),
    # A saved card or bank account is gone, renewed by the network, or newly saved for off-session.
    "payment_method.detached": _method_gone,
    "payment_method.updated": _method_renamed,
    "payment_method.automatically_updated": _method_renamed,
    "setup_intent.succeeded": _method_saved,
    # Nothing of this customer can be charged any more.
    "customer.deleted": _customer_gone,
    # A payout is on its way, or has ended: the worker reads it from Stripe at once.
    "payout.created": _payout,
    "payout.updated": _payout,
    "payout.paid": _payout,
    "payout.failed": _payout,
    "payout.canceled": _payout,
    # Only now the list of its balance transactions is complete.
    "payout.reconciliation_completed": _payout,
}


def reports_of(event: Mapping[str, Any], *, installation: str) -> Sequence[EventReport] | None:
    """The reports of a verified event, or None when its type is of no consequence to us."""
    handler = HANDLERS.get(event["type"])
    if handler is None:
        return None
    at = datetime.fromtimestamp(event["created"], UTC)
    reports = handler(event["data"]["object"], Origin(at, event["id"], installation))
    request = event.get("request")
    sent_key = request.get("idempotency_key") if isinstance(request, dict) else None
    if not sent_key:
        return reports
    return [_with_key_evidence(one, sent_key, installation) for one in reports]


def _with_key_evidence(report: EventReport, sent_key: str, installation: str) -> EventReport:
    """Our own idempotency key names the invoice too, even where the metadata was lost."""
    if not isinstance(report, PaymentReport):
        return report
    key = parse_key(sent_key)
    if key is None or report.reversal is not None:
        return report
    if key.installation != installation:
        return report._replace(evidence=report.evidence or Evidence.FOREIGN)
    if report.invoice_id not in (None, key.invoice_id):
        return report
    return report._replace(
        invoice_id=key.invoice_id,
        attempt=report.attempt or key.attempt,
        evidence=Evidence.KEY,
    )


def ids_of(event: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The PaymentIntent that an event is about, and its object where that is another."""
    thing = event["data"]["object"]
    object_id = stripe_objects.reference(thing)
    if thing.get("object") == "payment_intent":
        return object_id, None
    intent_id = stripe_objects.reference(thing.get("payment_intent"))
    return intent_id, object_id if object_id != intent_id else None


def parse_stored_event(payload: bytes) -> dict[str, Any]:
    """A stored event again."""
    event = orjson.loads(payload)
    assert isinstance(event, dict), "only events are stored"
    return event

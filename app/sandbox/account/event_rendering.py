"""Events as JSON, in the API version of the webhook endpoint and not of the request."""

from datetime import UTC, datetime
from typing import Literal

from app.sandbox.account import object_templates
from app.sandbox.account.account_state import AccountEvent, EventOrigin
from app.sandbox.account.object_templates import Obj

Rendering = Literal["new", "old", "thin"]

_VERSIONS: dict[Rendering, str] = {"new": object_templates.API_VERSION, "old": "2020-08-27"}
# The paths of objects whose path is not their name and an s.
_PATHS = {
    "checkout.session": "checkout/sessions",
    "radar.early_fraud_warning": "radar/early_fraud_warnings",
}


def render_event(
    event: AccountEvent, rendering: Rendering = "new", origin: EventOrigin | None = None
) -> Obj:
    """The event as one endpoint gets it; an origin given here wins over the event's own."""
    seen = origin or event.origin
    return _thin(event, seen) if rendering == "thin" else _snapshot(event, rendering, seen)


def _snapshot(event: AccountEvent, rendering: Rendering, origin: EventOrigin) -> Obj:
    subject = event.subject
    if rendering == "old" and subject["object"] == "payment_intent":
        subject = _with_charges(subject, event.charges)
    if origin.livemode and "livemode" in subject:
        subject = {**subject, "livemode": True}
    data: Obj = {"object": subject}
    if event.previous is not None:
        data["previous_attributes"] = event.previous
    rendered = {
        "id": event.id,
        "object": "event",
        "api_version": _VERSIONS[rendering],
        "created": event.created,
        "data": data,
        "livemode": origin.livemode,
        "pending_webhooks": event.pending,
        "request": {"id": event.cause.id, "idempotency_key": event.cause.idempotency_key},
        "type": event.type,
    }
    if origin.account is not None:
        rendered["account"] = origin.account
    if origin.context is not None:
        rendered["context"] = origin.context
    return rendered


def _with_charges(intent: Obj, charges: tuple[Obj, ...]) -> Obj:
    """Versions before 2022-11-15 show `charges` and `invoice` and have no `latest_charge`."""
    old = {name: value for name, value in intent.items() if name != "latest_charge"}
    url = f"/v1/charges?payment_intent={intent['id']}"
    listed = object_templates.sublist(url, list(charges[:10]), has_more=len(charges) > 10)
    return {**old, "charges": {**listed, "total_count": len(charges)}, "invoice": None}


def _thin(event: AccountEvent, origin: EventOrigin) -> Obj:
    """A thin event names the object and does not carry it."""
    kind, subject_id = event.subject["object"], event.subject.get("id", "")
    path = _PATHS.get(kind, f"{kind}s")
    related = {"id": subject_id, "type": kind, "url": f"/v1/{path}/{subject_id}"}
    made = _thin_envelope(event.id, f"v1.{event.type}", event.created, origin, related)
    if event.cause.id is not None:
        request = {"id": event.cause.id, "idempotency_key": event.cause.idempotency_key or ""}
        made["reason"] = {"type": "request", "request": request}
    return {**made, "snapshot_event": event.id}


def _thin_envelope(
    event_id: str, type_: str, created: int, origin: EventOrigin, related: Obj
) -> Obj:
    at = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return {
        "id": event_id,
        "object": "v2.core.event",
        "type": type_,
        "created": at.replace("+00:00", "Z"),
        "livemode": origin.livemode,
        "context": origin.context,
        "reason": None,
        "related_object": related,
    }


def render_ping(event_id: str, created: int, destination: str, origin: EventOrigin) -> Obj:
    """The thin event of the Dashboard's button that tries an event destination."""
    url = f"/v2/core/event_destinations/{destination}"
    related = {"id": destination, "type": "v2.core.event_destination", "url": url}
    return _thin_envelope(event_id, "v2.core.event_destination.ping", created, origin, related)

"""Events as JSON, in the API version of the webhook endpoint and not of the request."""

from typing import Literal

from app.sandbox.account import object_templates
from app.sandbox.account.account_state import AccountEvent
from app.sandbox.account.object_templates import Obj

Rendering = Literal["new", "old"]

_VERSIONS: dict[Rendering, str] = {"new": object_templates.API_VERSION, "old": "2020-08-27"}


def render_event(event: AccountEvent, rendering: Rendering = "new") -> Obj:
    subject = event.subject
    if rendering == "old" and subject["object"] == "payment_intent":
        subject = _with_charges(subject, event.charges)
    data: Obj = {"object": subject}
    if event.previous is not None:
        data["previous_attributes"] = event.previous
    return {
        "id": event.id,
        "object": "event",
        "api_version": _VERSIONS[rendering],
        "created": event.created,
        "data": data,
        "livemode": False,
        "pending_webhooks": event.pending,
        "request": {"id": event.cause.id, "idempotency_key": event.cause.idempotency_key},
        "type": event.type,
    }


def _with_charges(intent: Obj, charges: tuple[Obj, ...]) -> Obj:
    """Versions before 2022-11-15 show `charges` and `invoice` and have no `latest_charge`."""
    old = {name: value for name, value in intent.items() if name != "latest_charge"}
    url = f"/v1/charges?payment_intent={intent['id']}"
    listed = object_templates.sublist(url, list(charges[:10]), has_more=len(charges) > 10)
    return {**old, "charges": {**listed, "total_count": len(charges)}, "invoice": None}

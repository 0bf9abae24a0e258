"""Webhook endpoints of the account. The sandbox keeps them; it delivers where a test says."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api.metadata_merge import merge_metadata


def create(state: AccountState, params: Obj) -> Obj:
    """The signing secret is shown this once."""
    made: Obj = {
        "id": state.ids.new("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": state.clock.stamp(),
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": params["url"],
    }
    state.webhook_endpoints.append(made)
    return {**made, "secret": f"whsec_{state.ids.text('whsec', 32)}"}


def update(state: AccountState, params: Obj, endpoint_id: str) -> Obj:
    """All but the API version can be changed."""
    place = next(
        (at for at, one in enumerate(state.webhook_endpoints) if one["id"] == endpoint_id), None
    )
    if place is None:
        raise stripe_errors.missing(
            "webhook_endpoint", endpoint_id, param="webhook_endpoint", in_path=True
        )
    changes: Obj = {
        name: params[name] for name in ("description", "enabled_events", "url") if name in params
    }
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    changed = {**state.webhook_endpoints[place], **changes}
    state.webhook_endpoints[place] = changed
    return changed


def list_page(state: AccountState, params: Obj) -> Obj:
    """All of them: an account has sixteen at most."""
    return object_templates.sublist(
        "/v1/webhook_endpoints", state.webhook_endpoints, has_more=False
    )

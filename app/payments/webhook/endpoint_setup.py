"""The webhook endpoint at Stripe: made or mended, with exactly our events and our API version."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.payments.stripe.gateway import API_VERSION, Gateway
from app.payments.webhook.endpoint import PATHS
from app.payments.webhook.event_types import HANDLERS

# Stripe's word for all events.
_ALL = "*"


class EndpointStep(StrEnum):
    """The one thing to be done at Stripe."""

    NONE = "none"
    CREATE = "create"
    UPDATE = "update"
    # An endpoint's API version cannot be changed: a second one is made beside it.
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """The step that makes the endpoint right, with the reasons. `existing` is Stripe's object."""

    url: str
    step: EndpointStep
    existing: Mapping[str, Any] | None
    reasons: tuple[str, ...] = ()


def our_events() -> list[str]:
    """The event types that the endpoint has to send."""
    return sorted(HANDLERS)


def endpoint_url(public_url: str) -> str:
    """The address at which Stripe reaches this installation."""
    return f"{public_url}{PATHS[0]}"


async def plan_endpoint(gateway: Gateway, url: str) -> EndpointPlan:
    """Look at the account's endpoints; nothing is changed."""
    addresses = _addresses(url)
    own = [one for one in await gateway.webhook_endpoints() if one.get("url") in addresses]
    if not own:
        return EndpointPlan(
            url, EndpointStep.CREATE, None, ("there is no endpoint at this address",)
        )
    right = [one for one in own if one.get("api_version") == API_VERSION]
    if not right:
        found = own[0].get("api_version") or "the account's own version"
        reason = f"its API version is {found}, and not {API_VERSION}"
        return EndpointPlan(url, EndpointStep.REPLACE, own[0], (reason,))
    reasons = _faults(right[0])
    step = EndpointStep.UPDATE if reasons else EndpointStep.NONE
    return EndpointPlan(url, step, right[0], reasons)


def _addresses(url: str) -> set[str]:
    """The address, and the other one by which the same installation is reached."""
    base = next((url.removesuffix(path) for path in PATHS if url.endswith(path)), None)
    return {url} if base is None else {f"{base}{path}" for path in PATHS}


def _faults(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    sent, wanted = set(endpoint.get("enabled_events") or ()), set(HANDLERS)
    missing = sorted(wanted - sent) if _ALL not in sent else []
    needless = sorted(sent - wanted)
    found = []
    if endpoint.get("status") != "enabled":
        found.append("it is disabled")
    if missing:
        found.append(f"it does not send {', '.join(missing)}")
    if needless:
        found.append(f"it sends {', '.join(needless)}, which nothing here reads")
    return tuple(found)


async def carry_out(gateway: Gateway, plan: EndpointPlan) -> Mapping[str, Any]:
    """Take the plan's step; answer Stripe's object, with its signing secret where it is new."""
    if plan.step in (EndpointStep.CREATE, EndpointStep.REPLACE):
        return await gateway.create_webhook_endpoint(
            {
                "url": plan.url,
                "enabled_events": our_events(),
                "api_version": API_VERSION,
                "description": "Paydue",
            }
        )
    assert plan.existing is not None, "only a new one has none before"
    if plan.step == EndpointStep.NONE:
        return plan.existing
    wanted = {"enabled_events": our_events(), "disabled": False}
    return await gateway.update_webhook_endpoint(str(plan.existing["id"]), wanted)

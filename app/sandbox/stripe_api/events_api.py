"""The events API: Stripe keeps events for 30 days and lists the newest first."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountEvent, AccountState
from app.sandbox.account.event_rendering import render_event
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import cursor_pagination

HORIZON = 30 * 86400
_TYPES_MAX = 20


def list_page(state: AccountState, params: Obj) -> Obj:
    types = set(params.get("types", ()))
    if len(types) > _TYPES_MAX:
        raise stripe_errors.malformed(
            f"You may only specify up to {_TYPES_MAX} types.", param="types"
        )
    if types and "type" in params:
        raise stripe_errors.malformed(
            "You may only specify one of these parameters: type, types.", param="type"
        )
    types |= {params["type"]} if "type" in params else set()
    window = cursor_pagination.CreatedFilter.parse(params.get("created"))
    oldest = state.clock.now() - HORIZON
    delivered = params.get("delivery_success")
    families = tuple(one[:-1] for one in types if one.endswith(".*"))

    def keep(event: AccountEvent) -> bool:
        return (
            event.created >= oldest
            and window.contains(event.created)
            and (not types or event.type in types or event.type.startswith(families))
            and (delivered is None or delivered == (event.pending == 0))
        )

    def is_past(event: AccountEvent) -> bool:
        return not state.clock.went_back and event.created <= max(window.above, oldest - 1)

    events, has_more = cursor_pagination.load_page(state.events, params, keep=keep, is_past=is_past)
    return object_templates.sublist(
        "/v1/events", [render_event(event) for event in events], has_more=has_more
    )


def retrieve(state: AccountState, params: Obj, event_id: str) -> Obj:
    event = state.events.get(event_id)
    if event is None or event.created < state.clock.now() - HORIZON:
        raise stripe_errors.missing("event", event_id, param="id", in_path=True)
    return render_event(event)

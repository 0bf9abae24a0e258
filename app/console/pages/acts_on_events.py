"""Replay of parked and dead events: one, or all that wait for the same reason."""

from collections.abc import Sequence
from typing import Protocol

from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.pages.action_forms import ActionForm, FormAction, FormField
from app.console.pages.chrome import reading
from app.console.pages.events_page import ids_of_cause
from app.console.pages.wording import counted
from app.console.routing import Viewer
from app.errors import InvalidField
from app.payments import event_queries
from app.payments.webhook.dead_letters import RetryResult
from app.storage.engines import Tx
from app.storage.tables.stripe_events import EventState

# Each is tried in a transaction of its own; the rest is replayed by pressing again.
REPLAYED_MAX = 200
_WHAT_HAPPENS = (
    "What was applied stays applied once: an event that applies now changes nothing twice."
)


class ReplayEvents(Protocol):
    """Applies stored events again, by their rows; the node asks Stripe where one needs it."""

    async def __call__(self, ids: Sequence[int]) -> RetryResult: ...


async def _one_form(request: Request, tx: Tx) -> ActionForm:
    row = await event_queries.load_event(tx, request.path_params["event_id"])
    return ActionForm(
        title=f"Replay {row.type}",
        lede=_WHAT_HAPPENS,
        button="Replay it",
        leave="Not now",
        back=f"/events/{row.event_id}",
        fields=(),
        facts=(("Event", row.event_id), ("Waits for", row.error or "nothing")),
    )


async def _replay_one(request: Request, _: Viewer, given: FormData) -> tuple[str, str]:
    event_id: str = request.path_params["event_id"]
    async with reading(request) as tx:
        row = await event_queries.load_event(tx, event_id)
    if row.state not in (EventState.PARKED, EventState.DEAD):
        return f"The event is {row.state}; there is nothing to replay.", f"/events/{event_id}"
    return await _replay(request, [row.id]), f"/events/{event_id}"


async def _cause_form(request: Request, tx: Tx) -> ActionForm:
    cause = _cause(request)
    ids = await ids_of_cause(tx, cause)
    number = min(len(ids), REPLAYED_MAX)
    return ActionForm(
        title=f"Replay {counted(number, 'event')}",
        lede=_WHAT_HAPPENS,
        button=f"Replay {number}",
        leave="Not now",
        back="/inbox",
        fields=(FormField("cause", "", cause, kind="hidden"),),
        facts=(("Cause", cause), ("Waiting", counted(len(ids), "event"))),
    )


def _cause(request: Request) -> str:
    form: FormData | None = getattr(request.state, "form", None)
    return str(form.get("cause", "") if form else request.query_params.get("cause", ""))


async def _replay_cause(request: Request, _: Viewer, given: FormData) -> tuple[str, str]:
    async with reading(request) as tx:
        ids = await ids_of_cause(tx, _cause(request))
    if not ids:
        raise InvalidField("cause", "no event waits for it any more")
    return await _replay(request, ids[:REPLAYED_MAX]), "/inbox"


async def _replay(request: Request, ids: list[int]) -> str:
    replay: ReplayEvents = request.app.state.replay_events
    done = await replay(ids)
    return f"{done.applied} applied, {done.parked} parked, {done.dead} need a person."


REPLAY_ONE = FormAction(_one_form, _replay_one)
REPLAY_CAUSE = FormAction(_cause_form, _replay_cause)

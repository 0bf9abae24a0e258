"""Replay of parked and dead events: one, or all that wait for the same reason."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.language import N_, _, ngettext
from app.console.pages.action_forms import ActionForm, FormAction, FormField
from app.console.pages.chrome import reading
from app.console.pages.events_page import ids_of_cause
from app.console.pages.ledger_acts import database_of
from app.console.pages.replaying_page import replaying_path
from app.console.routing import Viewer
from app.errors import InvalidField
from app.payments import event_queries
from app.payments.webhook.dead_letters import RetryResult, schedule_retry
from app.storage.engines import Tx
from app.storage.tables.stripe_events import EventState

# So many are tried at once, each in a transaction of its own; of more the worker is asked.
AT_ONCE_MAX = 25
_WHAT_HAPPENS = N_(
    "What was applied stays applied once: an event that applies now changes nothing twice."
)


class ReplayEvents(Protocol):
    """Applies stored events again, by their rows; the node asks Stripe where one needs it."""

    async def __call__(self, ids: Sequence[int]) -> RetryResult: ...


async def _one_form(request: Request, tx: Tx) -> ActionForm:
    row = await event_queries.load_event(tx, request.path_params["event_id"])
    return ActionForm(
        title=_("Replay %(type)s", type=row.type),
        lede=_WHAT_HAPPENS,
        button=_("Replay it"),
        leave=_("Not now"),
        back=f"/events/{row.event_id}",
        fields=(),
        facts=((_("Event"), row.event_id), (_("Waits for"), row.error or _("nothing"))),
    )


async def _replay_one(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    event_id: str = request.path_params["event_id"]
    async with reading(request) as tx:
        row = await event_queries.load_event(tx, event_id)
    if row.state not in (EventState.PARKED, EventState.DEAD):
        return _(
            "The event is %(state)s; there is nothing to replay.", state=row.state
        ), f"/events/{event_id}"
    return await _replay(request, [row.id]), f"/events/{event_id}"


async def _cause_form(request: Request, tx: Tx) -> ActionForm:
    cause = _cause(request)
    ids = await ids_of_cause(tx, cause)
    number = len(ids)
    return ActionForm(
        title=_("Replay %(count)s", count=ngettext("%(num)s event", "%(num)s events", number)),
        lede=_WHAT_HAPPENS,
        button=_("Replay %(number)s", number=number),
        leave=_("Not now"),
        back="/inbox",
        fields=(FormField("cause", "", cause, kind="hidden"),),
        facts=(
            (_("Cause"), cause),
            (_("Waiting"), ngettext("%(num)s event", "%(num)s events", len(ids))),
        ),
    )


def _cause(request: Request) -> str:
    form: FormData | None = getattr(request.state, "form", None)
    return str(form.get("cause", "") if form else request.query_params.get("cause", ""))


async def _replay_cause(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    async with reading(request) as tx:
        ids = await ids_of_cause(tx, _cause(request))
    if not ids:
        raise InvalidField("cause", "no event waits for it any more")
    if len(ids) <= AT_ONCE_MAX:
        return await _replay(request, ids), "/inbox"
    now: datetime = request.app.state.clock()
    number = await database_of(request).with_retry(lambda tx: schedule_retry(tx, ids, now))
    return _("The worker replays them."), replaying_path(now, number)


async def _replay(request: Request, ids: list[int]) -> str:
    replay: ReplayEvents = request.app.state.replay_events
    done = await replay(ids)
    return _(
        "%(applied)s applied, %(parked)s parked, %(dead)s need a person.",
        applied=done.applied,
        parked=done.parked,
        dead=done.dead,
    )


REPLAY_ONE = FormAction(_one_form, _replay_one)
REPLAY_CAUSE = FormAction(_cause_form, _replay_cause)

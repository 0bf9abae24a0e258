"""GET /events, /events/{event_id} and /inbox: what did Stripe send, and what became of it?"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, TextClause, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, ngettext
from app.console.pages.cells import ListCell, ListColumn, ListSection, opening, state_of
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.list_view import ListView, keyset_pager, show_list
from app.console.pages.listing import (
    LOOKED_AT_MAX,
    PAGE,
    FilterField,
    before_id,
    filter_bar,
    filter_values,
    tabs,
)
from app.console.pages.payload import shown_payload
from app.console.pages.payment_page import dashboard_url
from app.console.pages.wording import ViewerTime, event_state
from app.console.rendering import render
from app.console.routing import Viewer
from app.payments import event_queries
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, EventState, StripeEvent

EVENTS = table_of(StripeEvent)

# Parked and dead events that are grouped; more than so many have few causes.
GROUPED_MAX = 2000
EXAMPLES_MAX = 5
_PATH = "/events"
_STATES = (
    ("applied", N_("Applied")),
    ("ignored", N_("Of no consequence")),
    ("parked", N_("Parked")),
    ("dead", N_("Needs a person")),
)
_FIELDS = (
    FilterField("state", N_("State"), _STATES),
    FilterField("type", N_("Type"), hint="refund"),
)
_VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (N_("All"), {}),
    (N_("Applied"), {"state": "applied"}),
    (N_("Parked"), {"state": "parked"}),
    (N_("Needs a person"), {"state": "dead"}),
)
_COLUMNS = (
    ListColumn(N_("Event"), "text"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Payment"), "low", is_minor=True),
    ListColumn(N_("From"), "low", is_minor=True),
    ListColumn(N_("Received"), "when"),
)
# What differs between two events of one cause: ids, numbers, and texts in quotes.
_PARTICULARS = re.compile(r"\b[a-z]{2,6}_\w+|'[^']*'|\d[\d.,]*")


class ListedEvent(NamedTuple):
    """An event without its body."""

    id: int
    event_id: str
    type: str
    intent_id: str | None
    created_at: datetime
    received_at: datetime
    source: str
    state: str
    tries: int
    next_try_at: datetime | None
    error: str | None


class CauseGroup(NamedTuple):
    """Parked or dead events that wait for the same reason."""

    cause: str
    number: int
    dead: int
    oldest: str
    next_try: str
    event_ids: Sequence[str]
    examples: Sequence[ListedEvent]


async def events_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    before = before_id(request.query_params)
    async with reading(request) as tx:
        rows, next_before = await _read(tx, values, before)
        cells = [_cells(row, times) for row in rows]
        view = ListView(
            title=_("Events"),
            views=tabs(_PATH, _VIEWS, values),
            bar=filter_bar(_PATH, _FIELDS, values),
            sections=[ListSection(_("Events"), _COLUMNS, cells, _("No event fits"))],
            pager=keyset_pager(_PATH, values, before, next_before),
        )
        return await show_list(request, viewer, tx, view)


async def _read(
    tx: Tx, values: Mapping[str, str], before: int | None
) -> tuple[list[ListedEvent], int | None]:
    """A page of the newest events; of one state and type among those that are looked at."""
    place: list[ColumnElement[bool] | TextClause] = (
        [EVENTS.c.id < before] if before is not None else []
    )
    state = values.get("state")
    if state in (EventState.PARKED, EventState.DEAD):
        place.append(IS_PARKED_OR_DEAD)
    columns = (EVENTS.c.id, EVENTS.c.state, EVENTS.c.type)
    looked_at = select(*columns).where(*place).order_by(EVENTS.c.id.desc())
    window = looked_at.limit(LOOKED_AT_MAX).subquery()
    wanted: list[ColumnElement[bool]] = []
    if state:
        wanted.append(window.c.state == state)
    if "type" in values:
        wanted.append(window.c.type.contains(values["type"].lower(), autoescape=True))
    newest = select(window.c.id).where(*wanted).order_by(window.c.id.desc()).limit(PAGE + 1)
    ids = list(await tx.scalars(newest))
    found = select(*projection(EVENTS, ListedEvent)).where(EVENTS.c.id.in_(ids[:PAGE]))
    rows = await tx.execute(found.order_by(EVENTS.c.id.desc()))
    has_more = len(ids) > PAGE
    return [ListedEvent._make(row) for row in rows], ids[PAGE - 1] if has_more else None


def _cells(row: ListedEvent, times: ViewerTime) -> list[ListCell]:
    return [
        opening(row.type, f"/events/{row.event_id}", row.event_id),
        state_of(event_state(row.state, row.error)),
        ListCell(row.intent_id or "", f"/payments/{row.intent_id}" if row.intent_id else None),
        ListCell(row.source),
        ListCell(times.short(row.received_at)),
    ]


# --- one event ---------------------------------------------------------------------------------


async def event_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        row = await event_queries.load_event(tx, request.path_params["event_id"])
        payload = shown_payload(row.payload, viewer.role)
        return await show(
            request,
            viewer,
            tx,
            "event.html",
            row=row,
            state=event_state(row.state, row.error),
            payload=payload,
            dashboard=dashboard_url(request, "events", row.event_id),
            created=times.full(row.created_at),
            received=times.full(row.received_at),
            next_try=times.full(row.next_try_at) if row.next_try_at else "",
        )


async def event_payload(request: Request, viewer: Viewer) -> Response:
    """The body alone, for a story that unfolds it."""
    async with reading(request) as tx:
        row = await event_queries.load_event(tx, request.path_params["event_id"])
    payload = shown_payload(row.payload, viewer.role)
    return render(request, viewer, "payload.html", payload=payload, event_id=row.event_id)


# --- the inbox ---------------------------------------------------------------------------------


async def inbox_page(request: Request, viewer: Viewer) -> Response:
    """Parked and dead events by their cause, the most frequent first."""
    times = times_of(request, viewer)
    async with reading(request) as tx:
        groups = await load_cause_groups(tx, times)
        return await show(
            request,
            viewer,
            tx,
            "inbox.html",
            groups=groups,
            total=ngettext("%(num)s event", "%(num)s events", sum(one.number for one in groups)),
            is_capped=sum(one.number for one in groups) >= GROUPED_MAX,
        )


async def load_cause_groups(tx: Tx, times: ViewerTime) -> list[CauseGroup]:
    wanted = select(*projection(EVENTS, ListedEvent)).where(IS_PARKED_OR_DEAD)
    rows = await tx.execute(wanted.order_by(EVENTS.c.id).limit(GROUPED_MAX))
    by_cause: dict[str, list[ListedEvent]] = {}
    for row in rows:
        one = ListedEvent._make(row)
        by_cause.setdefault(cause_of(one.error), []).append(one)
    groups = [_group(cause, some, times) for cause, some in by_cause.items()]
    return sorted(groups, key=lambda one: -one.number)


def cause_of(error: str | None) -> str:
    """The error without what is particular to one event."""
    return _PARTICULARS.sub("…", error or "no reason is known")


def _group(cause: str, rows: Sequence[ListedEvent], times: ViewerTime) -> CauseGroup:
    tries = [row.next_try_at for row in rows if row.next_try_at is not None]
    return CauseGroup(
        cause,
        len(rows),
        sum(row.state == EventState.DEAD for row in rows),
        times.ago(min(row.received_at for row in rows)),
        times.full(min(tries)) if tries else "",
        [row.event_id for row in rows],
        rows[:EXAMPLES_MAX],
    )


async def ids_of_cause(tx: Tx, cause: str) -> list[int]:
    """The rows of the parked and dead events of one cause."""
    columns = (EVENTS.c.id, EVENTS.c.error)
    wanted = select(*columns).where(IS_PARKED_OR_DEAD).order_by(EVENTS.c.id)
    rows = await tx.execute(wanted.limit(GROUPED_MAX))
    return [row.id for row in rows if cause_of(row.error) == cause]

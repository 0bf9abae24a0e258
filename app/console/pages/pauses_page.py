"""GET /pauses: does autopay run, and whom does it leave alone? With a switch that stops it all."""

from collections.abc import Collection, Sequence
from datetime import date

from sqlalchemy import Select, select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _
from app.console.pages.action_forms import (
    REASON,
    ActionForm,
    FormAction,
    FormField,
    text_given,
)
from app.console.pages.cells import ListCell, ListColumn, ListSection, opening
from app.console.pages.chrome import id_in_path, load_stop, reading, show, times_of
from app.console.pages.ledger_acts import database_of, who
from app.console.pages.wording import ViewerTime
from app.console.routing import Viewer
from app.errors import InvalidField, NotFound
from app.ledger import autopay_pauses
from app.ledger.autopay_pauses import Pause
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)

_PATH = "/pauses"
# Pauses that the page shows; more of them are an API's.
SHOWN_MAX = 200
_COLUMNS = (
    ListColumn(N_("Of"), "name"),
    ListColumn(N_("Reason")),
    ListColumn(N_("Until"), "low"),
    ListColumn(N_("Paused by"), "low"),
    ListColumn(N_("Since"), "when", is_order=True),
    ListColumn(N_("End it"), "low"),
)
UNTIL = FormField(
    "until", N_("Until, or empty for as long as nobody ends it"), kind="optional", hint="2026-12-24"
)


async def pauses_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        pauses = await autopay_pauses.list_pauses(tx, most=SHOWN_MAX)
        names = await _names(tx, pauses)
        rows = [_cells(one, names[one.id], times) for one in reversed(pauses)]
        everything = await load_stop(tx, times)
        return await show(
            request,
            viewer,
            tx,
            "pauses.html",
            everything=everything,
            since=times.full(everything.paused_at) if everything else "",
            until=_until(everything, times) if everything else "",
            section=ListSection(_("Pauses"), _COLUMNS, rows, _("Nobody is paused")),
        )


def _until(one: Pause, times: ViewerTime) -> str:
    return (
        _("until %(day)s", day=times.day(one.until)) if one.until else _("until somebody ends it")
    )


def _cells(one: Pause, name: str, times: ViewerTime) -> list[ListCell]:
    href = (
        f"/invoices/{one.invoice_id}"
        if one.invoice_id
        else f"/clients/{one.client_id}"
        if one.client_id
        else ""
    )
    return [
        opening(name, href) if href else ListCell(name),
        ListCell(one.reason),
        ListCell(times.day(one.until) if one.until else _("somebody ends it")),
        ListCell(one.paused_by),
        ListCell(times.short(one.paused_at), title=times.full(one.paused_at)),
        ListCell(_("End…"), f"{_PATH}/{one.id}/end", is_act=True),
    ]


async def _names(tx: Tx, pauses: Sequence[Pause]) -> dict[int, str]:
    """The name of what each pause is of."""
    clients = {one.client_id for one in pauses if one.client_id is not None}
    invoices = {one.invoice_id for one in pauses if one.invoice_id is not None}
    client_names = await _by_id(tx, select(CLIENTS.c.id, CLIENTS.c.name), clients)
    numbers = await _by_id(tx, select(INVOICES.c.id, INVOICES.c.invoicenumber), invoices)
    names = {}
    for one in pauses:
        if one.invoice_id is not None:
            names[one.id] = numbers.get(one.invoice_id) or _(
                "Invoice %(invoice_id)s", invoice_id=one.invoice_id
            )
        elif one.client_id is not None:
            names[one.id] = client_names.get(one.client_id) or _(
                "Client %(client_id)s", client_id=one.client_id
            )
        else:
            names[one.id] = _("Everything")
    return names


async def _by_id(
    tx: Tx, wanted: Select[int, str | None], ids: Collection[int]
) -> dict[int, str | None]:
    first = wanted.selected_columns[0]
    return {row[0]: row[1] for row in await tx.execute(wanted.where(first.in_(ids)))}


# --- the switch and its like -------------------------------------------------------------------


async def _pause_all_form(request: Request, tx: Tx) -> ActionForm:
    return ActionForm(
        title=_("Pause everything"),
        lede=_(
            "Autopay charges nobody until you let it go on. What is at Stripe already "
            "ends as it will; webhooks, refunds and payments by hand go on."
        ),
        button=_("Pause everything"),
        leave=_("Let it run"),
        back=_PATH,
        fields=(REASON, UNTIL),
        is_dangerous=True,
    )


async def _pause_all(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    await pause_of(request, viewer, given)
    return _("Autopay charges nobody."), _PATH


async def pause_of(
    request: Request,
    viewer: Viewer,
    given: FormData,
    *,
    client_id: int | None = None,
    invoice_id: int | None = None,
) -> None:
    """A pause with the form's reason and end, as the API makes one."""
    reason, until = text_given(given, "reason"), _until_given(request, viewer, given)

    async def work(tx: Tx) -> None:
        await autopay_pauses.pause(
            tx,
            client_id=client_id,
            invoice_id=invoice_id,
            reason=reason,
            until=until,
            who=who(viewer),
            now=request.app.state.clock(),
        )

    await database_of(request).with_retry(work)


def _until_given(request: Request, viewer: Viewer, given: FormData) -> date | None:
    """The first day on which autopay goes on, which is to come."""
    text = str(given.get("until", "")).strip()
    if not text:
        return None
    try:
        until = date.fromisoformat(text)
    except ValueError:
        raise InvalidField("until", f"{text!r} is no day such as 2026-12-24") from None
    if until <= times_of(request, viewer).today:
        raise InvalidField("until", "is a day to come")
    return until


async def _end_form(request: Request, tx: Tx) -> ActionForm:
    one = await _open_pause(request, tx)
    name = (await _names(tx, [one]))[one.id]
    return ActionForm(
        title=_("Let autopay go on: %(name)s", name=name if _is_of_one(one) else _("everything")),
        lede=_("The next run charges what has become due meanwhile."),
        button=_("Let autopay go on"),
        leave=_("Leave it paused"),
        back=_PATH,
        fields=(),
        facts=((_("Reason"), one.reason), (_("Paused by"), one.paused_by)),
    )


def _is_of_one(one: Pause) -> bool:
    return one.client_id is not None or one.invoice_id is not None


async def _open_pause(request: Request, tx: Tx) -> Pause:
    pause_id = id_in_path(request, "pause_id", "pause")
    for one in await autopay_pauses.list_pauses(tx):
        if one.id == pause_id:
            return one
    raise NotFound("pause", pause_id)


async def _end(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    pause_id = id_in_path(request, "pause_id", "pause")

    async def work(tx: Tx) -> None:
        now = request.app.state.clock()
        await autopay_pauses.end_pause(tx, pause_id, who=who(viewer), now=now)

    await database_of(request).with_retry(work)
    return _("Autopay goes on."), _PATH


PAUSE_ALL = FormAction(_pause_all_form, _pause_all)
END_PAUSE = FormAction(_end_form, _end)

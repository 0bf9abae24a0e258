"""GET /links: which pay links open something, and what may visitors still pay by them?"""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _
from app.console.pages.action_forms import ActionForm, FormAction
from app.console.pages.cells import ListCell, ListColumn, ListSection, opening, state_of
from app.console.pages.chrome import id_in_path, reading, times_of
from app.console.pages.ledger_acts import database_of, who
from app.console.pages.list_view import ListView, show_list
from app.console.pages.listing import FilterField, filter_values, tabs
from app.console.pages.wording import ShownState, Tone, ViewerTime
from app.console.routing import Viewer
from app.errors import NotFound, Unavailable
from app.halo.pay_link_actions import CloseLinkSessions
from app.ledger import link_sessions, pay_links
from app.ledger.link_sessions import OpenLinkSession
from app.ledger.pay_links import StoredPayLink
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)

_PATH = "/links"
# Links that the page shows; the API and `paydue links list` have more.
SHOWN_MAX = 200
_COLUMNS = (
    ListColumn(N_("For"), "name"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Page at Stripe"), "state"),
    ListColumn(N_("Good until"), "low"),
    ListColumn(N_("Made by"), "low", is_minor=True),
    ListColumn(N_("Made"), "when", is_order=True),
    ListColumn(N_("Revoke it"), "low"),
)
_FIELDS = (FilterField("show", N_("Show"), (("all", N_("All")),)),)
_VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (N_("Open"), {}),
    (N_("All"), {"show": "all"}),
)


async def links_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    async with reading(request) as tx:
        found = await link_sessions.list_open(tx)
        sessions = {one.link_id: one for one in found if one.ends_at > times.now}
        links = await _links(tx, sessions, times, every="show" in values)
        names = await _names(tx, links)
        may_revoke = viewer.role.includes("support")
        rows = [
            _cells(one, names[one.id], sessions.get(one.id), times, may_revoke=may_revoke)
            for one in links
        ]
        hint = _("paydue links make --invoice 1042 makes one, and so does POST /api/PayLink.")
        view = ListView(
            title=_("Pay links"),
            lede=_("By a link customers see what they owe and pay it, without login."),
            views=tabs(_PATH, _VIEWS, values),
            sections=[
                ListSection(
                    _("Pay links"), _COLUMNS, rows, _("No link opens anything"), empty_hint=hint
                )
            ],
        )
        return await show_list(request, viewer, tx, view)


async def _links(
    tx: Tx, sessions: Mapping[int, OpenLinkSession], times: ViewerTime, *, every: bool
) -> list[StoredPayLink]:
    """The links that open something, and those whose page at Stripe may still be paid; or all."""
    listed = list(await pay_links.list_links(tx, times.now, every=every, most=SHOWN_MAX))
    known = {one.id for one in listed}
    for link_id in sorted(sessions.keys() - known):
        if (link := await pay_links.find_by_id(tx, link_id)) is not None:
            listed.append(link)
    return sorted(listed, key=lambda one: -one.id)


def _cells(
    one: StoredPayLink,
    name: str,
    session: OpenLinkSession | None,
    times: ViewerTime,
    *,
    may_revoke: bool,
) -> list[ListCell]:
    is_client = one.invoice_id is None
    href = f"/clients/{one.client_id}" if is_client else f"/invoices/{one.invoice_id}"
    why = _("All that the client owes") if is_client else ""
    page = _page_state(one, session, times)
    act = (
        ListCell(_("Revoke…"), f"{_PATH}/{one.id}/revoke", is_act=True)
        if may_revoke and one.is_open(times.now)
        else ListCell()
    )
    return [
        opening(name, href, why),
        state_of(_state(one, times)),
        state_of(page) if page else ListCell(),
        ListCell(times.short(one.expires_at), title=times.full(one.expires_at)),
        ListCell(one.made_by),
        ListCell(times.short(one.made_at), title=times.full(one.made_at)),
        act,
    ]


def _state(one: StoredPayLink, times: ViewerTime) -> ShownState:
    if one.revoked_at is not None:
        why = _("by %(who)s, %(when)s", who=one.revoked_by, when=times.short(one.revoked_at))
        return ShownState(Tone.NONE, "no", _("Revoked"), why)
    if not one.is_open(times.now):
        return ShownState(Tone.NONE, "clock", _("Expired"))
    return ShownState(Tone.GOOD, "check", _("Open"))


def _page_state(
    link: StoredPayLink, one: OpenLinkSession | None, times: ViewerTime
) -> ShownState | None:
    """The page at Stripe that a visitor may have open, and whether it is being expired."""
    if one is None:
        return None
    until = _("until %(when)s", when=times.short(one.ends_at))
    if one.error:
        why = _("%(until)s; Stripe: %(error)s", until=until, error=one.error)
        return ShownState(Tone.BAD, "warn", _("May still be paid"), why)
    if link.revoked_at is not None:
        return ShownState(Tone.WAIT, "clock", _("Being expired"), until)
    return ShownState(Tone.GO, "card", _("Open"), until)


async def _names(tx: Tx, links: Sequence[StoredPayLink]) -> dict[int, str]:
    """The invoice's number or the client's name that each link is for."""
    invoice_ids = {one.invoice_id for one in links if one.invoice_id is not None}
    client_ids = {one.client_id for one in links if one.client_id is not None}
    numbers = await tx.execute(
        select(INVOICES.c.id, INVOICES.c.invoicenumber).where(INVOICES.c.id.in_(invoice_ids))
    )
    clients = await tx.execute(
        select(CLIENTS.c.id, CLIENTS.c.name).where(CLIENTS.c.id.in_(client_ids))
    )
    by_invoice = {row.id: row.invoicenumber for row in numbers}
    by_client = {row.id: row.name for row in clients}
    return {
        one.id: by_client.get(one.client_id or 0)
        or by_invoice.get(one.invoice_id or 0)
        or _("Invoice %(invoice_id)s", invoice_id=one.invoice_id)
        for one in links
    }


# --- revoking ----------------------------------------------------------------------------------


async def _revoke_form(request: Request, tx: Tx) -> ActionForm:
    link = await _open_link(request, tx)
    name = (await _names(tx, [link]))[link.id]
    return ActionForm(
        title=_("Revoke the link for %(name)s", name=name),
        lede=_(
            "Its address opens nothing any more, and the page at Stripe that a visitor has open "
            "is expired. What was paid stays paid."
        ),
        button=_("Revoke the link"),
        leave=_("Leave it open"),
        back=_PATH,
        fields=(),
        facts=((_("Made by"), link.made_by),),
        is_dangerous=True,
    )


async def _open_link(request: Request, tx: Tx) -> StoredPayLink:
    link_id = id_in_path(request, "link_id", "link")
    link = await pay_links.find_by_id(tx, link_id)
    if link is None or link.revoked_at is not None:
        raise NotFound("link", link_id)
    return link


async def _revoke(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    link_id = id_in_path(request, "link_id", "link")

    async def work(tx: Tx) -> None:
        now = request.app.state.clock()
        await pay_links.revoke_link(tx, link_id, who=who(viewer), now=now)

    await database_of(request).with_retry(work)
    close: CloseLinkSessions = request.app.state.close_link_sessions
    try:
        may_be_paid = await close(link_id)
    except Unavailable:  # no key here: the worker closes it
        may_be_paid = ["unknown"]
    if may_be_paid:
        return _("The link is revoked. Its page at Stripe may still be paid: see below."), _PATH
    return _("The link is revoked."), _PATH


REVOKE = FormAction(_revoke_form, _revoke)

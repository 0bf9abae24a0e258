"""GET /clients and /clients/{id}: who owes what, how do they pay, and what waits?"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import and_, func, or_, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, ngettext
from app.console.pages.cells import ListCell, ListColumn, ListSection, opening, state_of
from app.console.pages.chrome import id_in_path, reading, show, times_of
from app.console.pages.invoices_page import invoices_section
from app.console.pages.invoices_reads import ListedInvoice, load_listed_invoices
from app.console.pages.list_view import ListView, show_list
from app.console.pages.listing import PAGE, FilterField, Pager, address, filter_bar, filter_values
from app.console.pages.payload import masked_email
from app.console.pages.payment_page import dashboard_url
from app.console.pages.payments_page import payments_section
from app.console.pages.payments_reads import load_payment_lines
from app.console.pages.repeated_page import WITHIN, load_repeated
from app.console.pages.story import Phrase
from app.console.pages.wording import (
    ShownAmount,
    ShownState,
    Tone,
    ViewerTime,
    method_name,
    shown_amount,
)
from app.console.people.roles import Role
from app.console.routing import Viewer
from app.errors import NotFound
from app.ledger.autopay_pauses import Pause, load_pauses
from app.rules.repeated_payment import PaidAmount
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.fulltext import TRIGRAM, search_parameters
from app.storage.prepared import projection
from app.storage.tables.clients import CLIENT_SEARCH, Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)
SHARES = table_of(InvoicePayment)

# The open invoices of a client that are added up, and the rows that its page shows of each kind.
SUMMED_MAX = 2000
SHOWN_MAX = 25
# The newest payments of a client among which one amount paid twice is looked for.
REPEATED_LOOKED_AT = 500
_PATH = "/clients"
_FIELDS = (FilterField("name", N_("Name"), hint=N_("part of the name")),)
_COLUMNS = (
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Pays with"), "low"),
    ListColumn(N_("E-mail"), "low", is_minor=True),
    ListColumn(N_("Stripe customer"), "low", is_minor=True),
)


PAUSED = ShownState(Tone.WAIT, "pause", N_("Autopay paused"))


class ClientRow(NamedTuple):
    """A client as lists and its own page show it."""

    id: int
    name: str
    email: str | None
    timezone: str | None
    inactive: bool
    stripe_customer_id: str | None
    stripe_payment_method_id: str | None
    stripe_payment_method_name: str | None
    stripe_saved_method_id: str | None


class ClientMoney(NamedTuple):
    """The amounts of a client in one currency."""

    owed: Sequence[ShownAmount]
    open_count: int
    credit: Sequence[ShownAmount]


async def clients_page(request: Request, viewer: Viewer) -> Response:
    values = filter_values(request.query_params, _FIELDS)
    async with reading(request) as tx:
        rows = await _read(tx, request, values.get("name"))
        page = rows[:PAGE]
        following = None
        if len(rows) > PAGE:
            last = page[-1]
            following = address(_PATH, {**values, "after": last.name, "id": last.id})
        first = address(_PATH, values) if "after" in request.query_params else None
        cells = [_cells(row, viewer.role) for row in page]
        view = ListView(
            title=_("Clients"),
            sections=[ListSection(_("Clients, by name"), _COLUMNS, cells, _("No client fits"))],
            bar=filter_bar(_PATH, _FIELDS, values),
            pager=Pager(first, following, _("More"), ""),
        )
        return await show_list(request, viewer, tx, view)


async def _read(tx: Tx, request: Request, name: str | None) -> list[ClientRow]:
    """A page by name, behind the last row of the page before."""
    wanted = select(*projection(CLIENTS, ClientRow))
    given = request.query_params
    last_id = given.get("id", "")
    if "after" in given and last_id.isascii() and last_id.isdigit() and len(last_id) < 19:
        after, last = given["after"], int(last_id)
        same_name = and_(CLIENTS.c.name == after, CLIENTS.c.id > last)
        wanted = wanted.where(or_(CLIENTS.c.name > after, same_name))
    if name is not None and len(name) >= TRIGRAM:
        wanted = wanted.where(CLIENT_SEARCH.holds("q"))
    elif name is not None:
        wanted = wanted.where(CLIENTS.c.name == name)
    ordered = wanted.order_by(CLIENTS.c.name, CLIENTS.c.id).limit(PAGE + 1)
    rows = await tx.execute(ordered, search_parameters("q", name or ""))
    return [ClientRow._make(row) for row in rows]


def _cells(row: ClientRow, role: Role) -> list[ListCell]:
    return [
        opening(row.name, f"/clients/{row.id}"),
        state_of(client_state(row)),
        ListCell(_pays_with(row)),
        ListCell(masked_email(row.email, role)),
        ListCell(row.stripe_customer_id or ""),
    ]


def client_state(row: ClientRow) -> ShownState:
    """Whether autopay can charge the client at all."""
    if row.inactive:
        return ShownState(Tone.NONE, "pause", _("Inactive"))
    if row.stripe_customer_id is None:
        return ShownState(Tone.WAIT, "warn", _("No Stripe customer"))
    return ShownState(Tone.GOOD, "check", _("Active"))


def _pays_with(row: ClientRow) -> str:
    if row.stripe_payment_method_name:
        return method_name(row.stripe_payment_method_name)
    if row.stripe_payment_method_id:
        return _("Its own method")
    return _("The default at Stripe") if row.stripe_customer_id else ""


# --- one client --------------------------------------------------------------------------------


async def client_page(request: Request, viewer: Viewer) -> Response:
    client_id = id_in_path(request, "client_id", "Client")
    times = times_of(request, viewer)
    async with reading(request) as tx:
        row = await load_client(tx, client_id)
        money = await _money(tx, client_id)
        pauses = [one for one in await list_own_pauses(tx, client_id) if one.holds_on(times.today)]
        customer = row.stripe_customer_id
        return await show(
            request,
            viewer,
            tx,
            "client.html",
            client=row,
            state=PAUSED if pauses and not row.inactive else client_state(row),
            is_paused=bool(pauses) or row.inactive,
            sentence=[*_sentence(row, money), *_paused(pauses, times)],
            repeated=_repeated(await load_repeated(tx, [client_id], REPEATED_LOOKED_AT), client_id),
            email=masked_email(row.email, viewer.role),
            pays_with=_pays_with(row),
            invoices=invoices_section(await _open(tx, client_id), times),
            payments=payments_section(
                await load_payment_lines(tx, await _newest_payments(tx, client_id), times),
                with_client=False,
            ),
            dashboard=dashboard_url(request, "customers", customer) if customer else "",
        )


async def list_own_pauses(tx: Tx, client_id: int) -> list[Pause]:
    """The client's own pauses that nobody has ended; those of everything are not its own."""
    pauses = await load_pauses(tx, [client_id], [])
    return [one for one in pauses if one.client_id == client_id]


def _paused(pauses: Sequence[Pause], times: ViewerTime) -> list[Phrase]:
    told = []
    for one in pauses:
        until = _(" until %(day)s", day=times.day(one.until)) if one.until else ""
        text = _(
            " Autopay charges nothing of it%(until)s: %(paused_by)s paused it on ",
            until=until,
            paused_by=one.paused_by,
        )
        told.append(Phrase(f"{text}{times.day_of(one.paused_at)}, “{one.reason}”."))
    return told


async def load_client(tx: Tx, client_id: int) -> ClientRow:
    wanted = select(*projection(CLIENTS, ClientRow)).where(CLIENTS.c.id == client_id)
    row = (await tx.execute(wanted)).one_or_none()
    if row is None:
        raise NotFound("Client", client_id)
    return ClientRow._make(row)


async def _money(tx: Tx, client_id: int) -> ClientMoney:
    """The amounts that it owes on its newest invoices, and its credit, each by currency."""
    due = (
        select(INVOICES.c.currency_iso, INVOICES.c.amountdue)
        .where(INVOICES.c.client_id == client_id, INVOICES.c.id > 0, HAS_AMOUNT_DUE)
        .order_by(INVOICES.c.id.desc())
        .limit(SUMMED_MAX)
        .subquery()
    )
    totals = select(due.c.currency_iso, func.count(), func.sum(due.c.amountdue))
    owed = [tuple(row) for row in await tx.execute(totals.group_by(due.c.currency_iso))]
    credit = (
        select(SHARES.c.currency_iso, func.sum(SHARES.c.counted))
        .where(SHARES.c.client_id == client_id, SHARES.c.invoice_id.is_(None))
        .group_by(SHARES.c.currency_iso)
    )
    return ClientMoney(
        [shown_amount(total, currency) for currency, _, total in sorted(owed)],
        sum(count for _, count, _ in owed),
        [
            shown_amount(total, currency)
            for currency, total in await tx.execute(credit)
            if total > Decimal(0)
        ],
    )


def _sentence(row: ClientRow, money: ClientMoney) -> list[Phrase]:
    if not money.owed:
        told = [Phrase(_("Owes nothing."), is_strong=True)]
    else:
        amounts = _(" and ").join(one.text for one in money.owed)
        invoices = ngettext("%(num)s open invoice", "%(num)s open invoices", money.open_count)
        told = [
            Phrase(_("Owes ")),
            Phrase(amounts, is_strong=True),
            Phrase(_(" on %(invoices)s.", invoices=invoices)),
        ]
    if money.credit:
        credit = _(" and ").join(one.text for one in money.credit)
        told += [
            Phrase(_(" %(credit)s of its money is ", credit=credit)),
            Phrase(_("on no invoice"), href="/unapplied"),
        ]
        told.append(Phrase("."))
    if row.inactive:
        told.append(Phrase(_(" Autopay charges nothing of it, for it is inactive.")))
    elif row.stripe_customer_id is None:
        told.append(Phrase(_(" Autopay cannot charge it: no Stripe customer is set.")))
    return told


def _repeated(groups: Sequence[Sequence[PaidAmount]], client_id: int) -> list[Phrase]:
    """The answer to `was I charged twice?`"""
    if not groups:
        return [Phrase(_("No amount was paid twice within %(days)s days.", days=WITHIN.days))]
    amounts = [shown_amount(one[0].amount, one[0].currency).text for one in groups]
    told = _(
        "%(amounts)s came more than once within %(days)s days: ",
        amounts=", ".join(dict.fromkeys(amounts)),
        days=WITHIN.days,
    )
    return [
        Phrase(told),
        Phrase(_("look whether one is too many"), href=f"/repeated?client={client_id}"),
    ]


async def _open(tx: Tx, client_id: int) -> list[ListedInvoice]:
    ids = await tx.scalars(
        select(INVOICES.c.id)
        .where(INVOICES.c.client_id == client_id, INVOICES.c.id > 0, HAS_AMOUNT_DUE)
        .order_by(INVOICES.c.id.desc())
        .limit(SHOWN_MAX)
    )
    return await load_listed_invoices(tx, list(ids))


async def _newest_payments(tx: Tx, client_id: int) -> list[int]:
    newest = select(SHARES.c.id).where(SHARES.c.client_id == client_id)
    return list(await tx.scalars(newest.order_by(SHARES.c.id.desc()).limit(SHOWN_MAX)))

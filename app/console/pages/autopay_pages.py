"""GET /attempts: what became of each try to charge?"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _
from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, state_of
from app.console.pages.chrome import reading, times_of
from app.console.pages.list_view import ListView, keyset_pager, show_list
from app.console.pages.listing import (
    PAGE,
    FilterField,
    before_id,
    filter_values,
    tabs,
)
from app.console.pages.wording import (
    LastTry,
    ViewerTime,
    attempt_state,
    shown_amount,
)
from app.console.routing import Viewer
from app.rules import money
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

ATTEMPTS = table_of(ChargeAttempt)
CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)

_ATTEMPT_COLUMNS = (
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("Invoice"), "low"),
    ListColumn(N_("Try"), "num", is_minor=True),
    ListColumn(N_("When"), "when"),
)
_FIELDS = (FilterField("state", N_("State"), (("unresolved", N_("Not ended")),)),)
_VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (N_("All"), {}),
    (N_("Not ended"), {"state": "unresolved"}),
)


class ListedTry(NamedTuple):
    """An attempt, as a row."""

    id: int
    invoice_id: int
    number: int
    state: str
    amount_minor: int
    currency: str
    intent_id: str | None
    created_at: datetime
    code: str | None
    decline_code: str | None
    reason: str | None
    next_try_on: date | None
    is_consolidated: bool | None
    invoicenumber: str | None
    client_name: str | None


async def attempts_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    before = before_id(request.query_params)
    async with reading(request) as tx:
        rows = await _tries(tx, before, unresolved="state" in values)
        next_before = rows[PAGE - 1].id if len(rows) > PAGE else None
        cells = [_try_cells(row, times) for row in rows[:PAGE]]
        view = ListView(
            title=_("Attempts"),
            views=tabs("/attempts", _VIEWS, values),
            sections=[ListSection(_("Attempts"), _ATTEMPT_COLUMNS, cells, _("No attempt fits"))],
            pager=keyset_pager("/attempts", values, before, next_before),
        )
        return await show_list(request, viewer, tx, view)


async def _tries(tx: Tx, before: int | None, *, unresolved: bool) -> list[ListedTry]:
    own = [ATTEMPTS.c[name] for name in ListedTry._fields[:-2]]
    place = [ATTEMPTS.c.id < before] if before is not None else []
    if unresolved:
        place.append(IS_UNRESOLVED)
    wanted = (
        select(*own, INVOICES.c.invoicenumber, CLIENTS.c.name.label("client_name"))
        .join_from(ATTEMPTS, INVOICES, INVOICES.c.id == ATTEMPTS.c.invoice_id)
        .outerjoin(CLIENTS, CLIENTS.c.id == INVOICES.c.client_id)
        .where(*place)
        .order_by(ATTEMPTS.c.id.desc())
        .limit(PAGE + 1)
    )
    return [ListedTry._make(row) for row in await tx.execute(wanted)]


def _try_cells(row: ListedTry, times: ViewerTime) -> list[ListCell]:
    amount = money.from_minor(row.amount_minor, row.currency)
    last = LastTry(row.state, row.next_try_on, row.decline_code, row.code, row.reason)
    href = f"/payments/{row.intent_id}" if row.intent_id else f"/invoices/{row.invoice_id}"
    together = _("and others") if row.is_consolidated else ""
    return [
        amount_of(shown_amount(amount, row.currency), href),
        state_of(attempt_state(last, times)),
        ListCell(row.client_name or ""),
        ListCell(row.invoicenumber or str(row.invoice_id), f"/invoices/{row.invoice_id}", together),
        ListCell(str(row.number)),
        ListCell(times.short(row.created_at)),
    ]

"""GET /invoices: which are open, which are overdue, and what is left to pay?"""

from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.chrome import reading, show, times_of
from app.console.pages.csv_export import AT_ONCE, csv_response, selected_ids
from app.console.pages.invoices_reads import (
    FIELDS,
    VIEWS,
    ListedInvoice,
    invoice_row,
    invoices_window,
    load_listed_invoices,
)
from app.console.pages.listing import (
    before_id,
    filter_bar,
    filter_values,
    read_ids,
    read_window,
    tabs,
    window_count,
    window_pager,
)
from app.console.pages.wording import ViewerTime, invoice_state
from app.console.routing import Viewer
from app.rules.spreadsheet import Cell, amount_cell

PATH = "/invoices"


async def invoices_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, FIELDS)
    before = before_id(request.query_params)
    async with reading(request) as tx:
        window, errors = await invoices_window(tx, values, times)
        page = await read_window(tx, window, before)
        rows = await load_listed_invoices(tx, page.ids)
        return await show(
            request,
            viewer,
            tx,
            "invoices.html",
            rows=[invoice_row(row, times) for row in rows],
            views=tabs(PATH, VIEWS, values),
            bar=filter_bar(PATH, FIELDS, values, errors),
            counts=f"{window_count(page, 'invoice')}, left to pay:",
            sums=page.sums,
            pager=window_pager(PATH, values, page, times, noun="invoice", before=before),
            query_string=request.url.query,
        )


async def export_invoices(request: Request, viewer: Viewer) -> Response:
    """The ticked invoices, or all that the filters find, as CSV."""
    ids = selected_ids(request.query_params)
    times = times_of(request, viewer)
    rows = _chosen(request, ids, times) if ids else _all(request, times)
    return csv_response("invoices.csv", _HEADER, rows)


_HEADER = (
    "id", "number", "client_id", "client", "date", "due", "total", "left", "currency", "state",
    "autopay",
)  # fmt: skip


async def _chosen(
    request: Request, ids: Sequence[int], times: ViewerTime
) -> AsyncIterator[Sequence[Cell]]:
    async with reading(request) as tx:
        rows = await load_listed_invoices(tx, ids)
    for row in rows:
        yield _cells(row, times)


async def _all(request: Request, times: ViewerTime) -> AsyncIterator[Sequence[Cell]]:
    values = filter_values(request.query_params, FIELDS)
    before: int | None = None
    while True:
        async with reading(request) as tx:
            window, _ = await invoices_window(tx, values, times)
            page = await read_ids(tx, window, before, AT_ONCE)
            rows = await load_listed_invoices(tx, page.ids)
        for row in rows:
            yield _cells(row, times)
        if page.next_before is None:
            return
        before = page.next_before


def _cells(row: ListedInvoice, times: ViewerTime) -> Sequence[Cell]:
    return (
        row.id,
        row.invoicenumber,
        row.client_id,
        row.client_name,
        row.invoice_date.date().isoformat() if row.invoice_date else None,
        row.duedate.isoformat() if row.duedate else None,
        amount_cell(row.total, row.currency_iso),
        amount_cell(row.amountdue, row.currency_iso),
        row.currency_iso.upper(),
        invoice_state(row.facts, times).text,
        "yes" if row.facts.is_flagged else "no",
    )

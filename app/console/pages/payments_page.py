"""GET /payments: which payments, how much, and what is odd? And the same as a file."""

from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.chrome import reading, show, times_of
from app.console.pages.csv_export import AT_ONCE, csv_response, selected_ids
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
from app.console.pages.payments_reads import (
    FIELDS,
    VIEWS,
    ListedPayment,
    load_listed_payments,
    load_payment_lines,
    payments_window,
)
from app.console.pages.wording import words_of
from app.console.routing import Viewer
from app.rules.payment import PaymentStatus
from app.rules.spreadsheet import Cell, amount_cell

PATH = "/payments"


async def payments_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, FIELDS)
    before = before_id(request.query_params)
    async with reading(request) as tx:
        window, errors = await payments_window(tx, values, times.now)
        page = await read_window(tx, window, before)
        return await show(
            request,
            viewer,
            tx,
            "payments.html",
            lines=await load_payment_lines(tx, page.ids, times),
            views=tabs(PATH, VIEWS, values),
            bar=filter_bar(PATH, FIELDS, values, errors),
            counts=f"{window_count(page, 'payment')}, taken:",
            sums=page.sums,
            pager=window_pager(PATH, values, page, times, noun="payment", before=before),
            query_string=request.url.query,
        )


async def export_payments(request: Request, viewer: Viewer) -> Response:
    """The ticked payments, or all that the filters find, as CSV."""
    ids = selected_ids(request.query_params)
    if ids:
        return csv_response("payments.csv", _HEADER, _chosen(request, ids))
    return csv_response("payments.csv", _HEADER, _all(request, viewer))


_HEADER = (
    "id", "date", "amount", "currency", "counted", "refunded", "state", "client_id", "client",
    "invoice_id", "invoice", "method", "intent_id",
)  # fmt: skip


async def _chosen(request: Request, ids: Sequence[int]) -> AsyncIterator[Sequence[Cell]]:
    async with reading(request) as tx:
        rows = await load_listed_payments(tx, ids)
    for row in rows:
        yield _cells(row)


async def _all(request: Request, viewer: Viewer) -> AsyncIterator[Sequence[Cell]]:
    """Page by page, each in a snapshot of its own, so that a long file holds no connection."""
    times = times_of(request, viewer)
    values = filter_values(request.query_params, FIELDS)
    before: int | None = None
    while True:
        async with reading(request) as tx:
            window, _ = await payments_window(tx, values, times.now)
            page = await read_ids(tx, window, before, AT_ONCE)
            rows = await load_listed_payments(tx, page.ids)
        for row in rows:
            yield _cells(row)
        if page.next_before is None:
            return
        before = page.next_before


def _cells(row: ListedPayment) -> Sequence[Cell]:
    amounts = (row.amount, row.counted, row.amount_refunded)
    amount, counted, refunded = (amount_cell(one, row.currency_iso) for one in amounts)
    return (
        row.id,
        row.date.isoformat(timespec="seconds"),
        amount,
        row.currency_iso.upper(),
        counted,
        refunded,
        words_of(PaymentStatus(row.status).name.lower()),
        row.client_id,
        row.client_name,
        row.invoice_id,
        row.invoicenumber,
        row.payment_method_name,
        row.intent_id,
    )

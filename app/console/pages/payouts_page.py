"""GET /payouts and /payouts/{id}: what reaches the bank, when, and of what is it made?"""

from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, state_of
from app.console.pages.chrome import reading, times_of
from app.console.pages.list_view import HeadLink, ListView, show_list
from app.console.pages.payment_page import dashboard_url
from app.console.pages.wording import ViewerTime, counted, payout_state, shown_amount, words_of
from app.console.routing import Viewer
from app.ledger import payout_lines
from app.ledger.payout_lines import PayoutLine, PayoutTotals

# The newest payouts, and the lines of one that a page shows; `paydue payouts` writes all of them.
PAYOUTS_MAX = 50
LINES_MAX = 200
_COLUMNS = (
    ListColumn("Amount", "money"),
    ListColumn("State", "state"),
    ListColumn("Arrives", "low"),
    ListColumn("Lines", "num"),
    ListColumn("Fees", "num", is_minor=True),
    ListColumn("Id", "id"),
)
_LINE_COLUMNS = (
    ListColumn("Net", "money"),
    ListColumn("Kind"),
    ListColumn("Client", "name"),
    ListColumn("Invoices", "low"),
    ListColumn("Gross", "num", is_minor=True),
    ListColumn("Fee", "num", is_minor=True),
)


async def payouts_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        rows = await payout_lines.list_payouts(tx, PAYOUTS_MAX)
        cells = [_cells(row, times) for row in rows]
        view = ListView(
            title="Payouts",
            lede="The newest payouts to the bank. A month as CSV: paydue payouts.",
            sections=[ListSection("Payouts", _COLUMNS, cells, "No payout is known yet")],
        )
        return await show_list(request, viewer, tx, view)


def _cells(row: PayoutTotals, times: ViewerTime) -> list[ListCell]:
    one = row.payout
    state = payout_state(one.status)
    if row.warning:
        state = state._replace(why=row.warning)
    return [
        amount_of(shown_amount(one.amount, one.currency_iso), f"/payouts/{one.payout_id}"),
        state_of(state),
        ListCell(times.day(one.arrival_date)),
        ListCell(f"{row.sums.lines:,}"),
        ListCell(shown_amount(row.sums.fee, one.currency_iso).number),
        ListCell(one.payout_id),
    ]


async def payout_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    payout_id: str = request.path_params["payout_id"]
    async with reading(request) as tx:
        totals = await payout_lines.load_payout(tx, payout_id)
        lines: list[PayoutLine] = []
        async for line in payout_lines.iterate_lines(tx, payout_id):
            lines.append(line)
            if len(lines) >= LINES_MAX:
                break
        one = totals.payout
        amount = shown_amount(one.amount, one.currency_iso)
        cells = [_line_cells(line) for line in lines]
        view = ListView(
            title=f"Payout of {amount.text}",
            lede=_lede(totals, times),
            links=[HeadLink("Stripe", dashboard_url(request, "payouts", payout_id), "out")],
            sections=[ListSection("Lines", _LINE_COLUMNS, cells, "Its lines are not read yet")],
            counts=_counts(totals),
        )
        return await show_list(request, viewer, tx, view)


def _lede(totals: PayoutTotals, times: ViewerTime) -> str:
    one = totals.payout
    day = f"{times.day(one.arrival_date)}, {times.distance(one.arrival_date)}"
    reaches = "Reached" if one.status == "paid" else "Reaches"
    failed = f" It failed: {words_of(one.failure_code)}." if one.failure_code else ""
    warning = f" {totals.warning[:1].upper()}{totals.warning[1:]}." if totals.warning else ""
    return f"{reaches} your bank on {day}.{failed}{warning}"


def _counts(totals: PayoutTotals) -> str:
    currency = totals.payout.currency_iso
    gross, fee, net = (
        shown_amount(one, currency).number
        for one in (totals.sums.gross, totals.sums.fee, totals.sums.net)
    )
    lines = counted(totals.sums.lines, "line")
    shown = f", the first {LINES_MAX} shown" if totals.sums.lines > LINES_MAX else ""
    return f"{lines}{shown}: {gross} gross, {fee} in fees, {net} net"


def _line_cells(line: PayoutLine) -> list[ListCell]:
    row = line.row
    href = f"/payments/{line.intent_id}" if line.intent_id else None
    invoices = line.invoices
    more = f" +{len(invoices) - 2}" if len(invoices) > 2 else ""
    return [
        amount_of(shown_amount(row.net, row.currency_iso), href),
        ListCell(words_of(row.type), why=row.description or ""),
        ListCell(line.client_name or ""),
        ListCell(", ".join(invoices[:2]) + more),
        ListCell(shown_amount(row.amount, row.currency_iso).number),
        ListCell(shown_amount(row.fee, row.currency_iso).number),
    ]

"""GET /payouts and /payouts/{id}: what reaches the bank, when, and of what is it made?"""

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, ngettext, number_text
from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, state_of
from app.console.pages.chrome import reading, times_of
from app.console.pages.list_view import HeadLink, ListView, show_list
from app.console.pages.payment_page import dashboard_url
from app.console.pages.wording import ViewerTime, payout_state, shown_amount, words_of
from app.console.routing import Viewer
from app.ledger import payout_lines
from app.ledger.payout_lines import PayoutLine, PayoutTotals

# The newest payouts, and the lines of one that a page shows; `paydue payouts` writes all of them.
PAYOUTS_MAX = 50
LINES_MAX = 200
_COLUMNS = (
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Arrives"), "low"),
    ListColumn(N_("Lines"), "num"),
    ListColumn(N_("Fees"), "num", is_minor=True),
    ListColumn(N_("Id"), "id"),
)
_LINE_COLUMNS = (
    ListColumn(N_("Net"), "money"),
    ListColumn(N_("Kind")),
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("Invoices"), "low"),
    ListColumn(N_("Gross"), "num", is_minor=True),
    ListColumn(N_("Fee"), "num", is_minor=True),
)


async def payouts_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        rows = await payout_lines.list_payouts(tx, PAYOUTS_MAX)
        cells = [_cells(row, times) for row in rows]
        view = ListView(
            title=_("Payouts"),
            lede=_("The newest payouts to the bank. A month as CSV: paydue payouts."),
            sections=[ListSection(_("Payouts"), _COLUMNS, cells, _("No payout is known yet"))],
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
        ListCell(number_text(row.sums.lines)),
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
            title=_("Payout of %(amount)s", amount=amount.text),
            lede=_lede(totals, times),
            links=[HeadLink("Stripe", dashboard_url(request, "payouts", payout_id), "out")],
            sections=[
                ListSection(_("Lines"), _LINE_COLUMNS, cells, _("Its lines are not read yet"))
            ],
            counts=_counts(totals),
        )
        return await show_list(request, viewer, tx, view)


def _lede(totals: PayoutTotals, times: ViewerTime) -> str:
    one = totals.payout
    day = f"{times.day(one.arrival_date)}, {times.distance(one.arrival_date)}"
    reaches = _("Reached") if one.status == "paid" else _("Reaches")
    failed = (
        _(" It failed: %(reason)s.", reason=words_of(one.failure_code)) if one.failure_code else ""
    )
    warning = f" {totals.warning[:1].upper()}{totals.warning[1:]}." if totals.warning else ""
    return _(
        "%(reaches)s your bank on %(day)s.%(failed)s%(warning)s",
        reaches=reaches,
        day=day,
        failed=failed,
        warning=warning,
    )


def _counts(totals: PayoutTotals) -> str:
    currency = totals.payout.currency_iso
    gross, fee, net = (
        shown_amount(one, currency).number
        for one in (totals.sums.gross, totals.sums.fee, totals.sums.net)
    )
    lines = ngettext("%(num)s line", "%(num)s lines", totals.sums.lines)
    shown = (
        _(", the first %(lines_max)s shown", lines_max=LINES_MAX)
        if totals.sums.lines > LINES_MAX
        else ""
    )
    return _(
        "%(lines)s%(shown)s: %(gross)s gross, %(fee)s in fees, %(net)s net",
        lines=lines,
        shown=shown,
        gross=gross,
        fee=fee,
        net=net,
    )


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

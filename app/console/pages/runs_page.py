"""GET /runs and /runs/{run_id}: what did autopay do, and was it as the dry run said?"""

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, number_text
from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, opening, state_of
from app.console.pages.chrome import id_in_path, reading, times_of
from app.console.pages.csv_export import csv_response
from app.console.pages.ledger_acts import database_of
from app.console.pages.list_view import HeadLink, ListView, show_list
from app.console.pages.listing import FilterField, Pager, address, filter_values, tabs
from app.console.pages.wording import (
    ShownAmount,
    ShownState,
    Tone,
    ViewerTime,
    duration,
    midsentence,
    shown_amount,
)
from app.console.routing import Viewer
from app.payments.autopay import run_history
from app.payments.autopay.report import OutcomeKind
from app.payments.autopay.run_history import RunState, StoredRun
from app.rules.spreadsheet import Cell, amount_cell
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)

_PATH = "/runs"
RUNS_MAX = 50
# Outcomes of a page; a stored row of them has a whole number of pages.
SHOWN = 50
# Rows of a dry run that are compared, of run_history.PAGE outcomes each.
COMPARED_ROWS_MAX = 20
_COLUMNS = (
    ListColumn(N_("Day"), "low"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Outcomes")),
    ListColumn(N_("Charged"), "low"),
    ListColumn(N_("Begun by"), "low", is_minor=True),
    ListColumn(N_("Took"), "low", is_minor=True),
    ListColumn(N_("Began"), "when", is_order=True),
)
_OUTCOME_COLUMNS = (
    ListColumn(N_("Invoice"), "low"),
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("Outcome"), "state"),
    ListColumn(N_("In the dry run"), "state"),
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("Rule"), "low", is_minor=True),
)
_STATES = {
    RunState.RUNNING: ShownState(Tone.GO, "clock", N_("Running")),
    RunState.FINISHED: ShownState(Tone.GOOD, "check", N_("Finished")),
    RunState.STOPPED: ShownState(Tone.WAIT, "pause", N_("Stopped")),
    RunState.FAILED: ShownState(Tone.BAD, "no", N_("Failed")),
    RunState.HELD: ShownState(Tone.WAIT, "user", N_("Waits for a person")),
    RunState.APPROVED: ShownState(Tone.GOOD, "check", N_("Approved")),
}
_OUTCOMES = {
    OutcomeKind.CHARGED: ShownState(Tone.GOOD, "check", N_("Charged")),
    OutcomeKind.PENDING: ShownState(Tone.GO, "clock", N_("Processing")),
    OutcomeKind.DECLINED: ShownState(Tone.WAIT, "retry", N_("Declined")),
    OutcomeKind.HELD: ShownState(Tone.WAIT, "pause", N_("Held")),
    OutcomeKind.UNKNOWN: ShownState(Tone.WAIT, "clock", N_("Waits for Stripe")),
    OutcomeKind.SKIPPED: ShownState(Tone.NONE, "no", N_("Not charged")),
    OutcomeKind.FAILED: ShownState(Tone.BAD, "warn", N_("Broken")),
}
_FILE_HEADER = (
    "invoice_id", "outcome", "amount", "currency", "rule", "reason", "change", "next_try",
    "intent_id",
)  # fmt: skip
_FIELDS = (FilterField("show", N_("Show"), (("changed", N_("Otherwise than the dry run")),)),)
_VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (N_("All"), {}),
    (N_("Otherwise than the dry run"), {"show": "changed"}),
)

StoredOutcome = Mapping[str, Any]


async def runs_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        rows = await run_history.list_runs(tx, most=RUNS_MAX)
        cells = [_cells(row, times) for row in rows]
        view = ListView(
            title=_("Runs"),
            lede=_("The newest runs of autopay, with what became of each invoice. "
                   "A dry run is kept by paydue autopay run --dry-run --keep."),
            sections=[ListSection(_("Runs"), _COLUMNS, cells, _("Autopay has not run yet"))],
        )  # fmt: skip
        return await show_list(request, viewer, tx, view)


def _cells(run: StoredRun, times: ViewerTime) -> list[ListCell]:
    return [
        opening(times.day(run.business_day), f"{_PATH}/{run.id}"),
        state_of(_state(run)),
        ListCell(_counts(run)),
        ListCell(", ".join(one.text for one in _charged(run))),
        ListCell(run.started_by),
        ListCell("" if run.duration_s is None else duration(run.duration_s)),
        ListCell(times.short(run.started_at), title=times.full(run.started_at)),
    ]


def _state(run: StoredRun) -> ShownState:
    if run.is_dry:
        return ShownState(Tone.NONE, "chart", _("Dry run"))
    return _STATES[RunState(run.state)]._replace(why=run.reason)


def _counts(run: StoredRun) -> str:
    """`12 charged, 3 not charged`"""
    return ", ".join(
        f"{number_text(count)} {midsentence(str(_outcome_state(kind).text))}"
        for kind, count in (run.counts or {}).items()
        if count
    )


def _charged(run: StoredRun) -> list[ShownAmount]:
    """The sums of what was charged, or is being charged."""
    sums = run.sums_of(OutcomeKind.CHARGED, OutcomeKind.PENDING)
    return [shown_amount(total, one) for one, total in sorted(sums.items())]


def _outcome_state(kind: str) -> ShownState:
    return _OUTCOMES[OutcomeKind(kind)]


# --- one run -----------------------------------------------------------------------------------


async def run_page(request: Request, viewer: Viewer) -> Response:
    run_id = id_in_path(request, "run_id", "run")
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    path = f"{_PATH}/{run_id}"
    async with reading(request) as tx:
        run = await run_history.load_run(tx, run_id)
        dry = await run_history.find_dry_run(tx, run)
        expected = await _expected(tx, dry)
        start = _start(request)
        if "show" in values:
            shown, following = await _changed(tx, run_id, expected, start)
        else:
            shown, following = await _outcomes(tx, run_id, start)
        first = address(path, values) if start else None
        after = address(path, {**values, "from": following}) if following else None
        view = ListView(
            title=_("Run of %(day)s", day=times.day(run.business_day)),
            lede=_lede(run, dry, times),
            links=[HeadLink(_("Export CSV"), f"{path}/outcomes.csv", "down")],
            views=tabs(path, _VIEWS, values) if dry else (),
            sections=[
                ListSection(
                    _("Outcomes"),
                    _OUTCOME_COLUMNS,
                    await _outcome_cells(tx, shown, expected if dry else None, times),
                    _("No outcome fits") if values else _("No invoice was looked at"),
                )
            ],
            counts=_counts(run),
            sums=_charged(run),
            pager=Pager(first, after, _("More"), _note(expected)),
        )
        return await show_list(request, viewer, tx, view)


def _start(request: Request) -> int:
    """The place of the first outcome that is shown, from 0 on."""
    given = request.query_params.get("from", "")
    usable = given.isascii() and given.isdigit() and len(given) < 10
    return int(given) if usable else 0


async def _outcomes(tx: Tx, run_id: int, start: int) -> tuple[Sequence[StoredOutcome], int | None]:
    """SHOWN outcomes from a place on, and the place behind them."""
    row, within = divmod(start, run_history.PAGE)
    page = await run_history.load_outcomes(tx, run_id, row)
    shown = page[within : within + SHOWN]
    is_last = len(page) < run_history.PAGE and within + SHOWN >= len(page)
    return shown, None if is_last or not shown else start + len(shown)


async def _changed(
    tx: Tx, run_id: int, expected: Mapping[int, str], start: int
) -> tuple[Sequence[StoredOutcome], int | None]:
    """Outcomes that are not as the dry run said, from a place on."""
    found: list[StoredOutcome] = []
    place, page = start, await run_history.load_outcomes(tx, run_id, start // run_history.PAGE)
    last_row = start // run_history.PAGE + COMPARED_ROWS_MAX
    while True:
        for one in page[place % run_history.PAGE :]:
            place += 1
            if expected.get(one["invoice_id"]) != one["outcome"]:
                found.append(one)
            if len(found) == SHOWN:
                return found, place
        row = place // run_history.PAGE
        if len(page) < run_history.PAGE or row >= last_row:
            return found, place if row >= last_row else None
        page = await run_history.load_outcomes(tx, run_id, row)


async def _expected(tx: Tx, dry: StoredRun | None) -> dict[int, str]:
    """The outcome of each invoice in the dry run, of as many as are compared."""
    expected: dict[int, str] = {}
    for row in range(COMPARED_ROWS_MAX if dry else 0):
        assert dry is not None, "without a dry run no row is read"
        page = await run_history.load_outcomes(tx, dry.id, row)
        expected |= {one["invoice_id"]: str(one["outcome"]) for one in page}
        if len(page) < run_history.PAGE:
            break
    return expected


def _note(expected: Mapping[int, str]) -> str:
    most = COMPARED_ROWS_MAX * run_history.PAGE
    if len(expected) < most:
        return ""
    return _("Compared with the first %(number)s of the dry run", number=number_text(most))


def _lede(run: StoredRun, dry: StoredRun | None, times: ViewerTime) -> str:
    began = _("%(who)s began it on %(time)s.", who=run.started_by, time=times.full(run.started_at))
    if run.is_dry:
        return f"{began} {_('It was a dry run: nobody was charged.')}"
    state = _state(run)
    ended = f" {state.text}: {run.reason}." if run.reason else ""
    if run.state == RunState.HELD:
        ended += " " + _("paydue runs approve %(run_id)s --by NAME lets it charge.", run_id=run.id)
    if dry is None:
        return began + ended
    beside = _("Beside it stands the dry run of %(time)s.", time=times.full(dry.started_at))
    return f"{began}{ended} {beside}"


async def _outcome_cells(
    tx: Tx, outcomes: Sequence[StoredOutcome], expected: Mapping[int, str] | None, times: ViewerTime
) -> list[list[ListCell]]:
    ids = [one["invoice_id"] for one in outcomes]
    rows = await tx.execute(
        select(INVOICES.c.id, INVOICES.c.invoicenumber, CLIENTS.c.name)
        .join_from(INVOICES, CLIENTS, CLIENTS.c.id == INVOICES.c.client_id, isouter=True)
        .where(INVOICES.c.id.in_(ids))
    )
    known = {row[0]: (row[1], row[2]) for row in rows}
    cells = []
    for one in outcomes:
        invoice_id = one["invoice_id"]
        number, client = known.get(invoice_id, (None, None))
        cells.append(
            [
                opening(number or str(invoice_id), f"/invoices/{invoice_id}"),
                amount_of(shown_amount(Decimal(one["amount"]), one["currency"])),
                state_of(_outcome_state(one["outcome"])._replace(why=one.get("reason"))),
                _beside(invoice_id, one["outcome"], expected),
                ListCell(client or ""),
                ListCell(one.get("rule") or ""),
            ]
        )
    return cells


def _beside(invoice_id: int, outcome: str, expected: Mapping[int, str] | None) -> ListCell:
    """The outcome of the dry run; the same one is said in a word."""
    if expected is None:
        return ListCell()
    if expected.get(invoice_id) == outcome:
        return state_of(ShownState(Tone.NONE, "same", _("The same")))
    if invoice_id not in expected:
        return state_of(ShownState(Tone.NONE, "no", _("Not in it")))
    state = _outcome_state(expected[invoice_id])
    return state_of(state._replace(tone=Tone.WAIT))


async def run_file(request: Request, viewer: Viewer) -> Response:
    """All outcomes of a run as CSV, read row by row while they are sent."""
    run_id = id_in_path(request, "run_id", "run")
    database = database_of(request)
    async with reading(request) as tx:
        await run_history.load_run(tx, run_id)

    async def rows() -> AsyncIterator[Sequence[Cell]]:
        async for one in run_history.outcomes_of(database, run_id):
            yield _file_cells(one)

    return csv_response(f"run-{run_id}.csv", _FILE_HEADER, rows())


def _file_cells(one: StoredOutcome) -> list[Cell]:
    exact = amount_cell(Decimal(one["amount"]), one["currency"])
    return [exact if name == "amount" else one.get(name) for name in _FILE_HEADER]

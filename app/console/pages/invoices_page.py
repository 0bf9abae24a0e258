"""GET /invoices: which are open, which are overdue, and what is left to pay?"""

from collections.abc import Collection, Sequence

from app.console.language import N_, _, plural_
from app.console.pages.cells import (
    ListCell,
    ListColumn,
    ListSection,
    Tick,
    amount_of,
    opening,
    state_of,
)
from app.console.pages.invoices_reads import (
    FIELDS,
    VIEWS,
    ListedInvoice,
    invoices_window,
    load_listed_invoices,
)
from app.console.pages.window_list import WindowList
from app.console.pages.wording import ViewerTime, invoice_state, shown_amount
from app.rules import money
from app.rules.spreadsheet import Cell, amount_cell
from app.storage.engines import Tx

_NUMBER = ListColumn(N_("Number"), "low")
_LEFT = ListColumn(N_("Left to pay"), "money")
_STATE = ListColumn(N_("State"), "state")
_DUE = ListColumn(N_("Due"), "when")


def invoices_section(rows: Sequence[ListedInvoice], times: ViewerTime) -> ListSection:
    """Open invoices as a table of another page, such as their client's."""
    cells = [
        [
            _number(row),
            _left_to_pay(row),
            state_of(invoice_state(row.facts, times)),
            _due(row, times),
        ]
        for row in rows
    ]
    return ListSection(
        _("Open invoices"), (_NUMBER, _LEFT, _STATE, _DUE), cells, _("No open invoice")
    )  # fmt: skip


def _cells(row: ListedInvoice, times: ViewerTime) -> list[ListCell]:
    return [
        _number(row),
        _left_to_pay(row),
        state_of(invoice_state(row.facts, times)),
        _client(row),
        ListCell(shown_amount(row.total, row.currency_iso).number),
        _due(row, times),
    ]


def _number(row: ListedInvoice) -> ListCell:
    return opening(row.invoicenumber or str(row.id), f"/invoices/{row.id}")


def _left_to_pay(row: ListedInvoice) -> ListCell:
    return amount_of(shown_amount(row.amountdue, row.currency_iso))


def _client(row: ListedInvoice) -> ListCell:
    if row.client_id is None:
        return ListCell()
    name = row.client_name or str(row.client_id)
    return ListCell(name, f"/clients/{row.client_id}", title=name)


def _due(row: ListedInvoice, times: ViewerTime) -> ListCell:
    return ListCell(times.day(row.duedate) if row.duedate else "")


def _tick(row: ListedInvoice) -> Tick:
    places = money.exponent(row.currency_iso)
    label = _("Select %(invoice)s", invoice=row.invoicenumber or row.id)
    return Tick(row.id, label, row.currency_iso.upper(), int(row.amountdue.scaleb(places)), places)


async def _load_rows(tx: Tx, ids: Collection[int], _: ViewerTime) -> list[ListedInvoice]:
    return await load_listed_invoices(tx, ids)


def _file_cells(row: ListedInvoice, times: ViewerTime) -> Sequence[Cell]:
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
        str(invoice_state(row.facts, times).text),
        "yes" if row.facts.is_flagged else "no",
    )


INVOICE_LIST = WindowList(
    path="/invoices",
    title=N_("Invoices"),
    counted=plural_("%(num)s invoice", "%(num)s invoices"),
    empty=N_("No invoice fits"),
    sums_of=N_("left to pay"),
    fields=FIELDS,
    views=VIEWS,
    columns=(
        _NUMBER, _LEFT, _STATE, ListColumn(N_("Client"), "name"),
        ListColumn(N_("Total"), "num", is_minor=True), _DUE,
    ),
    load_window=invoices_window,
    load_rows=_load_rows,
    cells=_cells,
    tick=_tick,
    file_header=(
        "id", "number", "client_id", "client", "date", "due", "total", "left", "currency", "state",
        "autopay",
    ),
    file_cells=_file_cells,
)  # fmt: skip

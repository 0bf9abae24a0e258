"""GET /payments: which payments, how much, and what is odd? And the same as a file."""

from collections.abc import Sequence

from app.console.language import N_, _, plural_
from app.console.pages.cells import ListCell, ListColumn, ListSection, Tick, amount_of, state_of
from app.console.pages.payments_reads import (
    FIELDS,
    VIEWS,
    PaymentLine,
    load_payment_lines,
    payments_window,
)
from app.console.pages.window_list import WindowList
from app.console.pages.wording import ViewerTime, words_of
from app.rules.payment import PaymentStatus
from app.rules.spreadsheet import Cell, amount_cell

_AMOUNT = ListColumn(N_("Amount"), "money")
_STATE = ListColumn(N_("State"), "state")
_CLIENT = ListColumn(N_("Client"), "name")
_INVOICE = ListColumn(N_("Invoice"), "low")
_METHOD = ListColumn(N_("Method"), "low", is_minor=True)
_WHEN = ListColumn(N_("When"), "when", is_order=True)
_INTENT = ListColumn(N_("Intent"), "id")


def payments_section(lines: Sequence[PaymentLine], *, with_client: bool = True) -> ListSection:
    """Payments as a table of another page: of one client, or of one invoice."""
    whose = _CLIENT if with_client else _INVOICE
    rows = [_short_cells(line, with_client=with_client) for line in lines]
    columns = (_AMOUNT, _STATE, whose, _METHOD, _WHEN)
    return ListSection(_("Payments"), columns, rows, _("No payment yet"))


def _short_cells(line: PaymentLine, *, with_client: bool) -> list[ListCell]:
    return [
        amount_of(line.amount, line.href),
        state_of(line.state),
        ListCell(line.row.client_name or "") if with_client else _invoice(line),
        ListCell(line.method),
        ListCell(line.when),
    ]


def _cells(line: PaymentLine, times: ViewerTime) -> list[ListCell]:
    return [
        amount_of(line.amount, line.href),
        state_of(line.state),
        _client(line),
        _invoice(line),
        ListCell(line.method),
        ListCell(line.when, title=times.full(line.row.date)),
        ListCell(line.row.intent_id or ""),
    ]


def _client(line: PaymentLine) -> ListCell:
    row = line.row
    if row.client_id is None:
        return ListCell(_("Not known"), is_dim=True)
    name = row.client_name or str(row.client_id)
    return ListCell(name, f"/clients/{row.client_id}", title=name)


def _invoice(line: PaymentLine) -> ListCell:
    row = line.row
    if row.invoice_id is not None:
        return ListCell(row.invoicenumber or str(row.invoice_id), f"/invoices/{row.invoice_id}")
    if row.counted <= 0:
        return ListCell()
    return ListCell(_("Assign…"), f"/unapplied/{row.id}", is_act=True)


def _tick(line: PaymentLine) -> Tick:
    label = _("Select %(amount)s", amount=line.amount.text)
    return Tick(line.row.id, label, line.amount.currency, line.minor, line.places)


def _file_cells(line: PaymentLine, _: ViewerTime) -> Sequence[Cell]:
    row = line.row
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


PAYMENT_LIST = WindowList(
    path="/payments",
    title=N_("Payments"),
    counted=plural_("%(num)s payment", "%(num)s payments"),
    sums_of=N_("taken"),
    empty=N_("No payment fits"),
    fields=FIELDS,
    views=VIEWS,
    columns=(_AMOUNT, _STATE, _CLIENT, _INVOICE, _METHOD, _WHEN, _INTENT),
    load_window=payments_window,
    load_rows=load_payment_lines,
    cells=_cells,
    tick=_tick,
    file_header=(
        "id", "date", "amount", "currency", "counted", "refunded", "state", "client_id", "client",
        "invoice_id", "invoice", "method", "intent_id",
    ),
    file_cells=_file_cells,
)  # fmt: skip

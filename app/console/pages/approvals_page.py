"""GET /approvals: which charges wait for a person's yes, and why? And the form that says it."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation

from sqlalchemy import select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, ngettext
from app.console.pages.action_forms import (
    REASON,
    ActionForm,
    FormAction,
    FormField,
    text_given,
)
from app.console.pages.cells import ListCell, ListColumn, ListSection, Tick, amount_of
from app.console.pages.chrome import ID_DIGITS_MAX, id_in_path, reading, times_of
from app.console.pages.csv_export import selected_ids
from app.console.pages.ledger_acts import database_of, who
from app.console.pages.list_view import ListView, show_list
from app.console.pages.listing import PAGE, Pager, address, before_id
from app.console.pages.wording import ShownAmount, ViewerTime, shown_amount
from app.console.people.roles import Role
from app.console.routing import Viewer
from app.errors import InvalidField, NotFound
from app.ledger import approvals
from app.ledger.approvals import ApprovalState, ChargeApproval, QueueRow
from app.rules import money
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client

CLIENTS = table_of(Client)

_PATH = "/approvals"
_SELECTED = "/approvals/selected"
# Held charges that the form names; the sums are of all.
NAMED_MAX = 20
_COLUMNS = (
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("Why it waits")),
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("Invoice"), "low"),
    ListColumn(N_("Since"), "when"),
)


async def approvals_page(request: Request, viewer: Viewer) -> Response:
    """The longest held first: a page of them behind the one that `before` names."""
    times = times_of(request, viewer)
    after = before_id(request.query_params)
    async with reading(request) as tx:
        rows = await approvals.list_waiting(tx, after=after or 0, most=PAGE + 1)
        shown = rows[:PAGE]
        names = await _client_names(tx, {one.approval.client_id for one in shown})
        following = address(_PATH, {"before": shown[-1].approval.id}) if len(rows) > PAGE else None
        cells = [_cells(one, names, viewer.role, times) for one in shown]
        view = ListView(
            title=_("Approvals"),
            lede=_("Autopay holds these until a person decides: a rule or a limit asks for it."),
            sections=[_section(shown, cells, viewer.role)],
            pager=Pager(_PATH if after is not None else None, following, _("More"), ""),
        )
        return await show_list(request, viewer, tx, view)


def _section(
    rows: Sequence[QueueRow], cells: Sequence[Sequence[ListCell]], role: Role
) -> ListSection:
    """Those who may decide select several, and decide about them together."""
    section = ListSection(_("Approvals"), _COLUMNS, cells, _("No charge waits for approval"))
    if not role.includes(Role.FINANCE):
        return section
    return section._replace(
        ticks=[_tick(row) for row in rows], file=_SELECTED, tick_button=_("Decide about these…")
    )


def _tick(row: QueueRow) -> Tick:
    one = row.approval
    places = money.exponent(one.currency)
    label = _("Select %(invoice)s", invoice=row.invoicenumber or one.invoice_id)
    minor = int(one.amount.scaleb(places))
    return Tick(one.invoice_id, label, one.currency.upper(), minor, places)


async def _client_names(tx: Tx, ids: set[int | None]) -> dict[int | None, str]:
    found = select(CLIENTS.c.id, CLIENTS.c.name).where(CLIENTS.c.id.in_(ids - {None}))
    return {client_id: name for client_id, name in await tx.execute(found)}


def _cells(
    row: QueueRow, names: dict[int | None, str], role: Role, times: ViewerTime
) -> list[ListCell]:
    one = row.approval
    invoice = f"/invoices/{one.invoice_id}"
    decides = f"{_PATH}/{one.invoice_id}" if role.includes(Role.FINANCE) else invoice
    return [
        amount_of(shown_amount(one.amount, one.currency), decides),
        ListCell(
            one.reason,
            why=_("Rule %(rule_name)s", rule_name=one.rule_name) if one.rule_name else "",
        ),
        ListCell(names.get(one.client_id, "")),
        ListCell(row.invoicenumber or str(one.invoice_id), invoice),
        ListCell(times.short(one.held_at), title=times.full(one.held_at)),
    ]


# --- the decision ------------------------------------------------------------------------------


def _invoice_id(request: Request) -> int:
    return id_in_path(request, "invoice_id", "held invoice")


async def _decision_form(request: Request, tx: Tx) -> ActionForm:
    invoice_id = _invoice_id(request)
    one = (await approvals.load_current(tx, [invoice_id])).get(invoice_id)
    if one is None:
        raise NotFound("held invoice", invoice_id)
    amount = shown_amount(one.amount, one.currency)
    decided = (
        ((one.state.capitalize(), _("by %(decided_by)s", decided_by=one.decided_by)),)
        if one.decided_by
        else ()
    )
    return ActionForm(
        title=_("Charge %(amount)s?", amount=amount.text),
        lede=_(
            "Approved, the next run charges this amount or less, once. Rejected, "
            "autopay leaves the invoice alone until somebody approves."
        ),
        button=_("Decide"),
        leave=_("Not now"),
        back=_PATH,
        fields=(
            FormField("decision", _("Your decision"), "", choices=_DECISIONS),
            REASON,
            # What the person was shown is what is approved.
            FormField("amount", "", str(one.amount), kind="hidden"),
        ),
        facts=((_("Why"), one.reason), *decided),
    )


_DECISIONS = (
    (ApprovalState.APPROVED, N_("Approve the charge")),
    (ApprovalState.REJECTED, N_("Reject it")),
)


async def _decide(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, reason = _invoice_id(request), text_given(given, "reason")
    decision = _decision(given)
    amount = _decimal(str(given.get("amount", "")))

    async def work(tx: Tx) -> None:
        await approvals.decide(
            tx,
            {invoice_id: amount},
            decision,
            who=who(viewer),
            reason=reason,
            now=request.app.state.clock(),
        )

    await database_of(request).with_retry(work)
    return _("The charge is %(decision)s.", decision=decision), _PATH


def _decision(given: FormData) -> ApprovalState:
    decision = str(given.get("decision", ""))
    if decision not in dict(_DECISIONS):
        raise InvalidField("decision", "is to approve or to reject")
    return ApprovalState(decision)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise InvalidField("amount", "is not the one that was shown; open the page again") from None


# --- a decision about several ------------------------------------------------------------------


async def _selected_form(request: Request, tx: Tx) -> ActionForm:
    """Each held charge with its amount; a form that is sent again has those that it showed."""
    given: FormData | None = getattr(request.state, "form", None)
    ids = list(_amounts_shown(given)) if given else selected_ids(request.query_params)
    held = await approvals.load_current(tx, ids)
    waiting = [held[one] for one in ids if one in held]
    if not waiting:
        raise InvalidField("id", "names no held charge: select some on the page before")
    return ActionForm(
        title=ngettext("Decide about %(num)s charge", "Decide about %(num)s charges", len(waiting)),
        lede=_("Approved, the next run charges each of these amounts or less, once. All are "
               "decided, or none: one that has changed since is named, and nothing is done."),
        button=_("Decide"),
        leave=_("Not now"),
        back=_PATH,
        fields=(
            FormField("decision", _("Your decision"), "", choices=_DECISIONS),
            REASON,
            *(FormField("held", "", f"{one.invoice_id}:{one.amount}", kind="hidden")
              for one in waiting),
        ),
        facts=(
            (_("In all"), ", ".join(one.text for one in _sums(waiting))),
            *((_("Invoice %(invoice_id)s", invoice_id=one.invoice_id),
               f"{shown_amount(one.amount, one.currency).text}: {one.reason}")
              for one in waiting[:NAMED_MAX]),
        ),
    )  # fmt: skip


def _sums(waiting: Iterable[ChargeApproval]) -> list[ShownAmount]:
    sums: dict[str, Decimal] = {}
    for one in waiting:
        sums[one.currency] = sums.get(one.currency, Decimal(0)) + one.amount
    return [shown_amount(total, currency) for currency, total in sorted(sums.items())]


def _amounts_shown(given: FormData) -> dict[int, Decimal | None]:
    """The held charges of the form, each with the amount that it showed."""
    amounts: dict[int, Decimal | None] = {}
    for one in given.getlist("held"):
        invoice_id, _colon, amount = str(one).partition(":")
        if not invoice_id.isascii() or not invoice_id.isdigit() or len(invoice_id) > ID_DIGITS_MAX:
            raise InvalidField("held", "is not what the page had; open it again")
        amounts[int(invoice_id)] = _decimal(amount)
    return amounts


async def _decide_selected(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    reason, decision = text_given(given, "reason"), _decision(given)
    amounts = _amounts_shown(given)

    async def work(tx: Tx) -> None:
        now = request.app.state.clock()
        await approvals.decide(tx, amounts, decision, who=who(viewer), reason=reason, now=now)

    await database_of(request).with_retry(work)
    said = ngettext(
        "%(num)s charge is %(decision)s.", "%(num)s charges are %(decision)s.", len(amounts),
        decision=decision,
    )  # fmt: skip
    return said, _PATH


DECIDE = FormAction(_decision_form, _decide)
DECIDE_SELECTED = FormAction(_selected_form, _decide_selected)

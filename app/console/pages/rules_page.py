"""GET /rules: the rules of autopay in their order, and the forms that change them.

No change is saved unseen: its form first shows the open invoices that it moves, and saves once it
is sent again as it was shown.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, decimal_text, ngettext, number_text, read_decimal
from app.console.pages.action_forms import ActionForm, FormField
from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, opening, state_of
from app.console.pages.chrome import id_in_path, reading, show, times_of
from app.console.pages.ledger_acts import database_of, ledger_context
from app.console.pages.list_view import HeadLink, ListView, show_list
from app.console.pages.listing import address
from app.console.pages.rule_wording import (
    ACTIONS,
    CONDITIONS,
    DAYS,
    METHODS,
    MOVES,
    TOGETHER,
    condition_text,
    day_text_of,
    method_text,
    rule_state,
)
from app.console.pages.wording import ViewerTime, shown_amount
from app.console.people.roles import Role
from app.console.routing import Viewer, redirect
from app.errors import AppError, InvalidField, NotFound
from app.halo.engine.codec import codec_of
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.halo.rule_changes import try_change, write_rules
from app.ledger import autopay_policy
from app.ledger.autopay_policy import LIMITS, RuleRow, load_policy, load_rule_rows
from app.ledger.rule_preview import RulePreview, preview
from app.rules import money
from app.rules.autopay_limit import LimitKind
from app.rules.autopay_rule import MethodChoice, RuleAction
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)

_PATH = "/rules"
# A limit is an API's; the page shows so many of them.
LIMITS_SHOWN_MAX = 100
# The invoices of a preview that are named; all of them are counted and summed.
NAMED_MAX = 50
_COLUMNS = (
    ListColumn(N_("Place"), "num"),
    ListColumn(N_("Rule"), "name"),
    ListColumn(N_("Then"), "state"),
    ListColumn(N_("Where")),
    ListColumn(N_("When"), is_minor=True),
    ListColumn(N_("By"), is_minor=True),
    ListColumn(N_("Order"), "low"),
)
_LIMIT_COLUMNS = (
    ListColumn(N_("At most"), "money"),
    ListColumn(N_("Of"), "low"),
    ListColumn(N_("Client"), "name"),
)
_SUM_COLUMNS = (
    ListColumn(N_("Move"), "state"),
    ListColumn(N_("Invoices"), "num"),
    ListColumn(N_("Amount"), "money"),
)
_MOVED_COLUMNS = (
    ListColumn(N_("Invoice"), "low"),
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("Move"), "state"),
    ListColumn(N_("By the rule"), "name"),
    ListColumn(N_("Charged on"), "when"),
)
# Fields that are amounts, as the page's language writes them.
_AMOUNTS = ("amount_from", "amount_to", "card_max")
_SWITCHES = ("inactive", "unflagged")
_KINDS = {
    LimitKind.INVOICE: N_("an invoice"),
    LimitKind.CLIENT: N_("a client’s day"),
    LimitKind.DAY: N_("a day"),
    LimitKind.RUN: N_("a run"),
}


async def rules_page(request: Request, viewer: Viewer) -> Response:
    may_change = viewer.role.includes(Role.FINANCE)
    async with reading(request) as tx:
        rows = await load_rule_rows(tx)
        cells = [_cells(row, place, may_change) for place, row in enumerate(rows, start=1)]
        sections = [
            ListSection(
                _("Rules"),
                _COLUMNS,
                cells,
                _("No rule: each flagged invoice is charged on its due day"),
            )
        ]
        limits = await _limit_cells(tx)
        if limits:
            note = _("A charge beyond one waits for a person")
            sections.append(ListSection(_("Limits"), _LIMIT_COLUMNS, limits, note=note))
        view = ListView(
            title=_("Autopay rules"),
            lede=_("The first rule that an invoice meets decides. One that meets none is charged "
                   "on its due day, if it is flagged for autopay."),
            links=[HeadLink(_("Add a rule…"), f"{_PATH}/new", "plus")] if may_change else (),
            sections=sections,
        )  # fmt: skip
        return await show_list(request, viewer, tx, view)


def _cells(row: RuleRow, place: int, may_change: bool) -> list[ListCell]:
    href = f"{_PATH}/{row.id}"
    return [
        ListCell(number_text(place)),
        opening(row.name, href) if may_change else ListCell(row.name),
        state_of(rule_state(row)),
        ListCell(condition_text(row)),
        ListCell(day_text_of(row)),
        ListCell(method_text(row)),
        ListCell(_("Move…"), f"{href}/move", is_act=True) if may_change else ListCell(),
    ]


async def _limit_cells(tx: Tx) -> list[list[ListCell]]:
    rows = await tx.execute(
        select(LIMITS.c.kind, LIMITS.c.currency, LIMITS.c.amount, CLIENTS.c.id, CLIENTS.c.name)
        .join_from(LIMITS, CLIENTS, CLIENTS.c.id == LIMITS.c.client_id, isouter=True)
        .order_by(LIMITS.c.id)
        .limit(LIMITS_SHOWN_MAX)
    )
    return [
        [
            amount_of(shown_amount(amount, currency)),
            ListCell(str(_KINDS[LimitKind(kind)])),
            ListCell(name or _("Every client"), f"/clients/{client_id}" if client_id else None),
        ]
        for kind, currency, amount, client_id, name in rows
    ]


# --- a change, which is shown before it is saved -----------------------------------------------


Change = Callable[[Tx], Awaitable[None]]


class RuleForm(NamedTuple):
    """A form that changes the rules: what it asks, the change that its fields mean, and its end.

    `rows` are the fields in groups with their headings.
    """

    form: ActionForm
    groups: Sequence[tuple[str, Sequence[FormField]]]
    change: Change
    done: str


# The form of a request, with the fields as they were sent, or as they are where none were.
LoadRuleForm = Callable[[Request, Viewer, Tx, FormData | None], Awaitable[RuleForm]]


class RuleChange(NamedTuple):
    """A change of the rules: its form, the preview that its first sending shows, the saving."""

    load: LoadRuleForm

    async def show(self, request: Request, viewer: Viewer) -> Response:
        async with reading(request) as tx:
            one = await self.load(request, viewer, tx, None)
            return await _form_page(request, viewer, tx, one)

    async def submit(self, request: Request, viewer: Viewer) -> Response:
        given: FormData = request.state.form
        try:
            async with reading(request) as tx:
                one = await self.load(request, viewer, tx, given)
                seen = await _digest(tx, given)
            if given.get("seen") == seen:
                await database_of(request).with_retry(one.change)
                return redirect(address(_PATH, {"done": one.done}))
            found = await _preview(request, viewer, one.change)
        except AppError as error:
            return await self._again(request, viewer, given, error)
        async with reading(request) as tx:
            return await _form_page(request, viewer, tx, one, seen=seen, found=found)

    async def _again(
        self, request: Request, viewer: Viewer, given: FormData, error: AppError
    ) -> Response:
        async with reading(request) as tx:
            one = await self.load(request, viewer, tx, _Unread(given))
            response = await _form_page(request, viewer, tx, one, error=error)
        response.status_code = error.status
        return response


class _Unread(FormData):
    """Fields that are only shown again: what is wrong with them has been said."""


async def _digest(tx: Tx, given: FormData) -> str:
    """The change and the rules that it was shown for: either another, and it is shown anew."""
    fields = sorted((name, str(value)) for name, value in given.multi_items() if name != "seen")
    known = [name_and_value for name_and_value in fields if name_and_value[0] != "csrf"]
    revision = (await load_policy(tx)).revision
    return sha256(orjson.dumps([known, revision])).hexdigest()


async def _preview(request: Request, viewer: Viewer, change: Change) -> RulePreview:
    """The open invoices that the change moves; one preview of a person at a time."""
    database = database_of(request)
    before, after = await try_change(database, change)
    timezone = request.app.state.settings.timezone
    async with request.app.state.concurrency_limit.hold(-viewer.user_id):
        now = request.app.state.clock()
        return await preview(database, before, after, now=now, timezone=timezone)


async def _form_page(
    request: Request,
    viewer: Viewer,
    tx: Tx,
    one: RuleForm,
    *,
    seen: str = "",
    found: RulePreview | None = None,
    error: AppError | None = None,
) -> Response:
    times = times_of(request, viewer)
    return await show(
        request,
        viewer,
        tx,
        "rule.html",
        form=one.form,
        groups=one.groups,
        seen=seen,
        moves=await _moves(tx, found, times) if found else (),
        summary=_summary(found) if found else "",
        error=error.message if error else "",
        field=error.field if isinstance(error, InvalidField) else "",
    )


def _summary(found: RulePreview) -> str:
    moved = found.counts.total()
    if not moved:
        return ngettext(
            "It moves none of %(num)s open invoice.",
            "It moves none of %(num)s open invoices.",
            found.looked_at,
        )
    return _(
        "It moves %(moved)s of %(looked_at)s open invoices.",
        moved=number_text(moved),
        looked_at=number_text(found.looked_at),
    )


async def _moves(tx: Tx, found: RulePreview, times: ViewerTime) -> list[ListSection]:
    if not found.counts:
        return []
    sums = [
        [
            state_of(MOVES[move]),
            ListCell(number_text(found.counts[move, currency])),
            amount_of(shown_amount(total, currency)),
        ]
        for (move, currency), total in sorted(found.sums.items())
    ]
    named = found.invoices[:NAMED_MAX]
    numbers = await _numbers(tx, [one.invoice_id for one in named])
    rows = [
        [
            opening(
                numbers.get(one.invoice_id) or str(one.invoice_id), f"/invoices/{one.invoice_id}"
            ),
            amount_of(shown_amount(one.amount, one.currency)),
            state_of(MOVES[one.move]),
            ListCell(one.rule or _("No rule"), is_dim=one.rule is None),
            ListCell(times.day(one.charge_on) if one.charge_on else ""),
        ]
        for one in named
    ]
    more = found.counts.total() - len(named)
    note = _("and %(number)s more", number=number_text(more)) if more else ""
    return [
        ListSection(_("What it moves"), _SUM_COLUMNS, sums),
        ListSection(_("Invoices"), _MOVED_COLUMNS, rows, note=note),
    ]


async def _numbers(tx: Tx, ids: Sequence[int]) -> dict[int, str | None]:
    wanted = select(INVOICES.c.id, INVOICES.c.invoicenumber).where(INVOICES.c.id.in_(ids))
    return {invoice_id: number for invoice_id, number in await tx.execute(wanted)}


# --- a rule that is added or edited ------------------------------------------------------------


async def _load_new(request: Request, viewer: Viewer, tx: Tx, given: FormData | None) -> RuleForm:
    form = ActionForm(
        title=_("Add a rule"),
        lede=_("It comes last, until it is moved. Leave empty what does not matter."),
        button=_("Add the rule"),
        leave=_("Not now"),
        back=_PATH,
        fields=(),
    )
    values = _defaults() if given is None else _sent(given)
    change = _save(request, viewer, given, None)
    return RuleForm(form, _groups(values), change, _("The rule is added."))


async def _load_edit(request: Request, viewer: Viewer, tx: Tx, given: FormData | None) -> RuleForm:
    row = await _rule(request, tx)
    form = ActionForm(
        title=_("Rule %(name)s", name=row.name),
        lede=_("Leave empty what does not matter."),
        button=_("Save the rule"),
        leave=_("Leave as it is"),
        back=_PATH,
        fields=(),
        facts=(),
    )
    values = _values(row) if given is None else _sent(given)
    change = _save(request, viewer, given, row.id)
    return RuleForm(form, _groups(values), change, _("The rule is saved."))


async def _rule(request: Request, tx: Tx) -> RuleRow:
    rule_id = id_in_path(request, "rule_id", "AutopayRule")
    for row in await load_rule_rows(tx):
        if row.id == rule_id:
            return row
    raise NotFound("AutopayRule", rule_id)


def _save(request: Request, viewer: Viewer, given: FormData | None, rule_id: int | None) -> Change:
    """The rule that the fields say, as POST /api/AutopayRule saves it."""
    if given is None or isinstance(given, _Unread):
        return _nothing
    record = _record(given) | ({"id": rule_id} if rule_id is not None else {})
    parsed = codec_of(AUTOPAY_RULES).parse_request([record])
    context = ledger_context(request, viewer)

    async def change(tx: Tx) -> None:
        await write_rules(tx, parsed, replaces=False, **context)

    return change


async def _nothing(tx: Tx) -> None:
    """The change of a form that is only shown."""


def _record(given: FormData) -> dict[str, Any]:
    """The fields as the API takes them: what is empty is null, an amount is a plain number."""
    record: dict[str, Any] = {name: given.get(name) == "yes" for name in _SWITCHES}
    for name in (*CONDITIONS, "day_of_month", "move_days", "holidays", "payment_method_id"):
        record[name] = str(given.get(name, "")).strip() or None
    for name in _AMOUNTS:
        record[name] = _plain_amount(name, str(given.get(name, "")).strip())
    for name in ("name", "action", "day_from", "days", "charge_method"):
        record[name] = str(given.get(name, "")).strip()
    record["days"] = record["days"] or 0
    record["weekdays"] = str(given.get("weekdays", "")).strip() or None
    record["consolidate"] = {"yes": True, "no": False}.get(str(given.get("consolidate")))
    return record


def _plain_amount(name: str, text: str) -> str | None:
    if not text:
        return None
    amount = read_decimal(text)
    if amount is None:
        raise InvalidField(name, f"{text!r} is no amount such as {decimal_text('120.50')}")
    return format(amount, "f")


def _defaults() -> dict[str, str]:
    return {
        "action": RuleAction.CHARGE,
        "day_from": "due",
        "days": "0",
        "charge_method": MethodChoice.CLIENT,
        "consolidate": "",
    }


def _sent(given: FormData) -> dict[str, str]:
    return {name: str(value) for name, value in given.items()}


def _values(row: RuleRow) -> dict[str, str]:
    """A rule as the fields of its form."""
    shown = {name: _shown(value) for name, value in row._asdict().items()}
    together = {None: "", True: "yes", False: "no"}
    return {**shown, "consolidate": together[row.consolidate]}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, Decimal):
        return decimal_text(money.plain(value))
    return "" if value is None else str(value)


def _groups(values: Mapping[str, str]) -> list[tuple[str, list[FormField]]]:
    def text(name: str, label: str, hint: str = "", kind: str = "optional") -> FormField:
        return FormField(name, label, values.get(name, ""), hint, kind)

    def choice(name: str, label: str, choices: Sequence[tuple[str, str]]) -> FormField:
        return FormField(name, label, values.get(name, ""), choices=choices)

    return [
        ("", [text("name", _("Name"), kind="text"), choice("action", _("Then"), ACTIONS)]),
        (
            _("Which invoices"),
            [
                *(text(name, str(label), str(hint)) for name, (label, hint) in CONDITIONS.items()),
                text("amount_from", _("Due at least"), decimal_text("1000.00")),
                text("amount_to", _("Due at most"), decimal_text("1000.00")),
                text("unflagged", _("Those without a flag of autopay, too"), kind="checkbox"),
            ],
        ),
        (
            _("When"),
            [
                choice("day_from", _("Counted from"), DAYS),
                text("days", _("Days after it"), _("−3 is three days before"), "text"),
                text("day_of_month", _("Then the next such day of a month"), "1–31"),
                text("weekdays", _("Then the next of these weekdays"), _("such as mon,thu")),
                choice("move_days", _("On a weekend or holiday"), _MOVE_DAYS),
                text("holidays", _("Holidays of"), "DE-BY"),
            ],
        ),
        (
            _("By what"),
            [
                choice("charge_method", _("Payment method"), METHODS),
                text("payment_method_id", _("The named one"), "pm_…"),
                text("card_max", _("Cards are charged at most"), decimal_text("1000.00")),
                choice("consolidate", _("Invoices of a client"), TOGETHER),
                text("inactive", _("Not in use"), kind="checkbox"),
            ],
        ),
    ]


_MOVE_DAYS = (
    ("", N_("it stays there")),
    ("forward", N_("it goes to the next open day")),
    ("back", N_("it goes to the open day before")),
)


# --- a rule that is moved or removed -----------------------------------------------------------


async def _load_move(request: Request, viewer: Viewer, tx: Tx, given: FormData | None) -> RuleForm:
    row = await _rule(request, tx)
    place = str(row.sequence) if given is None else str(given.get("place", ""))
    form = ActionForm(
        title=_("Move the rule %(name)s", name=row.name),
        lede=_("The first rule that an invoice meets decides; the others make room."),
        button=_("Move it"),
        leave=_("Leave it there"),
        back=_PATH,
        fields=(),
    )
    fields = [FormField("place", _("Place, from 1 on"), place)]

    async def change(tx: Tx) -> None:
        await autopay_policy.move_rule(tx, row.id, _place(place))

    return RuleForm(form, [("", fields)], change, _("The rule is moved."))


def _place(text: str) -> int:
    if not text.strip().isascii() or not text.strip().isdigit() or len(text) > 6 or not int(text):
        raise InvalidField("place", f"{text!r} is no place from 1 on")
    return int(text)


async def _load_remove(
    request: Request, viewer: Viewer, tx: Tx, given: FormData | None
) -> RuleForm:
    row = await _rule(request, tx)
    form = ActionForm(
        title=_("Remove the rule %(name)s", name=row.name),
        lede=_("The invoices that it decided about meet the next one, or none."),
        button=_("Remove it"),
        leave=_("Keep it"),
        back=_PATH,
        fields=(),
        is_dangerous=True,
    )
    context = ledger_context(request, viewer)

    async def change(tx: Tx) -> None:
        await autopay_policy.delete_rule(tx, row.id, **context)

    return RuleForm(form, [], change, _("The rule is removed."))


ADD = RuleChange(_load_new)
EDIT = RuleChange(_load_edit)
MOVE = RuleChange(_load_move)
REMOVE = RuleChange(_load_remove)

"""GET /coming and /attempts: what is charged on which day, and what became of each try?"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, ngettext
from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, opening, state_of
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
    ShownState,
    Tone,
    ViewerTime,
    attempt_state,
    shown_amount,
)
from app.console.routing import Viewer
from app.payments.autopay import candidates, eligibility
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import ChosenMethod, Skip
from app.payments.autopay.ruling import Policies, horizon
from app.rules import money
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

ATTEMPTS = table_of(ChargeAttempt)
CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)

# Days ahead, and invoices of them, that one page shows; `paydue autopay run --dry-run` has all.
DAYS_AHEAD = 14
# Invoices of one day that are listed; the day's sums are of all.
LISTED_MAX = 20
_COMING_COLUMNS = (
    ListColumn(N_("Invoice"), "low"),
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("Outlook"), "state"),
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("Due"), "when"),
)
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


class ComingCharge(NamedTuple):
    """An invoice on the day on which it is charged, or the reason why it is not."""

    candidate: Candidate
    day: date
    skip: Skip | None

    @property
    def will_be(self) -> bool:
        return self.skip is None or self.skip.next_try is not None


async def coming_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    settings: Settings = request.app.state.settings
    async with reading(request) as tx:
        last_day = times.today + timedelta(days=DAYS_AHEAD)
        coming = await load_coming(tx, last_day, settings, times)
        names = await _client_names(tx, coming)
        sections = [
            _section(day, [one for one in coming if one.day == day and one.will_be], names, times)
            for day in sorted({one.day for one in coming if one.will_be})
        ]
        held = [one for one in coming if not one.will_be]
        if held:
            sections.append(_not_charged(held, names, times))
        nothing = ListSection(
            _("Coming"),
            _COMING_COLUMNS,
            [],
            _("Nothing is due in the next %(days_ahead)s days", days_ahead=DAYS_AHEAD),
        )
        view = ListView(_("Coming charges"), sections or [nothing], lede=_lede(coming, times))
        return await show_list(request, viewer, tx, view)


async def load_coming(
    tx: Tx, last_day: date, settings: Settings, times: ViewerTime
) -> list[ComingCharge]:
    """The first page of flagged invoices due until then, each judged as autopay judges it."""
    policies = Policies(settings)
    last_due_day = horizon(await policies.load(tx), last_day)
    found = await candidates.list_due(tx, last_due_day, None)
    ruled = await policies.rule(tx, found, now=times.now, day=None)
    coming = [_coming(one, settings, times) for one in ruled]
    return [one for one in coming if one.day <= last_day]


def _coming(one: Candidate, settings: Settings, times: ViewerTime) -> ComingCharge:
    method = ChosenMethod(one.payment_method_id or one.saved_method_id or "")
    skip = eligibility.skip_reason(one, None, times.now, settings, method)
    day = skip.next_try if skip and skip.next_try else times.today
    return ComingCharge(one, day, skip)


async def _client_names(tx: Tx, coming: Sequence[ComingCharge]) -> dict[int, str]:
    ids = {one.candidate.client_id for one in coming if one.candidate.client_id}
    rows = await tx.execute(select(CLIENTS.c.id, CLIENTS.c.name).where(CLIENTS.c.id.in_(ids)))
    return {client_id: name for client_id, name in rows}


def _lede(coming: Sequence[ComingCharge], times: ViewerTime) -> str:
    charged = [one for one in coming if one.will_be]
    more = _(" or more") if len(coming) >= candidates.PAGE else ""
    return _(
        "%(count)s%(more)s will be charged in the next %(days_ahead)s days, unless "
        "something changes: autopay looks again before each charge.",
        count=ngettext("%(num)s invoice", "%(num)s invoices", len(charged)),
        more=more,
        days_ahead=DAYS_AHEAD,
    )


def sums_text(coming: Sequence[ComingCharge]) -> str:
    """`EUR 12,904.00, USD 860.00`"""
    sums: dict[str, Decimal] = {}
    for one in coming:
        currency = one.candidate.currency
        sums[currency] = sums.get(currency, Decimal(0)) + one.candidate.amount
    shown = [shown_amount(total, currency) for currency, total in sorted(sums.items())]
    return ", ".join(f"{one.currency} {one.number}" for one in shown)


def _section(
    day: date, coming: Sequence[ComingCharge], names: Mapping[int, str], times: ViewerTime
) -> ListSection:
    title = f"{times.day(day)}, {times.distance(day)}"
    return _listed(title, coming, names, times)


def _not_charged(
    coming: Sequence[ComingCharge], names: Mapping[int, str], times: ViewerTime
) -> ListSection:
    return _listed(_("Due, and not charged"), coming, names, times)


def _listed(
    title: str, coming: Sequence[ComingCharge], names: Mapping[int, str], times: ViewerTime
) -> ListSection:
    rows = [_coming_cells(one, names, times) for one in coming[:LISTED_MAX]]
    shown = (
        _(", the first %(listed_max)s shown", listed_max=LISTED_MAX)
        if len(coming) > LISTED_MAX
        else ""
    )
    count = ngettext("%(num)s invoice", "%(num)s invoices", len(coming))
    note = f"{count}{shown}: {sums_text(coming)}"
    return ListSection(title, _COMING_COLUMNS, rows, note=note)


def _coming_cells(one: ComingCharge, names: Mapping[int, str], times: ViewerTime) -> list[ListCell]:
    row = one.candidate
    state = ShownState(Tone.GO, "cal", _("Will be charged"))
    if one.skip is not None:
        why = f"{one.skip.reason[:1].upper()}{one.skip.reason[1:]}"
        tone, icon, text = (
            (Tone.GO, "cal", _("Will be charged"))
            if one.will_be
            else (Tone.WAIT, "pause", _("Not charged"))
        )
        state = ShownState(tone, icon, text, why)
    return [
        opening(row.invoicenumber or str(row.invoice_id), f"/invoices/{row.invoice_id}"),
        amount_of(shown_amount(row.amount, row.currency)),
        state_of(state),
        ListCell(names.get(row.client_id or 0, "")),
        ListCell(times.day(row.duedate) if row.duedate else ""),
    ]


# --- attempts ----------------------------------------------------------------------------------


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

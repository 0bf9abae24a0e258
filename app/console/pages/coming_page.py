"""GET /coming: what is charged on which day of the next two months, and what is due and is not?"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, ngettext, number_text
from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, opening, state_of
from app.console.pages.charts import BarChart, money_by_day
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.ledger_acts import database_of
from app.console.pages.listing import (
    FilterField,
    ListTab,
    address,
    filter_bar,
    filter_values,
)
from app.console.pages.payments_reads import find_clients
from app.console.pages.wording import ShownAmount, ShownState, Tone, ViewerTime, shown_amount
from app.console.routing import Viewer
from app.payments.autopay import candidates
from app.payments.autopay.charge_calendar import (
    DAYS,
    CalendarEntry,
    ChargeCalendar,
    DayOfClient,
    read_calendar,
)
from app.payments.autopay.ruling import Policies, horizon
from app.payments.autopay.why import ChargeForecast, forecast_page
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoices import Invoice

INVOICES = table_of(Invoice)

_PATH = "/coming"
# Invoices that a page of the console judges; `GET /api/AutopayCalendar` judges more.
LOOKED_AT_MAX = 5_000
# Lines of one day, each of a client and a currency; the day's sums are of all.
LISTED_MAX = 50
# Due invoices that are not charged, of which the first page is read.
HELD_MAX = 20
_STEPS = (7, 14, 30, DAYS)
_FIELDS = (
    FilterField("client", N_("Client"), hint=N_("name or id")),
    FilterField("currency", N_("Currency"), hint="EUR"),
    FilterField("days", N_("Days ahead"), tuple((str(one), str(one)) for one in _STEPS)),
    FilterField("day", N_("Day"), hint="2026-12-24"),
)
_DAY_COLUMNS = (
    ListColumn(N_("Day"), "low"),
    ListColumn(N_("In"), "low", is_minor=True),
    ListColumn(N_("Charges"), "num"),
    ListColumn(N_("Clients"), "num", is_minor=True),
    ListColumn(N_("Amounts")),
)
_CHARGE_COLUMNS = (
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("Outlook"), "state"),
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("Invoices")),
)
_HELD_COLUMNS = (
    ListColumn(N_("Invoice"), "low"),
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("Outlook"), "state"),
    ListColumn(N_("Due"), "when"),
)

Entries = Sequence[tuple[DayOfClient, CalendarEntry]]


async def coming_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    days = int(values.get("days", DAYS))
    day, errors = _day(values)
    client_id = await _client_id(request, values)
    found = await load_calendar(request, days, client_id=client_id)
    entries = _wanted(found, values)
    async with reading(request) as tx:
        return await show(
            request,
            viewer,
            tx,
            "coming.html",
            lede=_lede(found, entries, days),
            bar=filter_bar(_PATH, _FIELDS, values, errors),
            views=_views(values, days),
            counts=_charges(entries),
            sums=_sums(entries),
            chart=_chart(entries, found, times) if day is None else None,
            sections=await _sections(tx, request, entries, day, values, times),
        )


def _day(values: Mapping[str, str]) -> tuple[date | None, list[str]]:
    given = values.get("day")
    if given is None:
        return None, []
    try:
        return date.fromisoformat(given), []
    except ValueError:
        return None, [_("Day: %(given)s is no day such as 2026-12-24", given=given)]


async def _client_id(request: Request, values: Mapping[str, str]) -> int | None:
    """The client of the filter, the first of those whose name it is; 0 is none."""
    if "client" not in values:
        return None
    async with reading(request) as tx:
        return next(iter(await find_clients(tx, values["client"])), 0)


async def load_calendar(
    request: Request, days: int, *, client_id: int | None = None, most: int = LOOKED_AT_MAX
) -> ChargeCalendar:
    """The coming charges, as the API answers them. It reads in snapshots of its own."""
    return await read_calendar(
        database_of(request),
        request.app.state.settings,
        now=request.app.state.clock(),
        days=days,
        client_id=client_id,
        looked_at_max=most,
    )


def _wanted(found: ChargeCalendar, values: Mapping[str, str]) -> Entries:
    currency = values.get("currency", "").lower()
    return [
        (key, entry)
        for key, entry in found.in_order()
        if key.day is not None and (not currency or key.currency == currency)
    ]


def _views(values: Mapping[str, str], days: int) -> list[ListTab]:
    kept = {name: value for name, value in values.items() if name in ("client", "currency")}
    is_whole = "day" not in values
    return [
        ListTab(
            address(_PATH, {**kept, "days": one}),
            ngettext("%(num)s day", "%(num)s days", one),
            is_whole and one == days,
        )
        for one in _STEPS
    ]


def _lede(found: ChargeCalendar, entries: Entries, days: int) -> str:
    count = ngettext("%(num)s invoice", "%(num)s invoices", _count(entries))
    more = "" if found.is_complete else _(" or more")
    return _(
        "%(count)s%(more)s will be charged in the next %(days_ahead)s days, unless something "
        "changes: autopay looks again before each charge.",
        count=count,
        more=more,
        days_ahead=days,
    )


def _count(entries: Entries) -> int:
    return sum(entry.count for _key, entry in entries)


def _charges(entries: Entries) -> str:
    return ngettext("%(num)s charge:", "%(num)s charges:", _count(entries))


def _sums(entries: Entries) -> list[ShownAmount]:
    sums: dict[str, Decimal] = {}
    for key, entry in entries:
        sums[key.currency] = sums.get(key.currency, Decimal(0)) + entry.amount
    return [shown_amount(total, currency) for currency, total in sorted(sums.items())]


def sums_text(entries: Entries) -> str:
    """`EUR 12,904.00, USD 860.00`"""
    return ", ".join(f"{one.currency} {one.number}" for one in _sums(entries))


def coming_text(found: ChargeCalendar) -> str:
    """`3 invoices: EUR 12,904.00`, or nothing where nothing is charged."""
    entries = _wanted(found, {})
    if not entries:
        return ""
    count = ngettext("%(num)s invoice", "%(num)s invoices", _count(entries))
    return f"{count}: {sums_text(entries)}"


def forecast_chart(found: ChargeCalendar, title: str, times: ViewerTime) -> BarChart | None:
    entries = _wanted(found, {})
    return _bars(title, entries, found, times) if entries else None


def _chart(entries: Entries, found: ChargeCalendar, times: ViewerTime) -> BarChart | None:
    return _bars(_("Coming charges"), entries, found, times) if entries else None


def _bars(title: str, entries: Entries, found: ChargeCalendar, times: ViewerTime) -> BarChart:
    days = [found.first + timedelta(days=one) for one in range((found.last - found.first).days + 1)]
    amounts: dict[str, list[Decimal]] = {}
    for key, entry in entries:
        # A client's own day may be the one before ours.
        place = max((key.day - found.first).days, 0) if key.day else 0
        amounts.setdefault(key.currency, [Decimal(0)] * len(days))[place] += entry.amount
    return money_by_day(title, days, amounts, times)


# --- the days ----------------------------------------------------------------------------------


async def _sections(
    tx: Tx,
    request: Request,
    entries: Entries,
    day: date | None,
    values: Mapping[str, str],
    times: ViewerTime,
) -> list[ListSection]:
    if day is not None:
        return [await _of_day(tx, day, entries, times)]
    near = [one for one in (times.today, times.today + timedelta(days=1))]
    shown = [
        await _of_day(tx, one, entries, times)
        for one in near
        if any(key.day == one for key, _entry in entries)
    ]
    held = [] if values else await _held_invoices(tx, request, times)
    return [*shown, _by_day(entries, values, times), *held]


async def _of_day(tx: Tx, day: date, entries: Entries, times: ViewerTime) -> ListSection:
    """The charges of a day, a line for each client and currency."""
    of_day = [(key, entry) for key, entry in entries if key.day == day]
    shown = of_day[:LISTED_MAX]
    numbers = await _numbers(tx, [one for _key, entry in shown for one in entry.invoice_ids])
    rows = [_charge_cells(key, entry, numbers) for key, entry in shown]
    more = (
        _(", the first %(listed_max)s shown", listed_max=LISTED_MAX)
        if len(of_day) > LISTED_MAX
        else ""
    )
    title = f"{times.day(day)}, {times.distance(day)}"
    note = f"{_charges(of_day)} {sums_text(of_day)}{more}" if of_day else ""
    return ListSection(title, _CHARGE_COLUMNS, rows, _("Nothing is charged on this day"), note)


def _charge_cells(
    key: DayOfClient, entry: CalendarEntry, numbers: Mapping[int, str]
) -> list[ListCell]:
    first = entry.invoice_ids[0]
    named = ", ".join(numbers.get(one, str(one)) for one in entry.invoice_ids[:3])
    more = entry.count - len(entry.invoice_ids[:3])
    invoices = f"{named} {_('and %(number)s more', number=number_text(more))}" if more else named
    client = entry.client_name or str(key.client_id or "")
    return [
        amount_of(shown_amount(entry.amount, key.currency), f"/invoices/{first}"),
        state_of(ShownState(Tone.GO, "cal", _("Will be charged"))),
        ListCell(client, f"/clients/{key.client_id}" if key.client_id else None, title=client),
        ListCell(invoices),
    ]


async def _numbers(tx: Tx, ids: Iterable[int]) -> dict[int, str]:
    wanted = select(INVOICES.c.id, INVOICES.c.invoicenumber).where(INVOICES.c.id.in_(list(ids)))
    rows = await tx.execute(wanted)
    return {invoice_id: number or str(invoice_id) for invoice_id, number in rows}


def _by_day(entries: Entries, values: Mapping[str, str], times: ViewerTime) -> ListSection:
    days = sorted({key.day for key, _entry in entries if key.day is not None})
    rows = []
    for day in days:
        of_day = [(key, entry) for key, entry in entries if key.day == day]
        clients = {key.client_id for key, _entry in of_day}
        rows.append(
            [
                opening(times.day(day), address(_PATH, {**values, "day": day.isoformat()})),
                ListCell(times.distance(day)),
                ListCell(number_text(_count(of_day))),
                ListCell(number_text(len(clients))),
                ListCell(sums_text(of_day)),
            ]
        )
    return ListSection(_("By day"), _DAY_COLUMNS, rows, _("Nothing will be charged"))


# --- due, and not charged ----------------------------------------------------------------------


async def _held_invoices(tx: Tx, request: Request, times: ViewerTime) -> list[ListSection]:
    """The first invoices that are due and that autopay leaves alone, each with the reason."""
    settings: Settings = request.app.state.settings
    policies = Policies(settings)
    last_due_day = horizon(await policies.load(tx), times.today)
    listed = await candidates.list_due(tx, last_due_day, None)
    ruled = await policies.rule(tx, listed, now=times.now, day=None)
    forecasts = await forecast_page(tx, ruled, settings, now=times.now)
    held = [one for one in forecasts if not one.will_be_charged]
    if not held:
        return []
    rows = [_held_cells(one, times) for one in held[:HELD_MAX]]
    more = (
        _(", the first %(listed_max)s shown", listed_max=HELD_MAX) if len(held) > HELD_MAX else ""
    )
    note = f"{ngettext('%(num)s invoice', '%(num)s invoices', len(held))}{more}"
    return [ListSection(_("Due, and not charged"), _HELD_COLUMNS, rows, note=note)]


def _held_cells(found: ChargeForecast, times: ViewerTime) -> list[ListCell]:
    one, reason = found.one, found.skip.reason if found.skip else ""
    why = f"{reason[:1].upper()}{reason[1:]}"
    return [
        opening(one.invoicenumber or str(one.invoice_id), f"/invoices/{one.invoice_id}"),
        amount_of(shown_amount(one.amount, one.currency)),
        state_of(ShownState(Tone.WAIT, "pause", _("Not charged"), why)),
        ListCell(times.day(one.duedate) if one.duedate else ""),
    ]

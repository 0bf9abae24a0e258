"""GET /refunds and /disputes: what went back, and until when does Stripe take evidence?"""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _
from app.console.pages.cells import (
    ListCell,
    ListColumn,
    ListSection,
    amount_of,
    opening,
    state_of,
)
from app.console.pages.chrome import reading, times_of
from app.console.pages.list_view import ListView, keyset_pager, show_list
from app.console.pages.listing import PAGE, ListTab, before_id
from app.console.pages.wording import (
    ShownState,
    Tone,
    ViewerTime,
    dispute_state,
    refund_state,
    shown_amount,
    words_of,
)
from app.console.routing import Viewer
from app.rules import money
from app.rules.payment import AWAITS_EVIDENCE, WARNING_OPEN, ReversalKind
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal, is_dispute_or_warning

REQUESTS = table_of(RefundRequest)
REVERSALS = table_of(StripeReversal)
INTENTS = table_of(StripePayment)
CLIENTS = table_of(Client)

# Disputes that are shown together, those with a deadline first.
DISPUTES_MAX = 200
_REFUND_COLUMNS = (
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Reason")),
    ListColumn(N_("Client"), "name", is_minor=True),
    ListColumn(N_("Asked by"), "low", is_minor=True),
    ListColumn(N_("When"), "when"),
)
_DISPUTE_COLUMNS = (
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Reason")),
    ListColumn(N_("Client"), "name"),
    ListColumn(N_("Id"), "id"),
)


class ListedRefund(NamedTuple):
    """A refund that a person asked for, as a row."""

    id: int
    intent_id: str
    amount_minor: int
    currency: str
    reason: str
    who: str
    state: str
    said: str | None
    created_at: datetime
    client_name: str | None


class ListedDispute(NamedTuple):
    """A dispute or a warning, as a row."""

    id: str
    kind: str
    intent_id: str
    amount: Decimal
    status: str
    reason: str | None
    evidence_due_at: datetime | None
    disputed_currency: str | None
    currency_iso: str | None
    client_name: str | None


async def refunds_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    before = before_id(request.query_params)
    async with reading(request) as tx:
        rows = await _refunds(tx, before)
        next_before = rows[PAGE - 1].id if len(rows) > PAGE else None
        cells = [_refund_cells(row, times) for row in rows[:PAGE]]
        view = ListView(
            title=_("Refunds"),
            lede=_("Refunds asked for here. Those made at Stripe stand with their payments."),
            views=[
                ListTab("/refunds", _("Asked for here"), is_current=True),
                ListTab("/payments?state=refunded", _("All refunded payments"), is_current=False),
            ],
            sections=[
                ListSection(_("Refunds"), _REFUND_COLUMNS, cells, _("No refund was asked for here"))
            ],
            pager=keyset_pager("/refunds", {}, before, next_before),
        )
        return await show_list(request, viewer, tx, view)


async def _refunds(tx: Tx, before: int | None) -> list[ListedRefund]:
    own = [REQUESTS.c[name] for name in ListedRefund._fields[:-1]]
    place = [REQUESTS.c.id < before] if before is not None else []
    wanted = (
        select(*own, CLIENTS.c.name.label("client_name"))
        .join_from(REQUESTS, INTENTS, INTENTS.c.intent_id == REQUESTS.c.intent_id, isouter=True)
        .outerjoin(CLIENTS, CLIENTS.c.id == INTENTS.c.client_id)
        .where(*place)
        .order_by(REQUESTS.c.id.desc())
        .limit(PAGE + 1)
    )
    return [ListedRefund._make(row) for row in await tx.execute(wanted)]


def _refund_cells(row: ListedRefund, times: ViewerTime) -> list[ListCell]:
    amount = money.from_minor(row.amount_minor, row.currency)
    state = refund_state(row.state)._replace(why=row.said)
    return [
        amount_of(shown_amount(amount, row.currency), f"/payments/{row.intent_id}"),
        state_of(state),
        ListCell(row.reason),
        ListCell(row.client_name or ""),
        ListCell(row.who),
        ListCell(times.short(row.created_at)),
    ]


# --- disputes ----------------------------------------------------------------------------------


async def disputes_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        rows = await load_disputes(tx)
        waiting = [row for row in rows if _awaits(row)]
        rest = [row for row in rows if not _awaits(row)]
        view = ListView(
            title=_("Disputes"),
            lede=_lede(waiting, times),
            sections=[
                ListSection(
                    _("Waits for evidence"),
                    _DISPUTE_COLUMNS,
                    [_dispute_cells(row, times) for row in waiting],
                    _("No dispute waits for evidence"),
                    _("Evidence is sent in Stripe’s dashboard"),
                ),
                ListSection(
                    _("The others"),
                    _DISPUTE_COLUMNS,
                    [_dispute_cells(row, times) for row in rest],
                    _("No other dispute"),
                ),
            ],
        )
        return await show_list(request, viewer, tx, view)


def _awaits(row: ListedDispute) -> bool:
    return row.status in AWAITS_EVIDENCE


def _lede(waiting: list[ListedDispute], times: ViewerTime) -> str:
    due = min((one.evidence_due_at for one in waiting if one.evidence_due_at), default=None)
    if due is None:
        return _("No customer disputes a payment.") if not waiting else ""
    day = times.local(due).date()
    return _(
        "The next deadline is %(day)s, %(distance)s, at %(time)s.",
        day=times.day(day),
        distance=times.distance(day),
        time=times.full(due),
    )


async def load_disputes(tx: Tx) -> list[ListedDispute]:
    """Disputes and warnings, the next deadline first, and then those without one."""
    own = [REVERSALS.c[name] for name in ListedDispute._fields[:-3]]
    disputed_in = REVERSALS.c.currency_iso.label("disputed_currency")
    due = REVERSALS.c.evidence_due_at
    wanted = (
        select(*own, disputed_in, INTENTS.c.currency_iso, CLIENTS.c.name.label("client_name"))
        .join_from(REVERSALS, INTENTS, INTENTS.c.intent_id == REVERSALS.c.intent_id, isouter=True)
        .outerjoin(CLIENTS, CLIENTS.c.id == INTENTS.c.client_id)
        .where(is_dispute_or_warning())
        .order_by(REVERSALS.c.status.not_in(AWAITS_EVIDENCE), due.is_(None), due)
        .limit(DISPUTES_MAX)
    )
    return [ListedDispute._make(row) for row in await tx.execute(wanted)]


def _dispute_cells(row: ListedDispute, times: ViewerTime) -> list[ListCell]:
    amount = shown_amount(row.amount, row.disputed_currency or row.currency_iso or "usd")
    state = dispute_state(row.status, row.evidence_due_at, times)
    if row.kind == ReversalKind.FRAUD_WARNING:
        is_open = row.status == WARNING_OPEN
        text = _("Fraud warning") if is_open else _("Warning closed")
        state = ShownState(Tone.WAIT if is_open else Tone.NONE, "warn", text)
    href = f"/payments/{row.intent_id}"
    if row.currency_iso is None:
        known = opening(_("Payment not known yet"), href)
        return [
            ListCell(),
            state_of(state),
            ListCell(words_of(row.reason)),
            known,
            ListCell(row.id),
        ]
    return [
        amount_of(amount, href),
        state_of(state),
        ListCell(words_of(row.reason)),
        ListCell(row.client_name or ""),
        ListCell(row.id),
    ]

"""The frame of every page: how much waits for a person, beside the navigation, and the times."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.wording import ViewerTime, shown_amount
from app.console.rendering import render
from app.console.routing import Viewer
from app.errors import NotFound
from app.ledger.approvals import ApprovalState
from app.ledger.autopay_pauses import Pause, load_pauses
from app.rules.payment import AWAITS_EVIDENCE
from app.storage.column_types import table_of
from app.storage.engines import STATEMENT_S, Database, Tx
from app.storage.tables.autopay_policies import AutopayApproval
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, StripeEvent
from app.storage.tables.stripe_reversals import StripeReversal, is_dispute_or_warning

PAYMENTS = table_of(InvoicePayment)
EVENTS = table_of(StripeEvent)
APPROVALS = table_of(AutopayApproval)
INVOICES = table_of(Invoice)
REVERSALS = table_of(StripeReversal)

# A number beside a word says that something waits; how much more than this is no matter there.
BADGE_MAX = 100
# Of a number that both databases can compare with an id.
ID_DIGITS_MAX = 18
# After an action the page says what was done; the text comes back in the address, and is short.
NOTICE_MAX = 200


def times_of(request: Request, viewer: Viewer) -> ViewerTime:
    now: datetime = request.app.state.clock()
    return ViewerTime(now, viewer.timezone)


def id_in_path(request: Request, name: str, noun: str) -> int:
    """The number in the path, or NotFound for what cannot be one."""
    given: str = request.path_params[name]
    if not given.isascii() or not given.isdigit() or len(given) > ID_DIGITS_MAX:
        raise NotFound(noun, given)
    return int(given)


@contextlib.asynccontextmanager
async def reading(request: Request) -> AsyncIterator[Tx]:
    """One snapshot for a whole page, each of whose statements ends after STATEMENT_S."""
    database: Database = request.app.state.database
    async with database.snapshot(statement_limit_s=STATEMENT_S) as tx:
        yield tx


async def show(request: Request, viewer: Viewer, tx: Tx, template: str, **values: Any) -> Response:
    """The page, with the numbers beside the navigation."""
    return render(
        request,
        viewer,
        template,
        times=times_of(request, viewer),
        money_text=shown_amount,
        badges=await load_badges(tx),
        stopped=await load_stop(tx, times_of(request, viewer)),
        notice=request.query_params.get("done", "")[:NOTICE_MAX],
        **values,
    )


async def load_stop(tx: Tx, times: ViewerTime) -> Pause | None:
    """The pause that stops every automatic charge today: each page says so."""
    pauses = await load_pauses(tx, (), ())
    return next((one for one in pauses if one.holds_on(times.today)), None)


async def load_badges(tx: Tx) -> dict[str, str]:
    """How many things wait behind each address of the navigation, from small indexes."""
    counts = {
        "/unapplied": _UNAPPLIED,
        "/disputes": _AWAITING_EVIDENCE,
        "/inbox": _PARKED,
        "/approvals": _AWAITING_APPROVAL,
    }
    found = {path: await tx.scalar(statement) for path, statement in counts.items()}
    return {
        path: f"{BADGE_MAX - 1}+" if number >= BADGE_MAX else str(number)
        for path, number in found.items()
        if number
    }


def _up_to_badge_max(rows: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(rows.limit(BADGE_MAX).subquery())


_UNAPPLIED = _up_to_badge_max(
    select(PAYMENTS.c.id).where(PAYMENTS.c.invoice_id.is_(None), PAYMENTS.c.counted > 0)
)
_AWAITING_EVIDENCE = _up_to_badge_max(
    select(REVERSALS.c.id).where(is_dispute_or_warning(), REVERSALS.c.status.in_(AWAITS_EVIDENCE))
)
_AWAITING_APPROVAL = _up_to_badge_max(
    select(APPROVALS.c.id)
    .join_from(APPROVALS, INVOICES, INVOICES.c.id == APPROVALS.c.invoice_id)
    .where(APPROVALS.c.state == ApprovalState.WAITING, INVOICES.c.amountdue > 0)
    .where(INVOICES.c.voided.is_(False))
)
_PARKED = _up_to_badge_max(select(EVENTS.c.id).where(IS_PARKED_OR_DEAD))

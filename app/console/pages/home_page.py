"""GET /: did today go well, and what waits for me? An empty Paydue shows the first steps."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import _
from app.console.pages.chrome import load_badges, reading, show, times_of
from app.console.pages.coming_page import LOOKED_AT_MAX, coming_text, load_calendar
from app.console.pages.home_reads import (
    load_health_signs,
    load_setup_steps,
    load_todays_run,
)
from app.console.pages.money_back_pages import load_disputes
from app.console.pages.report_reads import CHART_DAYS, load_money_in
from app.console.pages.wording import (
    ShownAmount,
    ShownState,
    dispute_state,
    shown_amount,
    words_of,
)
from app.console.routing import Viewer
from app.payments.webhook.endpoint import PATHS
from app.rules.payment import AWAITS_EVIDENCE
from app.settings import Settings
from app.storage.engines import Tx

# Disputes that the page shows; the others stand on their own.
DISPUTES_MAX = 5


class WaitingItem(NamedTuple):
    """Something that waits for a person."""

    icon: str
    text: str
    href: str
    number: str


class OpenDispute(NamedTuple):
    """A dispute as a row."""

    amount: ShownAmount
    state: ShownState
    client: str
    reason: str
    href: str


async def home_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    settings: Settings = request.app.state.settings
    tomorrow = await load_calendar(request, 1, most=LOOKED_AT_MAX)
    async with reading(request) as tx:
        steps = await load_setup_steps(
            tx,
            has_key=bool(settings.api_key),
            has_secret=bool(settings.webhook_secrets),
            webhook_url=f"{_public_url(request)}{PATHS[0]}",
        )
        if not steps[-1].is_done:
            return await show(request, viewer, tx, "first_run.html", steps=steps)
        return await show(
            request,
            viewer,
            tx,
            "home.html",
            heading=times.named_day(times.today),
            run=await load_todays_run(tx, times),
            chart=await load_money_in(tx, times, CHART_DAYS, is_figure_today=True),
            signs=await load_health_signs(tx, times),
            waiting=await _waiting(tx),
            disputes=await _disputes(tx, request, viewer),
            coming=coming_text(tomorrow),
        )


def _public_url(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return (settings.public_url or str(request.base_url)).rstrip("/")


async def _waiting(tx: Tx) -> list[WaitingItem]:
    badges = await load_badges(tx)
    items = (
        WaitingItem("tray", _("Events not applied"), "/inbox", badges.get("/inbox", "")),
        WaitingItem("check", _("Charges to approve"), "/approvals", badges.get("/approvals", "")),
        WaitingItem("coin", _("Money on no invoice"), "/unapplied", badges.get("/unapplied", "")),
        WaitingItem(
            "flag", _("Disputes without evidence"), "/disputes", badges.get("/disputes", "")
        ),
    )
    return [one for one in items if one.number]


async def _disputes(tx: Tx, request: Request, viewer: Viewer) -> list[OpenDispute]:
    times = times_of(request, viewer)
    rows = [row for row in await load_disputes(tx) if row.status in AWAITS_EVIDENCE]
    return [
        OpenDispute(
            shown_amount(row.amount, row.currency_iso or "usd"),
            dispute_state(row.status, row.evidence_due_at, times),
            row.client_name or "",
            words_of(row.reason),
            f"/payments/{row.intent_id}",
        )
        for row in rows[:DISPUTES_MAX]
        if row.currency_iso is not None
    ]

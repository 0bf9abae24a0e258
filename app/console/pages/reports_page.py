"""GET /reports: how old is what is owed, how much comes in, and what will come?"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.autopay_pages import DAYS_AHEAD, ComingCharge, load_coming
from app.console.pages.charts import BarChart, money_by_day
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.report_reads import (
    AGED_MAX,
    REPORT_DAYS,
    SUMMED_MAX,
    load_ageing,
    load_money_in,
    load_success_rate,
)
from app.console.pages.wording import ViewerTime
from app.console.routing import Viewer


class Report(NamedTuple):
    """A chart with what it says, of what it is made, and where its rows are."""

    title: str
    text: str
    chart: BarChart | None
    empty: str
    href: str
    link: str


async def reports_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        last_day = times.today + timedelta(days=DAYS_AHEAD)
        coming = await load_coming(tx, last_day, request.app.state.settings, times)
        reports = [
            Report(
                "Ageing",
                f"Left to pay by days since it was due, of the newest {AGED_MAX:,} open invoices.",
                await load_ageing(tx, times),
                "Nobody owes anything",
                "/invoices?state=overdue",
                "Overdue invoices",
            ),
            Report(
                "Money in",
                f"By day, less what went back, of the newest {SUMMED_MAX:,} payments.",
                await load_money_in(tx, times, REPORT_DAYS),
                f"No money came in within {REPORT_DAYS} days",
                f"/payments?days={REPORT_DAYS}",
                "Payments",
            ),
            Report(
                "Success rate",
                "Of the charges that ended each day, those that succeeded. One that is tried "
                "again counts on each day of its tries.",
                await load_success_rate(tx, times),
                f"No charge ended within {REPORT_DAYS} days",
                "/attempts",
                "Attempts",
            ),
            Report(
                "Forecast",
                f"What autopay will charge in the next {DAYS_AHEAD} days, as it judges today.",
                _forecast(coming, times),
                "Nothing will be charged",
                "/coming",
                "Coming charges",
            ),
        ]
        return await show(request, viewer, tx, "reports.html", reports=reports)


def _forecast(coming: Sequence[ComingCharge], times: ViewerTime) -> BarChart | None:
    days = [times.today + timedelta(days=one) for one in range(DAYS_AHEAD + 1)]
    amounts: dict[str, list[Decimal]] = {}
    for one in coming:
        if one.will_be and one.day in days:
            by_day = amounts.setdefault(one.candidate.currency, [Decimal(0)] * len(days))
            by_day[days.index(one.day)] += one.candidate.amount
    return money_by_day("Forecast", days, amounts, times) if amounts else None

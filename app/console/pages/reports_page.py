"""GET /reports: how old is what is owed, how much comes in, and what will come?"""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import _, number_text
from app.console.pages.charts import BarChart
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.coming_page import forecast_chart, load_calendar
from app.console.pages.report_reads import (
    AGED_MAX,
    REPORT_DAYS,
    SUMMED_MAX,
    load_ageing,
    load_money_in,
    load_success_rate,
)
from app.console.routing import Viewer
from app.payments.autopay.charge_calendar import DAYS


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
    coming = await load_calendar(request, DAYS)
    async with reading(request) as tx:
        reports = [
            Report(
                _("Ageing"),
                _(
                    "Left to pay by days since it was due, of the newest %(aged_max)s open "
                    "invoices.",
                    aged_max=number_text(AGED_MAX),
                ),
                await load_ageing(tx, times),
                _("Nobody owes anything"),
                "/invoices?state=overdue",
                _("Overdue invoices"),
            ),
            Report(
                _("Money in"),
                _(
                    "By day, less what went back, of the newest %(summed_max)s payments.",
                    summed_max=number_text(SUMMED_MAX),
                ),
                await load_money_in(tx, times, REPORT_DAYS),
                _("No money came in within %(report_days)s days", report_days=REPORT_DAYS),
                f"/payments?days={REPORT_DAYS}",
                _("Payments"),
            ),
            Report(
                _("Success rate"),
                _(
                    "Of the charges that ended each day, those that succeeded. One that is "
                    "tried again counts on each day of its tries."
                ),
                await load_success_rate(tx, times),
                _("No charge ended within %(report_days)s days", report_days=REPORT_DAYS),
                "/attempts",
                _("Attempts"),
            ),
            Report(
                _("Forecast"),
                _(
                    "What autopay will charge in the next %(days_ahead)s days, as it judges today.",
                    days_ahead=DAYS,
                ),
                forecast_chart(coming, _("Forecast"), times),
                _("Nothing will be charged"),
                "/coming",
                _("Coming charges"),
            ),
        ]
        return await show(request, viewer, tx, "reports.html", reports=reports)

"""GET /Report/Ageing and its sisters: finance's reports. Not HaloPSA's."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidField
from app.halo.access.authenticator import authorize
from app.halo.access.concurrency_limit import reading_place
from app.halo.autopay_forecast_action import READ_INVOICES
from app.halo.engine import parsing
from app.halo.engine.filters import parameter_value
from app.halo.engine.list_query import query_parameters
from app.halo.engine.responses import json_response
from app.rules.finance_report import DAYS_MAX, ReportName, ReportRequest

# Each below /api/Report.
PATHS: Mapping[ReportName, str] = {
    ReportName.AGEING: "Ageing",
    ReportName.EXPECTED: "Expected",
    ReportName.DECLINES: "Declines",
    ReportName.RECOVERED: "Recovered",
    ReportName.DSO: "DaysSalesOutstanding",
}


class ReadReport(Protocol):
    """Answers a report as JSON."""

    async def __call__(self, wanted: ReportRequest) -> dict[str, Any]: ...


def report_of(name: ReportName) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a report."""

    async def show_report(request: Request) -> Response:
        caller = await authorize(request, READ_INVOICES)
        given = query_parameters(request.scope["query_string"])
        days = parsing.small("days", parameter_value(given, "days"))
        if days is not None and not 1 <= days <= DAYS_MAX:
            raise InvalidField("days", f"is not 1 to {DAYS_MAX}")
        wanted = ReportRequest(
            name,
            _day("as_of", parameter_value(given, "as_of")),
            days,
            parsing.whole("client_id", parameter_value(given, "client_id")),
        )
        read: ReadReport = request.app.state.read_report
        async with reading_place(request, caller):
            return json_response(await read(wanted))

    show_report.__name__ = f"show_{name}_report"  # OpenAPI's operation is called after it
    return show_report


def _day(name: str, value: str | None) -> date | None:
    if not value:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidField(name, "is not a day such as 2026-11-27") from None

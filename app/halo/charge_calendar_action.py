"""GET /AutopayCalendar: what autopay charges in the coming days, by client and currency."""

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

DAYS_MAX = 100


class ReadCalendar(Protocol):
    """Answers the calendar as JSON: of so many days, or of the usual number, and of one client."""

    async def __call__(self, days: int | None, client_id: int | None) -> dict[str, Any]: ...


async def show_calendar(request: Request) -> Response:
    """The charges of the coming days, as the database knows them; Stripe is not asked."""
    caller = await authorize(request, READ_INVOICES)
    given = query_parameters(request.scope["query_string"])
    days = parsing.small("days", parameter_value(given, "days"))
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise InvalidField("days", f"is not 1 to {DAYS_MAX}")
    client_id = parsing.whole("client_id", parameter_value(given, "client_id"))
    read: ReadCalendar = request.app.state.read_calendar
    async with reading_place(request, caller):
        return json_response(await read(days, client_id))

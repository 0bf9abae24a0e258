"""GET /Invoice/{id}/autopay: whether, when and by what an invoice is charged, or why it is not."""

from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.halo.access.authenticator import authorize
from app.halo.access.concurrency_limit import bounded_snapshot, reading_place
from app.halo.engine.resource_routes import id_in_path
from app.halo.engine.responses import json_response
from app.halo.resources.invoice_resource import INVOICES
from app.storage.engines import Tx

READ_INVOICES = "read:invoices"


class ForecastCharge(Protocol):
    """Answers the forecast of an invoice as JSON, of what the database knows."""

    async def __call__(self, tx: Tx, invoice_id: int) -> dict[str, Any]: ...


async def forecast_charge(request: Request) -> Response:
    """One sentence and the facts; Stripe is not asked."""
    caller = await authorize(request, READ_INVOICES)
    invoice_id = id_in_path(INVOICES, request.path_params["id"])
    forecast: ForecastCharge = request.app.state.forecast_charge
    async with reading_place(request, caller), bounded_snapshot(request) as tx:
        return json_response(await forecast(tx, invoice_id))

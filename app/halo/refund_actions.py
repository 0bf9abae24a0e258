"""Refunds a payment, or the share that one invoice has of it: the one action on payments."""

from decimal import Decimal
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidField
from app.halo.access.authenticator import Caller
from app.halo.engine import parsing, request_body
from app.halo.engine.idempotency import HEADER, run_idempotent
from app.halo.engine.resource_routes import id_in_path
from app.halo.engine.responses import json_response
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS
from app.ledger.refund_requests import WantedRefund

# A scope that opens everything: money moves at once.
EVERYTHING = "admin"


class MakeRefund(Protocol):
    """Gives money back and answers the request; the node asks Stripe."""

    async def __call__(self, wanted: WantedRefund) -> dict[str, Any]: ...


async def refund_payment(request: Request) -> Response:
    """Stripe is asked, so the work is done before any transaction of the request's own.

    The caller's key is stored with the refund request: of two at once, only one makes it.
    """

    async def prepare(caller: Caller, body: bytes) -> Response:
        payment_id = id_in_path(INVOICE_PAYMENTS, request.path_params["id"])
        amount, reason = _parsed(request_body.parse_json(body))
        key = request.headers.get(HEADER)
        wanted = WantedRefund(
            reason,
            caller.name,
            payment_id=payment_id,
            amount=amount,
            caller_key=None if key is None else f"{caller.access_id}:{key}",
        )
        make_refund: MakeRefund = request.app.state.make_refund
        return json_response(await make_refund(wanted))

    return await run_idempotent(request, EVERYTHING, prepare)


def _parsed(given: Any) -> tuple[Decimal | None, str]:
    if not isinstance(given, dict):
        raise InvalidField("body", "is no object")
    reason = parsing.short_text("reason", given.get("reason"))
    if not reason or not reason.strip():
        raise InvalidField("reason", "is required")
    amount = parsing.exact("amount", given.get("amount"))
    # All of it is given back to whoever leaves the amount out, not to whose form was empty.
    if amount is None and given.get("amount") is not None:
        raise InvalidField("amount", "is no amount; leave it out to refund all that is left")
    return amount, reason

"""Ends a charge attempt by hand: the one action on attempts."""

from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidField
from app.halo.access.authenticator import Caller
from app.halo.engine import parsing, request_body
from app.halo.engine.codec import codec_of
from app.halo.engine.idempotency import run_idempotent
from app.halo.engine.record_queries import RecordQueries
from app.halo.engine.resource_routes import id_in_path
from app.halo.engine.responses import json_response
from app.halo.resources.charge_attempt_resource import CHARGE_ATTEMPTS

# Only a scope that opens everything opens it: the next run may charge the invoice again.
EVERYTHING = "admin"

_ATTEMPTS = RecordQueries(codec_of(CHARGE_ATTEMPTS))


class EndAttempt(Protocol):
    """Ends an attempt where Stripe proves that it can move no money; the node asks Stripe."""

    async def __call__(self, attempt_id: int, *, reason: str, who: str) -> str: ...


async def end_attempt(request: Request) -> Response:
    """Stripe is asked, so the work is done before any transaction of the request's own."""

    async def prepare(caller: Caller, body: bytes) -> Response:
        attempt_id = id_in_path(CHARGE_ATTEMPTS, request.path_params["id"])
        reason = _reason(request_body.parse_json(body))
        end: EndAttempt = request.app.state.end_attempt
        await end(attempt_id, reason=reason, who=caller.name)
        async with request.app.state.database.snapshot() as tx:
            found = await _ATTEMPTS.by_ids(tx, [attempt_id], detailed=False)
        return json_response(found[attempt_id])

    return await run_idempotent(request, EVERYTHING, prepare)


def _reason(given: Any) -> str:
    if not isinstance(given, dict):
        raise InvalidField("body", "is no object")
    reason = parsing.short_text("reason", given.get("reason"))
    if not reason or not reason.strip():
        raise InvalidField("reason", "is required")
    return reason

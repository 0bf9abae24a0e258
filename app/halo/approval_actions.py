"""Approves or rejects invoices that autopay holds: the actions on approvals."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidField
from app.halo.access.authenticator import Caller
from app.halo.engine import parsing, request_body
from app.halo.engine.codec import codec_of
from app.halo.engine.idempotency import Work, Written, run_idempotent
from app.halo.engine.record_queries import RecordQueries
from app.halo.engine.resource_routes import WrittenAnswer
from app.halo.resources.autopay_approval_resource import AUTOPAY_APPROVALS
from app.ledger import approvals
from app.ledger.approvals import ApprovalState
from app.storage.engines import Tx

EDIT_AUTOPAY = "edit:autopay"

_APPROVALS = RecordQueries(codec_of(AUTOPAY_APPROVALS))


async def approve(request: Request) -> Response:
    return await _decide(request, ApprovalState.APPROVED)


async def reject(request: Request) -> Response:
    return await _decide(request, ApprovalState.REJECTED)


async def _decide(request: Request, state: ApprovalState) -> Response:
    async def prepare(caller: Caller, body: bytes) -> Work:
        amounts, reason = _parsed(request_body.parse_json(body))

        async def work(tx: Tx) -> Response | Written:
            decided = await approvals.decide(
                tx, amounts, state, who=caller.name, reason=reason, now=request.app.state.clock()
            )
            ids = [one.id for one in decided]
            return await WrittenAnswer(_APPROVALS, ids, caller).within(tx, len(ids))

        return work

    return await run_idempotent(request, EDIT_AUTOPAY, prepare)


def _parsed(given: Any) -> tuple[Mapping[int, Decimal | None], str]:
    """The invoices, each with the amount that the caller has seen, and the reason."""
    if not isinstance(given, dict):
        raise InvalidField("body", "is no object")
    reason = parsing.short_text("reason", given.get("reason")) or ""
    listed = given.get("invoices")
    if not isinstance(listed, list) or not listed:
        raise InvalidField("invoices", "is no list of objects")
    return _amounts(listed), reason.strip()


def _amounts(listed: Sequence[Any]) -> dict[int, Decimal | None]:
    amounts: dict[int, Decimal | None] = {}
    for one in listed:
        if not isinstance(one, dict):
            raise InvalidField("invoices", "is no list of objects")
        invoice_id = parsing.reference("invoice_id", one.get("invoice_id"))
        if invoice_id is None or invoice_id in amounts:
            raise InvalidField("invoice_id", "is required, and each invoice stands once")
        amounts[invoice_id] = parsing.exact("amount", one.get("amount"))
    return amounts

"""POST /PayLink: makes a link. Its address is in the answer, and nowhere else a second time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidField
from app.halo.access.authenticator import Caller
from app.halo.access.own_address import own_address
from app.halo.engine import parsing, request_body
from app.halo.engine.idempotency import Work, run_idempotent
from app.halo.engine.responses import json_response
from app.ledger import pay_links
from app.ledger.pay_links import LinkSubject
from app.rules.notation import moment
from app.storage.engines import Tx

EDIT_INVOICES = "edit:invoices"


class CloseLinkSessions(Protocol):
    """Expires the sessions of a revoked link; answers those that may still be paid, by their ids.

    Unavailable where Stripe cannot be asked by this process.
    """

    async def __call__(self, link_id: int) -> Sequence[str]: ...


async def make_pay_link(request: Request) -> Response:
    """A link for an invoice, or for all that a client owes."""

    async def prepare(caller: Caller, body: bytes) -> Work:
        address = own_address(request)
        given = request_body.parse_json(body)
        one = given[0] if isinstance(given, list) and len(given) == 1 else given
        if not isinstance(one, dict):
            raise InvalidField("body", "is not one object")
        subject = LinkSubject(
            parsing.reference("invoice_id", one.get("invoice_id")),
            parsing.reference("client_id", one.get("client_id")),
        )
        days = parsing.small("days", one.get("days"))
        allows_portal = bool(parsing.flag("allows_portal", one.get("allows_portal")))

        async def work(tx: Tx) -> Response:
            now: datetime = request.app.state.clock()
            made = await pay_links.make_link(
                tx,
                subject,
                url_of=lambda token: f"{address}/pay/{token}",
                days=pay_links.DAYS if days is None else days,
                allows_portal=allows_portal,
                who=caller.name,
                now=now,
            )
            answer: dict[str, Any] = {
                "id": made.id,
                "url": made.url,
                "expires_at": moment(made.expires_at),
                **subject._asdict(),
            }
            return json_response(answer, 201)

        return work

    return await run_idempotent(request, EDIT_INVOICES, prepare)

"""Sends a message of the outbox again: the one action on mail."""

from starlette.requests import Request
from starlette.responses import Response

from app.halo.access.authenticator import Caller
from app.halo.engine.codec import codec_of
from app.halo.engine.idempotency import Work, Written, run_idempotent
from app.halo.engine.record_queries import RecordQueries
from app.halo.engine.resource_routes import WrittenAnswer, id_in_path
from app.halo.resources.mail_resource import MAIL
from app.ledger import outbox
from app.storage.engines import Tx

EDIT_MAIL = "edit:mail"

_MESSAGES = RecordQueries(codec_of(MAIL))


async def retry_mail(request: Request) -> Response:
    """One that was sent is refused; one of which nobody knows may come twice."""

    async def prepare(caller: Caller, body: bytes) -> Work:
        message_id = id_in_path(MAIL, request.path_params["id"])

        async def work(tx: Tx) -> Response | Written:
            await outbox.retry(tx, message_id, now=request.app.state.clock())
            return await WrittenAnswer(_MESSAGES, [message_id], caller).within(tx, 1)

        return work

    return await run_idempotent(request, EDIT_MAIL, prepare)

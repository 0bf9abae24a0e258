"""Idempotency-Key: a POST that is sent again is not done again, and is answered as before.

The answer is kept in the transaction that does the work: either both are there after a crash, or
neither is. Of two requests with one key at once, the later waits for the earlier one's commit.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Table, delete, select, tuple_
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, InvalidField, Unavailable
from app.halo.access.authenticator import Authenticator, Caller
from app.halo.engine import request_body
from app.halo.engine.responses import refusal_response
from app.storage.column_types import table_of
from app.storage.driver_errors import LostRace
from app.storage.engines import Database, Tx
from app.storage.rows import insert_once
from app.storage.tables.credentials import IdempotencyRecord

KEPT: Table = table_of(IdempotencyRecord)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LASTS = timedelta(hours=24)
KEY_MAX = 255
# Old answers removed when a new one is kept: more than arrive, few enough to be quick.
_SWEPT = 100
_CLAIM = "paydue.claim"
# Another token, or another moment, may fare better with these.
_INDEFINITE = frozenset({401, 403, 408, 429})


class KeyReused(AppError):
    """The key belongs to another request; answering that one's answer would be a lie."""

    status = 422


@dataclass(slots=True)
class _Claim:
    """What a request with a key would be remembered by."""

    access_id: int
    key: str
    fingerprint: str
    is_kept: bool = False


async def run_idempotent(request: Request, work: Callable[[Tx], Awaitable[Response]]) -> Response:
    """What `work` answers in a transaction, with the memory of it when the request has a key.

    Everything that a POST changes goes through here. It is run again when it lost a race.
    """
    database: Database = request.app.state.database
    claim: _Claim | None = request.scope.get(_CLAIM)

    async def once(tx: Tx) -> Response:
        if claim is None:
            return await work(tx)
        now = request.app.state.clock()
        known = await _known(tx, claim, now)
        return known or await _keep(tx, claim, await work(tx), now)

    try:
        response = await database.with_retry(once)
    except LostRace as error:
        raise Unavailable("others keep changing the same records; try again") from error
    if claim is not None:
        claim.is_kept = True
    return response


class IdempotencyMiddleware:
    """ASGI middleware: answers what is known of a key, and keeps refusals too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        response = await self._answered(request, key)
        await response(scope, receive, send)

    async def _answered(self, request: Request, key: str) -> Response:
        state = request.app.state
        doors: Authenticator = state.doors
        caller = await doors.identified(request.headers.get("authorization", ""))
        raw = await request_body.read(request, state.settings.body_max)
        claim = _Claim(caller.access_id, _checked(key), _fingerprint(request, caller, raw))
        async with state.database.snapshot() as tx:
            known = await _known(tx, claim, state.clock())
        if known is not None:
            doors.count(caller)
            return known
        request.scope[_CLAIM] = claim
        response = await self._run(request, raw)
        if claim.is_kept or response.status_code >= 500 or response.status_code in _INDEFINITE:
            return response
        return await run_idempotent(request, _answering(response))

    async def _run(self, request: Request, raw: bytes) -> Response:
        """What the application answers, whole; or what it raised, as it would be answered."""
        answer = _Answer()
        try:
            await self._app(request.scope, _receiving(raw, request.receive), answer)
        except AppError as error:
            return refusal_response(error)
        return answer.response()


class _Answer:
    """Takes the messages of one answer. Answers of the API are small; none is streamed."""

    def __init__(self) -> None:
        self._status = 500
        self._headers: Headers = Headers()
        self._chunks: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = Headers(raw=message["headers"])
        elif message["type"] == "http.response.body":
            self._chunks.append(message.get("body", b""))

    def response(self) -> Response:
        return Response(b"".join(self._chunks), self._status, dict(self._headers))


def _receiving(raw: bytes, receive: Receive) -> Receive:
    """The body once more, for who comes next; afterwards whatever the server says."""
    messages: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received


def _answering(response: Response) -> Callable[[Tx], Awaitable[Response]]:
    async def answering(_: Tx) -> Response:
        return response

    return answering


def _key(scope: Scope) -> str | None:
    """The key of a POST to the API, None for every other request."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    if scope["path"][:5].lower() != "/api/":
        return None
    return Headers(scope=scope).get(HEADER)


def _checked(key: str) -> str:
    if not 0 < len(key) <= KEY_MAX or not (key.isascii() and key.isprintable()):
        raise InvalidField(HEADER, f"must be 1 to {KEY_MAX} printable ASCII characters")
    return key


def _fingerprint(request: Request, caller: Caller, raw: bytes) -> str:
    """The same for the same request by the same rights; another body or path gives another."""
    path = request.url.path.rstrip("/").lower()
    parts = (path.encode(), request.scope["query_string"], " ".join(sorted(caller.scopes)).encode())
    digest = hashlib.sha256(raw)
    for part in parts:
        digest.update(b"\0" + part)
    return digest.hexdigest()


async def _known(tx: Tx, claim: _Claim, now: datetime) -> Response | None:
    found = (
        await tx.execute(
            select(KEPT).where(
                KEPT.c.access_id == claim.access_id,
                KEPT.c.key == claim.key,
                KEPT.c.kept_at > now - LASTS,
            )
        )
    ).one_or_none()
    if found is None:
        return None
    if found.fingerprint != claim.fingerprint:
        raise KeyReused(f"{HEADER} {claim.key!r} was used for another request less than a day ago")
    headers = {REPLAYED: "true", "Content-Type": found.content_type}
    return Response(found.body, found.status, headers)


async def _keep(tx: Tx, claim: _Claim, response: Response, now: datetime) -> Response:
    await _sweep(tx, claim, now)
    row = {
        "access_id": claim.access_id,
        "key": claim.key,
        "fingerprint": claim.fingerprint,
        "status": response.status_code,
        "content_type": response.headers.get("content-type", "application/json"),
        "body": bytes(response.body),
        "kept_at": now,
    }
    key = (KEPT.c.access_id, KEPT.c.key)
    if not await insert_once(tx, KEPT, [row], key=key, returning=[KEPT.c.key]):
        raise LostRace  # the same request was quicker elsewhere: what we did is undone
    return response


async def _sweep(tx: Tx, claim: _Claim, now: datetime) -> None:
    """Old answers go, this key's own in any case; no two sweepers wait for each other."""
    old = KEPT.c.kept_at <= now - LASTS
    own = (KEPT.c.access_id == claim.access_id, KEPT.c.key == claim.key)
    await tx.execute(delete(KEPT).where(old, *own))
    key = (KEPT.c.access_id, KEPT.c.key)
    some = select(*key).where(old).limit(_SWEPT).with_for_update(skip_locked=True)
    await tx.execute(delete(KEPT).where(tuple_(*key).in_(some)))

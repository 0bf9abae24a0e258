"""Idempotency-Key: a POST that is sent again is not done again, and is answered as before.

The answer is stored in the transaction that does the work: either both are there after a crash, or
neither is. Of two requests with one key at once, the later waits for the earlier one's commit.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Table, delete, select, tuple_
from starlette.requests import Request
from starlette.responses import Response

from app.errors import AppError, InvalidField, Unavailable
from app.halo.access.authenticator import Caller, authenticate
from app.halo.engine import request_body
from app.halo.engine.responses import refusal_response
from app.storage.column_types import table_of
from app.storage.driver_errors import LostRace
from app.storage.engines import Database, Tx
from app.storage.rows import insert_once
from app.storage.tables.credentials import IDEMPOTENCY_RECORD_LASTS, IdempotencyRecord

RECORDS: Table = table_of(IdempotencyRecord)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY_MAX = 255
# Bytes of an answer that are kept; of a longer one, the ids of its records.
BODY_MAX = 64 * 1024
# Keys of one credential at a time: more than an importer uses in a day.
KEYS_MAX = 100_000
# Old records removed when a new one is stored: more than arrive, few enough to be quick.
_SWEPT = 100
# With another token, or at another moment, a request refused so may be accepted.
_INDEFINITE = frozenset({401, 403, 408, 429})


@dataclass(frozen=True, slots=True)
class Written:
    """A change that is written, whose answer is too long to be made in the writer's turn.

    The answer is made from a snapshot after the commit; under the request's key, as of every
    answer that is too long, the ids are kept.
    """

    ids: Response
    answer: Callable[[Tx], Awaitable[Response]]


Work = Callable[[Tx], Awaitable[Response | Written]]
"""The part of a request that needs a transaction. It is run again when it lost a race."""

PrepareWork = Callable[[Caller, bytes], Awaitable[Work | Response]]
"""The part that needs none: it parses the body, and answers the work to do, or at once."""


class KeyReused(AppError):
    """The key belongs to another request, whose answer would be a lie."""

    status = 422


class TooManyKeys(AppError):
    """The credential has as many keys as are kept; the oldest expire first."""

    status = 429
    retry_after_s = 3600


@dataclass(frozen=True, slots=True)
class _Claim:
    """A request's key, with a fingerprint that tells the same request from another."""

    access_id: int
    key: str
    fingerprint: str


async def run_idempotent(request: Request, right: str, prepare: PrepareWork) -> Response:
    """Authenticate a request and do its work in one transaction; once, if it carries a key.

    Every request that changes something goes through here. A refusal is stored under the key as an
    answer is, but for those that another token or another moment may turn.
    """
    caller = await authenticate(request)
    key = request.headers.get(HEADER) if request.method == "POST" else None
    if key is None:
        caller.require(right)
        return await _commit(request, None, await prepare(caller, await _body(request)))
    body = await _body(request)
    claim = _Claim(caller.access_id, _checked_key(key), _fingerprint(request, caller, body))
    known = await _replay(request, claim)
    if known is not None:
        return known
    try:
        caller.require(right)
        return await _commit(request, claim, await prepare(caller, body))
    except AppError as error:
        if error.status >= 500 or error.status in _INDEFINITE:
            raise
        return await _commit(request, claim, refusal_response(request.scope, error))


async def _replay(request: Request, claim: _Claim) -> Response | None:
    """The stored answer to this request; None when there is none."""
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        return await _find(tx, claim, request.app.state.clock())


async def _commit(request: Request, claim: _Claim | None, work: Work | Response) -> Response:
    """Do the work and store its answer in one transaction, or find the answer stored meanwhile."""
    database: Database = request.app.state.database
    if isinstance(work, Response):
        if claim is None or not _is_json(work):
            return work
        work = _answer_with(work)

    async def once(tx: Tx) -> Response | Written:
        if claim is None:
            return await work(tx)
        now: datetime = request.app.state.clock()
        known = await _find(tx, claim, now)
        if known is not None:
            return known
        done = await work(tx)
        await _store(tx, claim, done.ids if isinstance(done, Written) else done, now)
        return done

    try:
        async with database.clients_turn():
            done = await database.with_retry(once)
    except LostRace as error:
        raise Unavailable("others keep changing the same records; try again") from error
    return await _answered(database, done) if isinstance(done, Written) else done


async def _answered(database: Database, done: Written) -> Response:
    try:
        async with database.snapshot() as tx:
            return await done.answer(tx)
    except AppError:  # what was asked for is done, so no refusal would be true
        return done.ids


def _is_json(response: Response) -> bool:
    """Any other answer is a document, which changes nothing: it is made again."""
    return response.media_type == "application/json"


def _answer_with(response: Response) -> Work:
    async def work(_: Tx) -> Response:
        return response

    return work


async def _body(request: Request) -> bytes:
    if request.method != "POST":
        return b""
    return await request_body.read(request, request.app.state.settings.body_max)


def _checked_key(key: str) -> str:
    if not 0 < len(key) <= KEY_MAX or not (key.isascii() and key.isprintable()):
        raise InvalidField(HEADER, f"must be 1 to {KEY_MAX} printable ASCII characters")
    return key


def _fingerprint(request: Request, caller: Caller, body: bytes) -> str:
    """The same for the same request by the same rights; another body or path gives another."""
    path = request.url.path.rstrip("/").lower()
    parts = (path.encode(), request.scope["query_string"], " ".join(sorted(caller.scopes)).encode())
    digest = hashlib.sha256(body)
    for part in parts:
        digest.update(b"\0" + part)
    return digest.hexdigest()


async def _find(tx: Tx, claim: _Claim, now: datetime) -> Response | None:
    found = (
        await tx.execute(
            select(RECORDS).where(
                RECORDS.c.access_id == claim.access_id,
                RECORDS.c.key == claim.key,
                RECORDS.c.kept_at > now - IDEMPOTENCY_RECORD_LASTS,
            )
        )
    ).one_or_none()
    if found is None:
        return None
    if found.fingerprint != claim.fingerprint:
        raise KeyReused(f"{HEADER} {claim.key!r} was used for another request less than a day ago")
    headers = {REPLAYED: "true", "Content-Type": found.content_type}
    return Response(found.body, found.status, headers)


async def _store(tx: Tx, claim: _Claim, response: Response, now: datetime) -> None:
    await _sweep(tx, claim, now)
    await _refuse_too_many_keys(tx, claim)
    row = {
        "access_id": claim.access_id,
        "key": claim.key,
        "fingerprint": claim.fingerprint,
        "status": response.status_code,
        "content_type": response.headers.get("content-type", "application/json"),
        "body": _kept_body(bytes(response.body)),
        "kept_at": now,
    }
    key = (RECORDS.c.access_id, RECORDS.c.key)
    if not await insert_once(tx, RECORDS, [row], key=key, returning=[RECORDS.c.key]):
        raise LostRace  # the same request was quicker elsewhere: our work is undone


def _kept_body(body: bytes) -> bytes:
    """The answer, or the ids of its records where it is too long to be kept for a day."""
    if len(body) <= BODY_MAX:
        return body
    content = orjson.loads(body)
    records = content if isinstance(content, list) else [content]
    ids = [{"id": one["id"]} for one in records]
    return orjson.dumps(ids if isinstance(content, list) else ids[0])


async def _refuse_too_many_keys(tx: Tx, claim: _Claim) -> None:
    own = select(RECORDS.c.key).where(RECORDS.c.access_id == claim.access_id)
    if await tx.scalar(own.order_by(RECORDS.c.key).offset(KEYS_MAX - 1).limit(1)) is not None:
        raise TooManyKeys(f"{KEYS_MAX} keys of these credentials are kept; use fewer a day")


async def _sweep(tx: Tx, claim: _Claim, now: datetime) -> None:
    """Delete old records, this key's own in any case; no two sweepers wait for each other."""
    old = RECORDS.c.kept_at <= now - IDEMPOTENCY_RECORD_LASTS
    own = (RECORDS.c.access_id == claim.access_id, RECORDS.c.key == claim.key)
    await tx.execute(delete(RECORDS).where(old, *own))
    key = (RECORDS.c.access_id, RECORDS.c.key)
    some = select(*key).where(old).limit(_SWEPT).with_for_update(skip_locked=True)
    await tx.execute(delete(RECORDS).where(tuple_(*key).in_(some)))

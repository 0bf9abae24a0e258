"""List, save, read and delete, written once for every resource."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.errors import NotFound
from app.halo.access.authenticator import Caller, authorize
from app.halo.access.concurrency_limit import bounded_snapshot, reading_place
from app.halo.engine import request_body
from app.halo.engine.codec import RecordCodec, codec_of
from app.halo.engine.crud import Remover, Writer, resource_remover, resource_writer
from app.halo.engine.filters import CALLER
from app.halo.engine.heavy_work import HEAVY_ROWS, compute
from app.halo.engine.idempotency import Work, Written, run_idempotent
from app.halo.engine.list_query import query_parameters
from app.halo.engine.record_queries import (
    ANSWER_BYTES_MAX,
    AnswerTooLong,
    RecordPage,
    RecordQueries,
    row_count,
)
from app.halo.engine.resource import LIST, READ, REMOVE, SAVE, Resource
from app.halo.engine.responses import json_response
from app.halo.openapi import operations
from app.halo.openapi.operations import Operation
from app.rules.home import Home, home_of
from app.settings import Settings
from app.storage.engines import Tx

Endpoint = Callable[[Request], Awaitable[Response]]


class CaseInsensitiveRoute(Route):
    """A route that HaloPSA's clients find in whatever case they write it, with `/` or without."""

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        method: str,
        operation: Operation | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(path, endpoint, methods=[method], name=name)
        self.operation = operation
        pattern = self.path_regex.pattern.removesuffix("$") + "/?$"
        self.path_regex = re.compile(pattern, re.IGNORECASE)


BeforeSave = Callable[[Request, Sequence[Mapping[str, Any]]], Awaitable[None]]
"""What is asked of others before the transaction that saves the records of a request begins."""


def resource_routes(
    resource: Resource,
    write: Writer | None = None,
    remove: Remover | None = None,
    before_save: BeforeSave | None = None,
) -> list[CaseInsensitiveRoute]:
    """The routes for a resource's verbs. `write` and `remove` stand where a rule guards them."""
    write, remove = write or resource_writer(resource), remove or resource_remover(resource)
    codec = codec_of(resource)
    reading = RecordQueries(codec)
    collection, single = f"/api/{resource.path}", f"/api/{resource.path}/{{id}}"
    available = {
        LIST: lambda: CaseInsensitiveRoute(
            collection, _list(codec, reading), "GET", operations.listed(resource),
            f"list {resource.path}",
        ),
        SAVE: lambda: CaseInsensitiveRoute(
            collection, _save(codec, reading, write, before_save), "POST",
            operations.saved(resource), f"save {resource.path}",
        ),
        READ: lambda: CaseInsensitiveRoute(
            single, _read(codec, reading), "GET", operations.read(resource),
            f"read {resource.path}",
        ),
        REMOVE: lambda: CaseInsensitiveRoute(
            single, _remove(codec, remove), "DELETE", operations.removed(resource),
            f"delete {resource.path}",
        ),
    }  # fmt: skip
    return [available[verb]() for verb in resource.verbs]


def _list(codec: RecordCodec, reading: RecordQueries) -> Endpoint:
    right = f"read:{codec.resource.group}"

    async def listed(request: Request) -> Response:
        caller = await authorize(request, right)
        params = {
            **query_parameters(request.scope["query_string"]),
            CALLER: (str(caller.access_id),),
        }
        async with reading_place(request, caller):
            async with bounded_snapshot(request) as tx:
                listing = await reading.list_page(tx, params)
            return await list_response(codec.resource, caller, listing)

    return listed


async def list_response(resource: Resource, caller: Caller, listing: RecordPage) -> Response:
    rows = row_count(listing.records)
    answer = await compute(rows, redacted_response, caller, wrap_list(resource, listing))
    if len(answer.body) > ANSWER_BYTES_MAX:
        raise AnswerTooLong
    return answer


def redacted_response(caller: Caller, content: Any, status: int = 200) -> Response:
    """The answer as this caller may see it."""
    return json_response(caller.redact(content), status)


def wrap_list(resource: Resource, listing: RecordPage) -> Any:
    """The list in its wrapper, where HaloPSA has one; page and size stand there when paging."""
    envelope = resource.listing.envelope
    if envelope is None:
        return listing.records
    page = listing.query.page
    paging = {"page_no": page.number, "page_size": page.size} if page.is_asked_for else {}
    counted = {"record_count": listing.total, envelope: listing.records}
    return {**paging, **listing.wrapper, **counted}


def _save(
    codec: RecordCodec, reading: RecordQueries, write: Writer, before_save: BeforeSave | None
) -> Endpoint:
    right = f"edit:{codec.resource.group}"

    async def saved(request: Request) -> Response:
        settings: Settings = request.app.state.settings

        async def prepare(caller: Caller, body: bytes) -> Work:
            records = await compute(len(body) // request_body.ROW_BYTES, _parsed, codec, body)
            if before_save is not None:
                await before_save(request, records)

            async def work(tx: Tx) -> Response | Written:
                now: datetime = request.app.state.clock()
                ids = await write(tx, records, now=now, who=caller.name, home=home_of(settings))
                answer = WrittenAnswer(reading, ids, caller, codec.resource.saved_status)
                return await answer.within(tx, row_count(records))

            return work

        return await run_idempotent(request, right, prepare)

    return saved


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """The records that a request has written, as they are then; one alone stands in no list."""

    reading: RecordQueries
    ids: Sequence[int]
    caller: Caller
    status: int = 200
    # In the place of a record that was not written: the reason, by the id that stands for it.
    failed: Mapping[int, dict[str, Any]] = field(default_factory=dict)

    async def within(self, tx: Tx, rows: int) -> Response | Written:
        """Made in the transaction, unless so many rows were given that others wait for its end."""
        if rows <= HEAVY_ROWS:
            return await self.make(tx)
        ids = [self.failed.get(one, {"id": one}) for one in self.ids]
        return Written(json_response(one_or_many(ids), self.status), self.make)

    async def make(self, tx: Tx) -> Response:
        written = set(self.ids).difference(self.failed)
        found = {**self.failed, **await self.reading.by_ids(tx, written, detailed=False)}
        shown = [found[one] for one in self.ids if one in found]
        answer = one_or_many(shown)
        return await compute(row_count(shown), redacted_response, self.caller, answer, self.status)


def one_or_many(shown: Sequence[Any]) -> Any:
    """HaloPSA answers one object to a list of one."""
    return shown[0] if len(shown) == 1 else shown


def _parsed(codec: RecordCodec, body: bytes) -> list[dict[str, Any]]:
    return codec.parse_request(request_body.parse_json(body))


def _read(codec: RecordCodec, reading: RecordQueries) -> Endpoint:
    right = f"read:{codec.resource.group}"

    async def read(request: Request) -> Response:
        caller = await authorize(request, right)
        record_id = id_in_path(codec.resource, request.path_params["id"])
        params = query_parameters(request.scope["query_string"])
        async with reading_place(request, caller):
            async with bounded_snapshot(request) as tx:
                found = await reading.one(tx, record_id, params)
            return await compute(row_count([found]), redacted_response, caller, found)

    return read


def _remove(codec: RecordCodec, remove: Remover) -> Endpoint:
    right = f"edit:{codec.resource.group}"

    async def removed(request: Request) -> Response:
        home: Home = home_of(request.app.state.settings)

        async def prepare(caller: Caller, _: bytes) -> Work:
            record_id = id_in_path(codec.resource, request.path_params["id"])

            async def work(tx: Tx) -> Response:
                now: datetime = request.app.state.clock()
                await remove(tx, record_id, now=now, who=caller.name, home=home)
                return json_response({"id": record_id})

            return work

        return await run_idempotent(request, right, prepare)

    return removed


def id_in_path(resource: Resource, text: str) -> int:
    """Ids are whole numbers of 64 bits; anything else is a record that does not exist."""
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) >= 2**63:
        raise NotFound(resource.path, text)
    return int(text)

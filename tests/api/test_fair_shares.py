"""Fair shares: one credential leaves connections, memory and the writer's turn to the others."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, text

from app.errors import StatementTimeout
from app.halo.access.api_credentials import TOKENS_MAX, create_credential
from app.halo.access.concurrency_limit import IN_FLIGHT_MAX, ConcurrencyLimit
from app.halo.engine import pagination
from app.halo.engine.heavy_work import HEAVY_ROWS, compute, print_document
from app.halo.engine.idempotency import BODY_MAX, KEYS_MAX, RECORDS
from app.halo.engine.pagination import REMEMBERED_MAX, SORTED_MAX
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import CLIENTS_WRITERS, POSTGRES_READERS, READERS, Database
from tests.api.client import Answer, Api
from tests.clock import NOW, Clock
from tests.harness import event, intent, watched
from tests.service import Service

pytestmark = pytest.mark.anyio

LIMIT = 30
SHORT_S = 0.05


@dataclass(frozen=True)
class Shared:
    """The API with a concurrency limit that waits for no time worth mentioning."""

    api: Api
    limit: ConcurrencyLimit
    credentials: tuple[str, str]

    @contextlib.asynccontextmanager
    async def held(self, access_id: int = 1) -> AsyncIterator[None]:
        """All places of a credential, as by lists that take long."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(IN_FLIGHT_MAX):
                await stack.enter_async_context(self.limit.hold(access_id))
            yield


@pytest.fixture
async def shared(database: Database, clock: Clock) -> AsyncIterator[Shared]:
    app = create_app(Settings(_env_file=None, PAYDUE_RATE_LIMIT=LIMIT), database, clock=clock)
    limit = app.state.concurrency_limit = ConcurrencyLimit(wait_s=SHORT_S)
    async with serve_in_loop(app) as base, aiohttp.ClientSession(base) as session:
        async with database.transaction() as tx:
            credentials = await create_credential(tx, "tests", ["all"], NOW)
        api = Api(session, database)
        await api.sign_in(*credentials)
        yield Shared(api, limit, credentials)


async def bought(shared: Shared) -> Answer:
    client_id, secret = shared.credentials
    return await shared.api.token(
        grant_type="client_credentials", client_id=client_id, client_secret=secret
    )


def numbers(count: int) -> str:
    """The beginning of a statement that selects from `n` as many rows."""
    following = f"SELECT i + 1 FROM n WHERE i < {count}"
    return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL {following})"


# --- the money path --------------------------------------------------------------------------


async def test_a_webhook_needs_nothing_that_requests_of_the_api_hold(service: Service) -> None:
    """Every reader, the turns of clients, and both threads are taken for as long as it takes."""
    database, go_on = service.database, threading.Event()
    async with contextlib.AsyncExitStack() as held, asyncio.TaskGroup() as group:
        held.callback(go_on.set)
        for _ in range(READERS if database.is_sqlite else POSTGRES_READERS):
            await held.enter_async_context(database.snapshot())
        await held.enter_async_context(database.key_snapshot())
        for _ in range(1 if database.is_sqlite else CLIENTS_WRITERS):
            await held.enter_async_context(database.clients_turn())
            if not database.is_sqlite:
                await held.enter_async_context(database.transaction())
        group.create_task(compute(HEAVY_ROWS + 1, go_on.wait, 60))
        group.create_task(print_document(go_on.wait, 60))
        await asyncio.sleep(0)

        await service.deliver(event("payment_intent.succeeded", intent(None)))
        go_on.set()


# --- lists at once ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/Invoice"),
        ("GET", "/api/Invoice/lines"),
        ("GET", "/api/Invoice/1"),
        ("POST", "/api/Invoice/PDF/1"),
    ],
)
async def test_a_credential_reads_so_many_lists_and_documents_at_once(
    shared: Shared, method: str, path: str
) -> None:
    await shared.api.invoice(1)

    async with shared.held():
        refused = await shared.api.send(method, path)
    later = await shared.api.send(method, path)

    assert (refused.status, later.status) == (429, 200)
    assert refused.headers["Retry-After"] == "1"
    assert str(IN_FLIGHT_MAX) in refused.json["Message"]


async def test_the_lists_of_one_credential_keep_no_other_waiting(shared: Shared) -> None:
    async with shared.held(access_id=2):
        answer = await shared.api.send("GET", "/api/Invoice")

    assert answer.status == 200


# --- connections -----------------------------------------------------------------------------


async def test_tokens_are_looked_up_while_lists_hold_every_reader(shared: Shared) -> None:
    database = shared.api.database
    readers = READERS if database.is_sqlite else POSTGRES_READERS

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(readers):
            await stack.enter_async_context(database.snapshot())
        known = await shared.api.send("GET", "/api/Invoice/none")
        wrong = await shared.api.token(
            grant_type="client_credentials", client_id="nobody", client_secret="x"
        )

    assert (known.status, wrong.status) == (404, 401)


async def test_a_statement_that_takes_too_long_is_ended_and_the_connection_lives(
    database: Database,
) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    slow = text(endless if database.is_sqlite else "SELECT pg_sleep(60)")

    async with database.snapshot(statement_limit_s=SHORT_S) as tx:
        with pytest.raises(StatementTimeout, match="takes too long"):
            await tx.execute(slow)
    async with database.snapshot() as tx:
        assert await tx.scalar(text("SELECT 1")) == 1


async def test_a_list_is_sorted_by_a_field_without_an_index_up_to_so_many_records(
    api: Api,
) -> None:
    async with api.database.transaction() as tx:
        await tx.execute(
            text(
                f"INSERT INTO cost_centre (name, chargeable) {numbers(SORTED_MAX + 1)}"
                " SELECT 'x', 1 = 1 FROM n"
            )
        )

    refused = await api.send("GET", "/api/CostCentres?order=name&pageinate=true")
    by_index = await api.send("GET", "/api/CostCentres?order=id&pageinate=true")
    async with api.database.transaction() as tx:
        await tx.execute(text("DELETE FROM cost_centre WHERE id = 5"))
    taken = await api.send("GET", "/api/CostCentres?order=name&pageinate=true")

    assert refused.status == 400
    assert refused.json["Message"].startswith(f"order: at most {SORTED_MAX} records")
    assert (by_index.status, taken.status) == (200, 200)


# --- tokens ----------------------------------------------------------------------------------


async def test_a_wrong_secret_takes_no_writers_turn(shared: Shared) -> None:
    client_id, _ = shared.credentials

    seen: list[str] = []
    with watched(shared.api.database, lambda statement, _: seen.append(statement)):
        answer = await shared.api.token(
            grant_type="client_credentials", client_id=client_id, client_secret="wrong"
        )

    assert answer.status == 401
    assert seen == []  # of the readers for lists and the writer; tokens have a connection


async def test_a_credential_has_so_many_live_tokens_and_the_oldest_end(
    shared: Shared, clock: Clock
) -> None:
    first, second = (await bought(shared)).json, None
    for number in range(TOKENS_MAX):
        clock.advance(seconds=3)
        answer = await bought(shared)
        if number == 0:
            second = answer.json

    async def status(token: Any) -> int:
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        return (await shared.api.send("GET", "/api/Currency/1", headers=headers)).status

    assert (await status(first), await status(second)) == (401, 200)


async def test_tokens_are_counted_by_the_rate_limiter(shared: Shared, clock: Clock) -> None:
    clock.advance(minutes=1)

    answers = [await bought(shared) for _ in range(LIMIT + 1)]

    assert [one.status for one in answers] == [200] * LIMIT + [429]
    assert answers[LIMIT].headers["Retry-After"] == "2"


# --- idempotency records ---------------------------------------------------------------------


async def records(api: Api) -> list[Any]:
    async with api.database.snapshot() as tx:
        return list(await tx.execute(select(RECORDS)))


async def test_a_path_that_does_not_exist_leaves_no_record(api: Api) -> None:
    api.headers["Idempotency-Key"] = "k1"

    answer = await api.send("POST", "/api/nothing", json=[{}])

    assert (answer.status, await records(api)) == (404, [])


async def test_a_document_leaves_no_record(api: Api) -> None:
    invoice = await api.invoice(1)
    api.headers["Idempotency-Key"] = "k1"

    answers = [await api.send("POST", f"/api/Invoice/PDF/{invoice['id']}") for _ in range(2)]

    assert [one.status for one in answers] == [200, 200]
    assert await records(api) == []


async def test_of_a_long_answer_the_ids_are_kept(api: Api) -> None:
    api.headers["Idempotency-Key"] = "k1"
    bodies = [[{"notes_1": "x" * BODY_MAX}] * 2]

    first, again = [await api.send("POST", "/api/Invoice", json=body) for body in bodies * 2]

    assert again.status == first.status
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == [{"id": one["id"]} for one in first.json]
    assert len((await records(api))[0].body) <= BODY_MAX


async def test_a_credential_has_so_many_keys_and_no_more(api: Api) -> None:
    await api.send("POST", "/api/Client", json=[{"name": "Ada"}],
                   headers={**api.headers, "Idempotency-Key": "first"})  # fmt: skip
    columns = "fingerprint, status, content_type, body, kept_at"
    for part in range(10):
        async with api.database.transaction() as tx:
            await tx.execute(
                text(
                    f"INSERT INTO kept_answer (access_id, key, {columns}) {numbers(KEYS_MAX // 10)}"
                    f" SELECT access_id, 'k{part}-' || i, {columns}"
                    " FROM kept_answer, n WHERE key = 'first'"
                )
            )

    refused = await api.send("POST", "/api/Client", json=[{"name": "Bob"}],
                             headers={**api.headers, "Idempotency-Key": "another"})  # fmt: skip
    again = await api.send("POST", "/api/Client", json=[{"name": "Ada"}],
                           headers={**api.headers, "Idempotency-Key": "first"})  # fmt: skip

    assert (refused.status, again.status) == (429, 200)
    assert str(KEYS_MAX) in refused.json["Message"]
    assert [one["name"] for one in (await api.get("/api/Client"))["clients"]] == ["Ada"]


# --- memory ----------------------------------------------------------------------------------


async def test_a_page_of_a_long_list_of_ids_is_remembered_by_its_hash(api: Api) -> None:
    await api.invoice(1)
    ids = ",".join(str(one) for one in range(1, 1000))

    await api.get("/api/Invoice", pageinate="true", ids=ids)

    cache = pagination._CACHES[api.database._reader.sync_engine]
    assert cache._places
    assert len(repr(cache._places)) < 1000


def test_what_has_expired_is_forgotten_and_what_is_remembered_is_bounded() -> None:
    known: dict[Any, tuple[float, int]] = {}
    for number in range(10):
        pagination._remember(known, number, 1, lasts_s=-1)
    assert len(known) == 1

    for number in range(REMEMBERED_MAX + 10):
        pagination._remember(known, number, 1, lasts_s=60)
    assert len(known) == REMEMBERED_MAX
    assert 0 not in known
    assert REMEMBERED_MAX + 9 in known

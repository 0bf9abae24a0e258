"""Requests that write many rows: their answers wait for no writer, and no writer waits for two."""

import asyncio
import contextlib
from typing import Any

import pytest

from app.errors import DatabaseUnavailable
from app.halo.engine.heavy_work import HEAVY_ROWS
from app.halo.engine.resource_routes import WrittenAnswer
from app.storage.engines import CLIENTS_WRITERS, Database, Tx
from tests.api.client import Api

pytestmark = pytest.mark.anyio

LONG = {"lines": [{"item_shortdescription": f"Line {n}", "qty_order": 1} for n in range(300)]}


async def post(api: Api, key: str | None = None) -> Any:
    headers = {**api.headers, **({"Idempotency-Key": key} if key else {})}
    return await api.send("POST", "/api/Invoice", json=LONG, headers=headers)


async def test_a_long_answer_is_made_after_the_turn(api: Api, monkeypatch: Any) -> None:
    assert len(LONG["lines"]) > HEAVY_ROWS
    events: list[str] = []
    make, turn = WrittenAnswer.make, Database.clients_turn

    async def watched(self: WrittenAnswer, tx: Tx) -> Any:
        events.append("answer")
        return await make(self, tx)

    @contextlib.asynccontextmanager
    async def watched_turn(self: Database) -> Any:
        async with turn(self):
            events.append("turn")
            yield
        events.append("end")

    monkeypatch.setattr(WrittenAnswer, "make", watched)
    monkeypatch.setattr(Database, "clients_turn", watched_turn)
    answer = await post(api)

    assert (answer.status, events) == (201, ["turn", "end", "answer"])
    assert [one["item_shortdescription"] for one in answer.json["lines"]] == [
        one["item_shortdescription"] for one in LONG["lines"]
    ]


async def test_of_a_long_answer_the_ids_are_kept_under_the_key(api: Api) -> None:
    first = await post(api, "k1")
    again = await post(api, "k1")

    assert (first.status, len(first.json["lines"])) == (201, 300)
    assert (again.status, again.json) == (201, {"id": first.json["id"]})
    assert (await api.get("/api/Invoice"))["record_count"] == 1


async def test_what_is_written_is_never_answered_by_a_refusal(api: Api, monkeypatch: Any) -> None:
    real = Database.snapshot
    asked = 0

    @contextlib.asynccontextmanager
    async def busy(self: Database, statement_limit_s: float | None = None) -> Any:
        nonlocal asked
        asked += 1
        raise DatabaseUnavailable("no reader is free")
        yield

    monkeypatch.setattr(Database, "snapshot", busy)
    answer = await post(api)
    monkeypatch.setattr(Database, "snapshot", real)

    assert asked
    assert (answer.status, list(answer.json)) == (201, ["id"])
    found = await api.get(f"/api/Invoice/{answer.json['id']}")
    assert len(found["lines"]) == 300


async def test_the_money_path_waits_for_one_turn_of_the_apis(database: Database) -> None:
    """Requests that wait for their turn wait outside of the queue in which a webhook stands."""
    order: list[str] = []
    go_on = asyncio.Event()

    async def client(name: str) -> None:
        async with database.clients_turn(), database.transaction():
            order.append(name)
            await go_on.wait()

    async def webhook() -> None:
        async with database.transaction():
            order.append("webhook")

    most = 1 if database.is_sqlite else CLIENTS_WRITERS
    async with asyncio.TaskGroup() as group:
        for number in range(most + 3):
            group.create_task(client(f"client {number}"))
        while len(order) < most:  # noqa: ASYNC110 - the order of turns is looked at, no event
            await asyncio.sleep(0)
        arrived = group.create_task(webhook())
        for _ in range(20):
            await asyncio.sleep(0)
        if not database.is_sqlite:  # there is a connection for it, whoever else writes
            await arrived
        go_on.set()
    assert order[most] == "webhook"
    assert len(order) == most + 4


async def test_ids_have_no_gaps_and_ascend_with_the_place(api: Api) -> None:
    first = (await api.post("/api/Invoice", {}))["id"]
    made = await api.post("/api/Invoice", {"lines": [{}, {}]}, {"lines": [{}]}, {})

    assert [one["id"] for one in made] == [first + 1, first + 2, first + 3]
    ids = [line["id"] for one in made for line in one["lines"]]
    assert ids == list(range(ids[0], ids[0] + 3))

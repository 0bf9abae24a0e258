"""Clients and currencies: plain records."""

from decimal import Decimal

import pytest

from tests.api.client import Api
from tests.clock import Clock

pytestmark = pytest.mark.anyio


async def test_a_client_is_created_changed_and_found(api: Api, clock: Clock) -> None:
    made = await api.post("/api/Client", {"name": "Ada Ltd", "timezone": "Europe/Berlin"})
    clock.advance(minutes=1)

    changed = await api.post("/api/Client", {"id": made["id"], "email": "ada@example.com"})

    assert changed == {**made, "email": "ada@example.com", "last_modified": "2026-11-22T09:31:00"}
    listed = await api.get("/api/Client", search="EXAMPLE.com")
    assert listed == {"record_count": 1, "clients": [changed]}


async def test_inactive_clients_are_told_apart(api: Api) -> None:
    active = await api.client()
    gone = await api.client(inactive=True)

    async def found(**params: str) -> list[int]:
        return [one["id"] for one in (await api.get("/api/Client", **params))["clients"]]

    assert await found() == [active, gone]
    assert await found(inactive="false") == [active]
    assert await found(inactive="true") == [gone]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "A", "timezone": "Mars/Olympus"}, "timezone"),
        ({"name": "A", "timezone": "../etc/passwd"}, "timezone"),
        ({"name": "A", "currency_code": 4711}, "currency_code"),
    ],
)
async def test_a_client_that_cannot_be_meant_is_refused_by_name(
    api: Api, values: dict[str, object], named: str
) -> None:
    answer = await api.send("POST", "/api/Client", json=[values])

    assert answer.status == 400
    assert answer.json["Message"].startswith(named)


async def test_an_unknown_client_is_a_404(api: Api) -> None:
    assert (await api.send("GET", "/api/Client/4711")).status == 404
    answer = await api.send("POST", "/api/Client", json=[{"id": 4711, "name": "x"}])
    assert answer.status == 404


async def test_many_clients_with_different_fields_are_saved_at_once(api: Api) -> None:
    first = await api.client(email="a@example.com")

    made = await api.post(
        "/api/Client",
        {"name": "B", "inactive": True},
        {"id": first, "name": "Renamed"},
        {"name": "C", "email": "c@example.com"},
    )

    assert [one["name"] for one in made] == ["B", "Renamed", "C"]
    assert [one.get("email") for one in made] == [None, "a@example.com", "c@example.com"]
    assert [one["inactive"] for one in made] == [True, False, False]


async def test_currencies_are_there_as_a_bare_array(api: Api) -> None:
    found = await api.get("/api/Currency", pageinate="False")

    dollar = found[0]
    assert (dollar["id"], dollar["code"], dollar["symbol"]) == (1, "USD", "$")
    assert len(found) > 100
    assert (await api.get("/api/Currency/1", includedetails="False")) == dollar


async def test_a_changed_rate_leaves_the_old_one_in_the_history(api: Api, clock: Clock) -> None:
    await api.post("/api/Currency", {"id": 2, "conversion_rate": "1.1"})
    clock.advance(minutes=30)

    changed = await api.post("/api/Currency", {"id": 2, "conversion_rate": 1.2})

    assert changed["conversion_rate"] == Decimal("1.2")
    assert changed["last_updated"] == "2026-11-22T10:00:00"
    assert changed["history"] == [
        {"id": 1, "cid": 2, "enddate": "2026-11-22T09:30:00", "rate": 1},
        {"id": 2, "cid": 2, "enddate": "2026-11-22T10:00:00", "rate": Decimal("1.1")},
    ]


async def test_a_code_belongs_to_one_currency(api: Api) -> None:
    new = {"name": "Shadow Dollar", "symbol": "$", "code": "usd"}

    answer = await api.send("POST", "/api/Currency", json=[new])

    assert answer.status == 400
    assert "same key" in answer.json["Message"]


@pytest.mark.parametrize("code", ["US", "U$D", "dollars", ""])
async def test_a_code_is_three_letters(api: Api, code: str) -> None:
    new = {"name": "N", "symbol": "N", "code": code}

    answer = await api.send("POST", "/api/Currency", json=[new])

    assert answer.status == 400
    assert answer.json["Message"].startswith("code")


async def test_a_currency_keeps_its_code(api: Api) -> None:
    answer = await api.send("POST", "/api/Currency", json=[{"id": 1, "code": "EUR"}])
    renamed = await api.post("/api/Currency", {"id": 1, "code": "usd", "name": "Dollar"})

    assert answer.status == 400
    assert (renamed["code"], renamed["name"]) == ("USD", "Dollar")

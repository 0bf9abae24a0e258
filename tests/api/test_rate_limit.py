"""How many requests one credential may make."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.halo.access.api_credentials import create_credential
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import Database
from tests.api.client import Answer, Api
from tests.clock import NOW, Clock

pytestmark = pytest.mark.anyio

LIMIT = 30


@pytest.fixture
async def limited(database: Database, clock: Clock) -> AsyncIterator[Api]:
    settings = Settings(_env_file=None, PAYDUE_RATE_LIMIT=LIMIT)
    async with (
        serve_in_loop(create_app(settings, database, clock=clock)) as base,
        aiohttp.ClientSession(base) as session,
    ):
        api = Api(session, database)
        await sign_in(api, "tests")
        yield api


async def sign_in(api: Api, name: str, *scopes: str) -> None:
    async with api.database.transaction() as tx:
        credentials = await create_credential(tx, name, scopes or ["all"], NOW)
    await api.sign_in(*credentials)


async def asked(api: Api, times: int, path: str = "/api/Currency/1") -> list[Answer]:
    return [await api.send("GET", path) for _ in range(times)]


async def test_a_minutes_worth_may_come_at_once_and_one_more_is_told_when_to_come_back(
    limited: Api,
) -> None:
    answers = await asked(limited, LIMIT + 1)

    assert {answer.status for answer in answers[:LIMIT]} == {200}
    refused = answers[LIMIT]
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "2"
    assert refused.json["error"] == "rate_limited"
    assert {"error_description", "Message"} <= refused.json.keys()


async def test_whoever_waits_as_told_is_let_in_again(limited: Api, clock: Clock) -> None:
    refused = (await asked(limited, LIMIT + 1))[LIMIT]
    clock.advance(seconds=int(refused.headers["Retry-After"]))

    assert [one.status for one in await asked(limited, 2)] == [200, 429]

    clock.advance(minutes=1)
    assert [one.status for one in await asked(limited, LIMIT + 1)] == [200] * LIMIT + [429]


async def test_being_refused_does_not_make_the_wait_longer(limited: Api, clock: Clock) -> None:
    await asked(limited, LIMIT * 2)
    clock.advance(seconds=2)

    assert (await asked(limited, 1))[0].status == 200


async def test_each_credential_has_a_bucket_of_its_own(limited: Api) -> None:
    await asked(limited, LIMIT + 1)
    await sign_in(limited, "another")

    assert (await asked(limited, 1))[0].status == 200


async def test_a_new_token_does_not_fill_the_bucket(limited: Api) -> None:
    async with limited.database.transaction() as tx:
        credentials = await create_credential(tx, "another", ["all"], NOW)
    await limited.sign_in(*credentials)
    await asked(limited, LIMIT)
    await limited.sign_in(*credentials)

    assert (await asked(limited, 1))[0].status == 429


async def test_requests_that_are_not_allowed_count_too(limited: Api) -> None:
    await sign_in(limited, "another", "read:customers")

    answers = await asked(limited, LIMIT + 1)

    assert [one.status for one in answers] == [403] * LIMIT + [429]


async def test_answers_from_memory_count_once(limited: Api) -> None:
    limited.headers["Idempotency-Key"] = "k1"
    answers = [
        await limited.send("POST", "/api/Client", json=[{"name": "Ada Ltd"}])
        for _ in range(LIMIT + 1)
    ]

    assert [one.status for one in answers] == [200] * LIMIT + [429]


async def test_a_request_that_came_too_often_may_come_again_with_its_key(
    limited: Api, clock: Clock
) -> None:
    await asked(limited, LIMIT)
    limited.headers["Idempotency-Key"] = "k1"
    refused = await limited.send("POST", "/api/Client", json=[{"name": "Ada Ltd"}])
    clock.advance(seconds=2)
    later = await limited.send("POST", "/api/Client", json=[{"name": "Ada Ltd"}])

    assert (refused.status, later.status) == (429, 200)
    assert "Idempotent-Replayed" not in later.headers


async def test_no_limit_is_no_limit(api: Api) -> None:
    assert {one.status for one in await asked(api, LIMIT * 3)} == {200}

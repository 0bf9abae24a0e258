"""The service itself: alive, ready, measured, and calm when something breaks."""

from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import Database
from tests.api.client import Api

pytestmark = pytest.mark.anyio


async def test_the_process_lives_and_is_ready(api: Api) -> None:
    assert (await api.send("GET", "/healthz", headers={})).json == {"status": "ok"}
    ready = await api.send("GET", "/readyz", headers={})
    assert (ready.status, ready.json["status"]) == (200, "ok")


async def test_a_schema_of_another_version_is_not_ready(api: Api) -> None:
    async with api.database.transaction() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '0001'"))

    answer = await api.send("GET", "/readyz", headers={})

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert (await api.send("GET", "/healthz", headers={})).status == 200


async def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(
    tmp_path: Path,
) -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    async with (
        serve_in_loop(create_app(Settings(_env_file=None), database)) as base,
        aiohttp.ClientSession(base) as session,
    ):
        answer = await Api(session, database).send(
            "GET", "/api/Invoice", headers={"Authorization": "Bearer x"}
        )

    await database.close()
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert {"error", "error_description", "Message"} <= answer.json.keys()


async def broken(_: Request) -> Response:
    raise ZeroDivisionError("secret detail")


async def test_a_failure_is_one_log_line_and_an_answer_without_details(
    database: Database,
) -> None:
    app = create_app(Settings(_env_file=None), database, extra_routes=[Route("/broken", broken)])
    with capture_logs() as logs:
        async with serve_in_loop(app) as base, aiohttp.ClientSession(base) as session:
            answer = await Api(session, database).send("GET", "/broken")

    assert answer.status == 500
    assert "secret" not in answer.text
    [line] = logs
    assert line["request_id"] in answer.json["error_description"]
    assert isinstance(line["exc_info"], ZeroDivisionError)


async def test_requests_are_counted_by_route_and_status(api: Api) -> None:
    await api.get("/api/Invoice")
    await api.send("GET", "/api/Invoice/4711")
    await api.send("GET", "/some/secret/path")

    shown = (await api.send("GET", "/metrics", headers={})).text

    assert 'paydue_requests_total{route="list Invoice",status="200"}' in shown
    assert 'paydue_requests_total{route="read Invoice",status="404"}' in shown
    assert 'paydue_requests_total{route="none",status="404"}' in shown
    assert 'paydue_request_seconds_bucket{le="0.001",route="list Invoice"}' in shown
    assert "process_cpu_seconds_total" in shown
    assert "secret" not in shown


async def test_a_client_that_goes_away_harms_nobody(api: Api) -> None:
    async def half() -> object:
        yield b"["
        raise OSError("gone")

    with pytest.raises((aiohttp.ClientError, OSError)):
        await api.send("POST", "/api/Invoice", data=half())

    assert (await api.get("/api/Invoice"))["record_count"] == 0

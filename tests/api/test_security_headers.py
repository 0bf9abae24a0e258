"""Headers of every answer, the address that authinfo names, and pages that ask for a token."""

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import Database
from tests.api.client import Api
from tests.service import Service

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-the-operators"


@contextlib.asynccontextmanager
async def served(database: Database, **settings: Any) -> AsyncIterator[Api]:
    app = create_app(Settings(_env_file=None, **settings), database)
    async with serve_in_loop(app) as base, aiohttp.ClientSession(base) as session:
        yield Api(session, database)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/Invoice"),
        ("GET", "/api/Invoice/0"),
        ("GET", "/nowhere"),
        ("DELETE", "/api/docs"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("GET", "/api/openapi.json"),
        ("POST", "/auth/token"),
        ("POST", "/stripe/webhook"),
    ],
)
async def test_no_answer_is_cached_or_taken_for_another_kind(
    service: Service, method: str, path: str
) -> None:
    answer = await service.api.send(method, path)

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/api/Invoice", "/api/docs", "/nowhere"])
async def test_no_answer_is_shown_in_a_frame_or_names_its_page_to_others(
    service: Service, path: str
) -> None:
    answer = await service.api.send("GET", path)

    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Strict-Transport-Security" not in answer.headers


async def test_authinfo_names_the_address_of_the_settings_whatever_the_request_says(
    database: Database,
) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    async with served(database, PAYDUE_PUBLIC_URL="https://pay.example.com/") as api:
        answer = await api.send("GET", "/api/authinfo", headers=forged)

    assert answer.json["auth_url"] == "https://pay.example.com/auth"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_without_the_setting_nobody_elsewhere_is_told_where_to_send_secrets(
    database: Database,
) -> None:
    async with served(database) as api:
        forged = await api.send("GET", "/api/authinfo", headers={"Host": "pay.example.com"})
        here = await api.send("GET", "/api/authinfo", headers={})

    assert forged.status == 503
    assert "PAYDUE_PUBLIC_URL" in forged.text
    assert here.json["auth_url"].startswith("http://127.0.0.1:")


PAGES = ("/metrics", "/api/docs", "/api/docs/docs.css", "/api/openapi.json", "/API/Docs")


@pytest.mark.parametrize("path", PAGES)
async def test_pages_for_operators_ask_for_their_token(database: Database, path: str) -> None:
    basic = b64encode(f"anybody:{TOKEN}".encode()).decode()
    wrong = ("", f"Bearer {TOKEN}x", "Basic %%%", f"Basic {b64encode(b'a:b').decode()}", TOKEN)
    async with served(database, PAYDUE_INTERNAL_TOKEN=TOKEN) as api:
        right = [
            (await api.send("GET", path, headers={"Authorization": one})).status
            for one in (f"Bearer {TOKEN}", f"Basic {basic}")
        ]
        refused = [await api.send("GET", path, headers={"Authorization": one}) for one in wrong]

    assert right == [200, 200]
    assert {one.status for one in refused} == {401}
    assert all("Basic" in one.headers["WWW-Authenticate"] for one in refused)


@pytest.mark.parametrize("path", PAGES)
async def test_without_such_a_token_they_are_open(database: Database, path: str) -> None:
    async with served(database) as api:
        assert (await api.send("GET", path, headers={})).status == 200

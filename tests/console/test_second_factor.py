"""A role that must have a second factor, and people who have nothing but a sign-in link."""

import contextlib
import re
from collections.abc import AsyncIterator

import aiohttp
import pyotp
import pytest

from app.console.console_routes import CONSOLE_ROUTES
from app.console.routing import ConsoleRoute
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from tests.console.browser import Browser
from tests.console.conftest import Console

pytestmark = pytest.mark.anyio

# What leads to a second factor, and out.
OPEN = {
    "/sign-out", "/confirm-identity", "/confirm-identity/passkey", "/account/password",
    "/account/app", "/account/passkeys", "/account/passkeys/challenge",
}  # fmt: skip


@contextlib.asynccontextmanager
async def _served(console: Console, role: str) -> AsyncIterator[aiohttp.ClientSession]:
    settings = Settings(_env_file=None, PAYDUE_SECOND_FACTOR_ROLE=role)
    app = create_app(settings, console.database, clock=console.clock)
    async with (
        serve_in_loop(app) as url,
        aiohttp.ClientSession(url, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        yield http


async def _signed_in(console: Console, http: aiohttp.ClientSession, role: str) -> Browser:
    browser = Browser(http)
    await browser.follow(await console.a_link(await console.a_user(role)))
    return browser


async def test_who_must_have_a_second_factor_sees_nothing_before_it_is_set_up(
    console: Console,
) -> None:
    async with _served(console, "finance") as http:
        browser = await _signed_in(console, http, "finance")
        closed = await browser.get("/payments")
        part = await browser.get("/search/hits?q=x", HX_Request="true")
        page = await browser.get("/account/app")
        begun = await browser.submit("/account/app", {"act": "begin"})
        secret = re.findall(r"<code>(\w+)</code>", (begun if begun.text else page).text) or (
            re.findall(r"<code>(\w+)</code>", (await browser.get("/account/app")).text)
        )
        code = pyotp.TOTP(secret[0]).at(console.clock())
        await browser.submit("/account/app", {"act": "confirm", "code": code})
        opened = await browser.get("/payments")

        support = await _signed_in(console, http, "support")
        lower = await support.get("/payments")

    assert (closed.status, closed.location) == (303, "/account/app")
    assert part.headers["HX-Redirect"] == "/account/app"
    assert "Your role needs a second factor." in page.text
    assert (opened.status, lower.status) == (200, 200)


async def test_only_the_way_to_a_second_factor_is_open_without_one(console: Console) -> None:
    async with _served(console, "viewer") as http:
        admin = await _signed_in(console, http, "admin")
        token = {"csrf": (await admin.get("/account/app")).hidden["csrf"]}
        led: set[str] = set()
        for route in CONSOLE_ROUTES:
            if not isinstance(route, ConsoleRoute) or route.path == "/sign-out":
                continue
            [method] = (route.methods or set()) - {"HEAD"}
            path = re.sub(r"{[^}]+}", "1", route.path)
            shown = await (admin.get(path) if method == "GET" else admin.post(path, token))
            if (shown.status, shown.location) != (303, "/account/app"):
                led.add(route.path)

    assert led == OPEN - {"/sign-out"}


async def test_a_new_link_confirms_whoever_has_nothing_else(console: Console) -> None:
    login = await console.a_user("finance")
    browser = await console.signed_in(login=login)
    console.clock.advance(minutes=6)
    asked = await browser.get("/account/password")
    other = await console.a_link(await console.a_user())
    link = await console.a_link(login)
    page = asked.location

    wrong = await browser.submit(page, {"link": other}, to="/confirm-identity")
    right = await browser.submit(
        page, {"link": f"https://paydue.example{link}"}, to="/confirm-identity"
    )
    opened = await browser.get("/account/password")
    console.clock.advance(minutes=6)
    again = await browser.submit(page, {"link": link}, to="/confirm-identity")

    assert page.startswith("/confirm-identity")
    assert "New sign-in link" in (await browser.get(page)).text
    assert (wrong.status, again.status) == (403, 403)
    assert (right.status, right.location) == (303, "/account/password")
    assert opened.status == 200


async def test_a_link_confirms_nobody_who_has_a_password(console: Console) -> None:
    login = await console.a_user("finance")
    browser = await console.signed_in(login=login)
    password = {"password": "seven-green-lanterns-hum", "again": "seven-green-lanterns-hum"}
    await browser.submit("/account/password", password)
    console.clock.advance(minutes=6)
    link = await console.a_link(login)

    shown = await browser.submit("/confirm-identity", {"link": link})

    assert shown.status == 403

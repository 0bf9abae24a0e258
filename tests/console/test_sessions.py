"""Who gets in, for how long, and how a session ends."""

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from app.console.people import sessions, users
from app.console.people.roles import Role
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from tests.console.browser import Browser
from tests.console.conftest import Console

pytestmark = pytest.mark.anyio


async def test_a_stranger_is_sent_to_the_sign_in_and_back_again(console: Console) -> None:
    stranger = console.browser()

    page = await stranger.get("/account?tab=1")
    part = await stranger.get("/account", hx_request="true", hx_current_url="http://h/a?b=c")

    assert (page.status, page.location) == (303, "/sign-in?next=%2Faccount%3Ftab%3D1")
    assert part.headers["HX-Redirect"] == "/sign-in?next=%2Fa%3Fb%3Dc"


async def test_a_program_is_told_where_the_api_is(console: Console) -> None:
    program = Browser(console.http, headers={"Accept": "*/*"})

    front, page = await program.get("/"), await program.get("/account")

    assert (front.status, "/api/openapi.json" in front.text) == (200, True)
    assert (page.status, "WWW-Authenticate" in page.headers) == (401, True)


async def test_a_link_signs_in_once_and_only_when_it_is_followed(console: Console) -> None:
    link = await console.a_link(await console.a_user("support"))
    browser, other = console.browser(), console.browser()

    shown = await other.get(link)
    answer = await browser.follow(link)
    again = await other.post("/sign-in/link", shown.hidden)
    seen_again = await other.get(link)

    assert "role support" in shown.text
    assert (answer.status, answer.location) == (303, "/account/password")
    assert (await browser.get("/account")).status == 200
    assert (again.status, seen_again.status) == (403, 403)
    assert "paydue" not in other.cookies


async def test_of_ten_that_follow_one_link_at_once_one_is_signed_in(console: Console) -> None:
    link = await console.a_link(await console.a_user())
    browsers = [console.browser() for _ in range(10)]

    answers = await asyncio.gather(*(one.follow(link) for one in browsers), return_exceptions=True)

    statuses = [one.status for one in answers if not isinstance(one, BaseException)]
    assert statuses.count(303) == 1


async def test_a_newer_link_an_old_link_and_a_disabled_user_open_nothing(console: Console) -> None:
    login = await console.a_user()
    first = await console.a_link(login)
    second = await console.a_link(login)
    old = await console.a_link(await console.a_user())
    console.clock.advance(hours=25)
    gone = await console.a_user()
    third = await console.a_link(gone)
    async with console.database.transaction() as tx:
        await users.disable_user(tx, await users.load_user(tx, gone), console.act())

    statuses = [(await console.browser().get(one)).status for one in (first, second, old, third)]

    assert statuses == [403, 403, 403, 403]


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([sessions.IDLE], 200),
        ([sessions.IDLE + timedelta(seconds=1)], 303),
        ([timedelta(minutes=25)] * 3, 200),
        ([timedelta(minutes=30)] * 25, 303),
    ],
    ids=["idle", "too long idle", "seen again", "twelve hours"],
)
async def test_a_session_ends_when_idle_or_old(
    console: Console, steps: list[timedelta], status: int
) -> None:
    browser = await console.signed_in()

    for step in steps:
        console.clock.advance(seconds=step.total_seconds())
        shown = await browser.get("/account")

    assert shown.status == status


async def test_a_sign_in_makes_a_new_session_whatever_cookie_the_browser_had(
    console: Console,
) -> None:
    """Session fixation: a cookie that somebody planted opens nothing afterwards."""
    login = await console.a_user()
    victim = console.browser()
    victim.cookies["paydue"] = planted = "planted-by-somebody-else"

    await victim.follow(await console.a_link(login))
    first = victim.cookies["paydue"]
    before = Browser(console.http, cookies=dict(victim.cookies))
    await victim.follow(await console.a_link(login))

    assert len({planted, first, victim.cookies["paydue"]}) == 3
    attacker = Browser(console.http, cookies={"paydue": planted})
    assert (await attacker.get("/account")).status == 303
    assert (await before.get("/account")).status == 303


async def test_signing_out_ends_the_session_on_the_server(console: Console) -> None:
    browser = await console.signed_in()
    stolen = Browser(console.http, cookies=dict(browser.cookies))

    answer = await browser.submit("/account", to="/sign-out")

    assert (answer.status, answer.location) == (303, "/sign-in")
    assert "paydue" not in browser.cookies
    assert "storage" in answer.headers["Clear-Site-Data"]
    assert (await stolen.get("/account")).status == 303


async def test_a_disabled_user_and_one_of_another_role_are_out_at_once(console: Console) -> None:
    disabled, promoted = await console.a_user(), await console.a_user()
    browsers = [await console.signed_in(login=one) for one in (disabled, promoted)]
    async with console.database.transaction() as tx:
        await users.disable_user(tx, await users.load_user(tx, disabled), console.act())
        await users.change_role(
            tx, await users.load_user(tx, promoted), Role.FINANCE, console.act()
        )

    assert [(await one.get("/account")).status for one in browsers] == [303, 303]


async def test_a_person_has_so_many_sessions_and_the_oldest_ends(console: Console) -> None:
    login = await console.a_user()
    first, second = await console.signed_in(login=login), await console.signed_in(login=login)
    async with console.database.transaction() as tx:
        user = await users.load_user(tx, login)
        for _ in range(sessions.SESSIONS_MAX - 1):
            await sessions.open_session(
                tx, user.id, signed_in_by="tests", device=sessions.Device(None, ""),
                now=console.clock(), authenticated_at=console.clock(),
            )  # fmt: skip

    assert [(await one.get("/account")).status for one in (first, second)] == [303, 200]


@pytest.mark.parametrize(
    ("settings", "host", "prefix", "secure"),
    [
        ({}, "127.0.0.1", "paydue-visitor=", False),
        ({"PAYDUE_PUBLIC_URL": "https://pay.example.com"}, "pay.example.com", "__Host-", True),
    ],
)
async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(
    console: Console, settings: dict[str, Any], host: str, prefix: str, secure: bool
) -> None:
    app = create_app(Settings(_env_file=None, **settings), console.database)
    async with serve_in_loop(app) as url, aiohttp.ClientSession(url) as http:
        browser = Browser(http)
        shown = await browser.get("/sign-in", host=host)

    (line,) = browser.set_cookies
    assert shown.status == 200
    assert line.startswith(prefix)
    assert ("; Secure" in line) is secure
    assert all(one in line for one in ("; HttpOnly", "; SameSite=lax", "; Path=/"))
    assert "Domain" not in line
    assert "Max-Age" not in line
    assert "expires" not in line


async def test_nobody_signs_in_where_others_could_read_along(console: Console) -> None:
    shown = await console.browser().get("/sign-in", host="pay.example.com")

    assert shown.status == 503
    assert "PAYDUE_PUBLIC_URL" in shown.text
    assert "<form" not in shown.text

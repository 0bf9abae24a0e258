"""Password, code, lock-out: the front door, as a browser finds it."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pyotp
import pytest
import structlog
from structlog.testing import capture_logs

from app import security_log
from app.cli import demo
from app.console.people import lockout, passwords, sessions, users
from app.console.people.lockout import counted_peer, wait_after
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.errors import InvalidField
from app.logs import LogSampler
from app.serving import say_how_to_sign_in
from app.settings import Settings
from app.storage.engines import Database
from tests.clock import NOW
from tests.console.browser import Browser, Shown
from tests.console.conftest import Console

pytestmark = pytest.mark.anyio

PASSWORD = "seven-green-lanterns-hum"
OTHER = "a lighthouse counts its herons"


async def a_user_with_password(console: Console, role: str = "viewer") -> str:
    login = await console.a_user(role)
    password_hash = await passwords.hash_password(PASSWORD)
    async with console.database.transaction() as tx:
        user = await users.load_user(tx, login)
        await users.set_password_hash(tx, user.id, password_hash, console.act())
    return login


async def sign_in(browser: Browser, login: str, password: str = PASSWORD, to: str = "/") -> Shown:
    page = await browser.get(f"/sign-in?next={to}")
    return await browser.post("/sign-in", {**page.hidden, "login": login, "password": password})


async def confirm(browser: Browser, page: str) -> Shown:
    return await browser.submit(page, {"password": PASSWORD}, to="/confirm-identity")


async def test_a_password_set_after_a_link_signs_in_and_leads_back(console: Console) -> None:
    login = await console.a_user()
    browser = await console.signed_in(login=login)
    old = await console.signed_in(login=login)

    weak = await browser.submit("/account/password", {"password": "x" * 20, "again": "x" * 20})
    apart = await browser.submit("/account/password", {"password": PASSWORD, "again": OTHER})
    done = await browser.submit("/account/password", {"password": PASSWORD, "again": PASSWORD})
    back = await sign_in(console.browser(), login.upper(), to="/account")

    assert (weak.status, apart.status) == (400, 400)
    assert (done.status, done.location) == (303, "/account")
    assert (back.status, back.location) == (303, "/account")
    assert (await browser.get("/account")).status == 200
    assert (await old.get("/account")).status == 303


async def test_sign_ins_and_refusals_are_written_down_and_logged(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security_log, "_sampler", LogSampler())  # others of this process signed in
    monkeypatch.setattr(security_log, "log", structlog.get_logger("paydue.security"))
    login = await a_user_with_password(console)
    browser = Browser(console.http, headers={"User-Agent": "<b>a browser</b>"})
    with capture_logs() as lines:
        await sign_in(browser, login, OTHER)
        await sign_in(browser, "nobody", OTHER)
        await sign_in(browser, login)

    page = (await browser.get("/account")).text
    kinds = [one["kind"] for one in lines if one["event"] == "security event"]
    assert kinds == ["sign_in_refused", "sign_in_refused", "signed_in"]
    assert not any(PASSWORD in str(one) or OTHER in str(one) for one in lines)
    assert "sign in refused: <bdi>wrong password</bdi>" in page
    assert "signed in: <bdi>password</bdi>" in page
    assert "&lt;b&gt;a browser&lt;/b&gt;" in page


async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(console: Console) -> None:
    login, without = await a_user_with_password(console), await console.a_user()
    gone = await a_user_with_password(console)
    async with console.database.transaction() as tx:
        await users.disable_user(tx, await users.load_user(tx, gone), console.act())

    answers = [
        await sign_in(console.browser(), login, OTHER),
        await sign_in(console.browser(), "nobody", OTHER),
        await sign_in(console.browser(), without, OTHER),
        await sign_in(console.browser(), gone),
    ]

    bodies = {
        one.text.replace(name, "").replace(one.hidden["csrf"], "")
        for one, name in zip(answers, (login, "nobody", without, gone), strict=True)
    }
    assert {one.status for one in answers} == {403}
    assert len(bodies) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_after_five_failures_each_further_one_waits_longer(
    console: Console, known: bool
) -> None:
    login = await a_user_with_password(console) if known else f"nobody-{console.clock()}"
    statuses = [(await sign_in(console.browser(), login, OTHER)).status for _ in range(5)]

    locked = await sign_in(console.browser(), login)
    console.clock.advance(seconds=30)
    again = await sign_in(console.browser(), login, OTHER)
    longer = await sign_in(console.browser(), login)

    assert statuses == [403] * 5
    assert (locked.status, locked.headers["Retry-After"]) == (429, "30")
    assert (again.status, longer.headers["Retry-After"]) == (403, "60")
    console.clock.advance(seconds=60)
    assert (await sign_in(console.browser(), login)).status == (303 if known else 403)


async def test_guesses_at_once_are_counted_before_they_are_compared(console: Console) -> None:
    login = await a_user_with_password(console)

    answers = await asyncio.gather(*(sign_in(console.browser(), login, OTHER) for _ in range(12)))

    statuses = [one.status for one in answers]
    assert statuses.count(403) == 5
    assert statuses.count(429) == 7


async def an_app(console: Console, login: str) -> tuple[pyotp.TOTP, list[str], Browser]:
    """The app of a user who has just set it up, with the recovery codes."""
    browser = await console.signed_in(login=login)
    begun = await browser.submit("/account/app", {"act": "begin"})
    secret = begun.text.partition("<code>")[2].partition("</code>")[0]
    app = pyotp.TOTP(secret)
    shown = await browser.submit(
        "/account/app", {"act": "confirm", "code": app.at(console.clock())}
    )
    codes = shown.text.partition("<pre>")[2].partition("</pre>")[0].split()
    assert len(codes) == 10, shown.text
    return app, codes, browser


async def test_a_code_of_the_app_is_asked_for_and_good_once(console: Console) -> None:
    login = await a_user_with_password(console)
    app, codes, browser = await an_app(console, login)

    async def second_step(code: str) -> Shown:
        stranger = console.browser()
        first = await sign_in(stranger, login, to="/account")
        assert first.location == "/sign-in/code"
        assert (await stranger.get("/account")).status == 303
        return await stranger.submit("/sign-in/code", {"code": code})

    used_when_set_up = await second_step(app.at(console.clock()))
    console.clock.advance(seconds=60)
    code = app.at(console.clock() - timedelta(seconds=30))
    right, again = await second_step(code), await second_step(code)
    recovered, twice = await second_step(codes[3].upper()), await second_step(codes[3])
    console.clock.advance(hours=1)
    wrong = await second_step("000000")
    link = await console.browser().follow(await console.a_link(login))
    skipped = await console.browser().get("/sign-in/code")

    assert used_when_set_up.status == 403
    assert (right.status, right.location) == (303, "/account")
    assert (again.status, twice.status, wrong.status) == (403, 403, 403)
    assert recovered.status == 303
    assert link.location == "/sign-in/code"
    assert skipped.location == "/sign-in"
    assert (await browser.get("/account")).status == 303  # idle meanwhile


async def test_codes_are_guessed_no_faster_than_passwords(console: Console) -> None:
    """The right password in between does not set the count back."""
    login = await a_user_with_password(console)
    await an_app(console, login)
    statuses = []
    for _ in range(4):
        stranger = console.browser()
        statuses.append((await sign_in(stranger, login)).status)
        if statuses[-1] == 303:
            statuses.append((await stranger.submit("/sign-in/code", {"code": "1"})).status)

    assert statuses == [303, 403, 303, 403, 303, 429, 429]


async def test_before_what_matters_a_person_shows_again_who_they_are(console: Console) -> None:
    login = await a_user_with_password(console, "admin")
    browser = console.browser()
    await sign_in(browser, login)
    at_once = await browser.get("/people")
    before = dict(browser.cookies)
    console.clock.advance(minutes=6)

    asked = await browser.get("/people")
    form = {**at_once.hidden, "act": "add", "login": "x", "role": "viewer"}
    posted = await browser.post("/people", form)
    wrong = await browser.submit(asked.location, {"password": OTHER}, to="/confirm-identity")
    right = await confirm(browser, asked.location)

    assert at_once.status == 200
    assert asked.location == posted.location == "/confirm-identity?next=%2Fpeople"
    assert wrong.status == 403
    assert (right.status, right.location) == (303, "/people")
    assert (await browser.get("/people")).status == 200
    assert (await Browser(console.http, cookies=before).get("/account")).status == 303


async def test_a_person_ends_their_own_sessions_and_nobody_elses(console: Console) -> None:
    login = await console.a_user()
    here, there = await console.signed_in(login=login), await console.signed_in(login=login)
    stranger = await console.signed_in()
    async with console.database.snapshot() as tx:
        user = await users.load_user(tx, login)
        newest, oldest = await sessions.list_sessions(tx, user.id, console.clock())

    async def end(browser: Browser, session: int | str) -> list[int]:
        await browser.submit("/account", {"session": session}, to="/account/sessions")
        return [(await one.get("/account")).status for one in (here, there)]

    assert await end(stranger, newest.id) == [200, 200]
    assert await end(stranger, "all") == [200, 200]
    assert await end(here, newest.id) == [200, 303]
    there = await console.signed_in(login=login)
    assert await end(here, "all") == [303, 303]
    assert oldest.signed_in_by == "link"


async def test_an_admin_manages_people_but_not_their_own_role(console: Console) -> None:
    admin = await console.signed_in("admin")
    login = f"new{console.clock().timestamp()}"

    async def act(**fields: str) -> Shown:
        return await admin.submit("/people", fields)

    added = await act(act="add", login=login, name="<b>Bo</b>", role="support")
    link = added.text.partition("<pre>")[2].partition("</pre>")[0].replace(console.service.url, "")
    browser = console.browser()
    entered = await browser.follow(link)
    twice = await act(act="add", login=login, role="support")
    await act(act="role", login=login, role="finance")
    out = (await browser.get("/account")).status
    disabled = await act(act="disable", login=login)
    own = [
        (await act(act=one, login=await _login_of(admin), role="viewer")).status
        for one in ("role", "disable")
    ]

    assert (entered.status, entered.location) == (303, "/account/password")
    assert "&lt;b&gt;Bo&lt;/b&gt;" in added.text
    assert (twice.status, out, disabled.status) == (400, 303, 303)
    assert own == [400, 400]


async def _login_of(browser: Browser) -> str:
    text = (await browser.get("/account")).text
    return text.partition("<dt>Name</dt><dd><bdi>")[2].partition("</bdi>")[0]


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("elevenchars", "fewer than 12"),
        ("x" * 129, "more than 128"),
        ("password1234", "easy to guess"),
        ("qwertyuiop12", "easy to guess"),
        ("iloveyou12345", "easy to guess"),
        ("aaaaaaaaaaaaaaaa", "easy to guess"),
        ("ada@example.com", "easy to guess"),
    ],
)
def test_a_password_that_others_would_try_is_refused(password: str, why: str) -> None:
    with pytest.raises(InvalidField, match=why):
        passwords.check_strength(password, ["ada@example.com", "Ada"])


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        OTHER,
        "\u00e4\u00f6\u00fc\u4e2d\u6587 Zug um Zug \U0001f680",
        "p" + "\u20ac7q! " * 20,
    ],
)
def test_a_long_password_of_any_characters_is_taken(password: str) -> None:
    passwords.check_strength(password, [])


async def test_whoever_has_no_password_is_signed_in_by_none() -> None:
    """Not even by the one whose hash is compared with, to take as long."""
    of_nobody = "no password of anybody"

    assert not await passwords.matches(None, of_nobody)
    assert await passwords.matches(await passwords.hash_password(of_nobody), of_nobody)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (9, 480), (10, 900), (999, 900)],
)
def test_the_wait_doubles_up_to_a_quarter_of_an_hour(failures: int, seconds: int) -> None:
    assert wait_after(failures, 5) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("203.0.113.9", "peer:203.0.113.9"),
        ("2001:db8:1:2:3::4", "peer:2001:db8:1:2::/64"),
        ("127.0.0.1", None),
        ("10.0.0.7", None),
        (None, None),
    ],
)
def test_an_address_is_counted_unless_it_is_a_proxys(peer: str | None, key: str | None) -> None:
    found = counted_peer(peer, Settings(_env_file=None))

    assert (found.key if found else None) == key


async def test_an_address_waits_too_whatever_names_it_tries(console: Console) -> None:
    async def attempt(number: int) -> str:
        peer = counted_peer("203.0.113.9", Settings(_env_file=None))
        user = lockout.counted_user(None, f"name{number}-{console.clock()}")
        try:
            async with console.database.transaction() as tx:
                await lockout.count_attempt(tx, [user, peer], console.clock())
        except lockout.SignInLocked:
            return "locked"
        return "free"

    found = [await attempt(number) for number in range(27)]

    assert found == ["free"] * 25 + ["locked"] * 2


async def test_the_demos_user_signs_in_by_its_link_and_by_its_password(console: Console) -> None:
    node: Any = SimpleNamespace(database=console.database, clock=console.clock)

    link, password = await demo.add_console_user(node)

    by_link = await console.browser().follow(link)
    by_password = await sign_in(console.browser(), "demo", password)
    assert (by_link.status, by_link.location, by_password.status) == (303, "/", 303)


async def test_a_server_says_how_to_add_the_first_user_and_no_more_than_that(
    database: Database,
) -> None:
    with capture_logs() as lines:
        await say_how_to_sign_in(database)
        async with database.transaction() as tx:
            act = Act("tests", NOW)
            await users.add_user(tx, "first", name="", role=Role.ADMIN, act=act)
        await say_how_to_sign_in(database)

    assert [one.get("mend") for one in lines if "nobody" in one["event"]] == [
        "paydue user add NAME --role admin"
    ]

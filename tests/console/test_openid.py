"""Sign-in by an OpenID provider: only its own words, for this browser, about a user of ours."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from joserfc.jwk import RSAKey

from app.console.people import users
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from tests.console.browser import Browser, Shown
from tests.console.conftest import Console
from tests.console.identity_provider import CLIENT_ID, IdentityProvider

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def _served(
    console: Console,
) -> AsyncIterator[tuple[IdentityProvider, aiohttp.ClientSession]]:
    async with IdentityProvider(console.clock).running() as provider:
        settings = Settings(
            _env_file=None, PAYDUE_OIDC_ISSUER=provider.url, PAYDUE_OIDC_CLIENT_ID=CLIENT_ID,
            PAYDUE_OIDC_CLIENT_SECRET="a secret of the provider",
        )  # fmt: skip
        app = create_app(settings, console.database, clock=console.clock)
        async with serve_in_loop(app) as url, aiohttp.ClientSession(url) as http:
            yield provider, http


async def _sign_in(
    browser: Browser, provider: IdentityProvider, *, by: Browser | None = None, **query: str
) -> Shown:
    """Out to the provider, and back with its code, in the same browser or in another one."""
    left = await browser.get("/sign-in/openid?next=/account")
    back = {**provider.sent(left.location), **query}
    return await (by or browser).get(f"/sign-in/openid/callback?{urlencode(back)}")


async def test_a_user_is_known_by_the_providers_number_from_the_first_time_on(
    console: Console,
) -> None:
    login = await console.a_user()
    async with _served(console) as (provider, http):
        provider.claims = {"email": login, "sub": f"number of {login}"}
        browser = Browser(http)
        first = await _sign_in(browser, provider)
        account = await browser.get("/account")
        provider.claims["email"] = "another address"
        moved = await _sign_in(Browser(http), provider)
        provider.claims = {"email": login, "sub": "somebody else"}
        taken = await _sign_in(Browser(http), provider)

    assert (first.status, first.location, account.status) == (303, "/account", 200)
    assert provider.asked["code_challenge_method"] == "S256"
    assert (moved.status, taken.status) == (303, 403)


CASES: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "x"},
    "another audience": {"aud": "another service"},
    "for another": {"aud": [CLIENT_ID, "b"], "azp": "b"},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1},
    "not verified": {"email_verified": False},
    "a word for verified": {"email_verified": "true"},
    "nobody": {"email": "nobody@example.com"},
    "another key": {},
    "another state": {},
    "another browser": {},
    "disabled": {},
}


async def test_nothing_else_signs_anybody_in(console: Console) -> None:
    async with _served(console) as (provider, http):
        found = {case: await _refused(console, provider, http, case) for case in CASES}

    assert found == dict.fromkeys(CASES, 403)


async def _refused(
    console: Console, provider: IdentityProvider, http: aiohttp.ClientSession, case: str
) -> int:
    login = await console.a_user()
    provider.claims = {"email": login, "sub": case, **CASES[case]}
    provider.signs_with = RSAKey.generate_key(2048) if case == "another key" else None
    browser, by, query = Browser(http), None, {}
    match case:
        case "another state":
            query = {"state": "x"}
        case "another browser":
            by = Browser(http)
        case "disabled":
            async with console.database.transaction() as tx:
                await users.disable_user(tx, await users.load_user(tx, login), console.act())
    shown = await _sign_in(browser, provider, by=by, **query)
    assert "paydue" not in {**browser.cookies, **(by.cookies if by else {})}
    return shown.status


async def test_whom_the_provider_has_known_for_hours_is_asked_again(console: Console) -> None:
    login = await console.a_user()
    async with _served(console) as (provider, http):
        hours_ago = int(console.clock().timestamp()) - 7200
        provider.claims = {"email": login, "sub": login, "auth_time": hours_ago}
        browser = Browser(http)
        await _sign_in(browser, provider)
        page = await browser.get("/account/app")
        again = await browser.get("/sign-in/openid?again=1&next=/account/app")
        query = provider.sent(again.location)
        provider.claims.pop("auth_time")
        back = await browser.get(f"/sign-in/openid/callback?{urlencode(query)}")

        assert page.location.startswith("/confirm-identity")
        assert (provider.asked["prompt"], back.location) == ("login", "/account/app")
        assert (await browser.get("/account/app")).status == 200


async def test_without_a_provider_there_is_no_such_way(console: Console) -> None:
    browser = console.browser()

    assert (await browser.get("/sign-in/openid")).status == 404
    assert "/sign-in/openid" not in (await browser.get("/sign-in")).text

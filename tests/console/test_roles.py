"""Every route of the console as every role, through HTTP."""

import re

import pytest

from app.console.console_routes import CONSOLE_ROUTES
from app.console.people.roles import Role
from app.console.routing import ConsoleRoute
from tests.console.browser import Browser, Shown
from tests.console.conftest import Console

pytestmark = pytest.mark.anyio

ROUTES = [one for one in CONSOLE_ROUTES if isinstance(one, ConsoleRoute)]


def _call(route: ConsoleRoute) -> tuple[str, str]:
    [method] = (route.methods or set()) - {"HEAD"}
    return method, re.sub(r"{[^}]+}", "1", route.path)


async def _ask(browser: Browser, route: ConsoleRoute) -> Shown:
    """A POST goes without its token, so that it is refused for that and does nothing."""
    method, path = _call(route)
    return await (browser.get(path) if method == "GET" else browser.post(path, {}))


def _verdict(shown: Shown) -> str:
    if shown.status == 303 and shown.location.startswith("/sign-in"):
        return "a stranger"
    if shown.status == 403 and "is for the role" in shown.text:
        return "too low"
    assert shown.status < 500, shown.text
    return "let in"


async def test_each_route_lets_in_its_role_and_higher_ones(console: Console) -> None:
    browsers = {role: await console.signed_in(role) for role in Role}
    stranger = console.browser()

    found = {
        _call(route): [_verdict(await _ask(one, route)) for one in (stranger, *browsers.values())]
        for route in ROUTES
    }

    ranks = list(Role)
    expected = {
        _call(route): [
            "a stranger",
            *("let in" if rank >= ranks.index(route.role) else "too low" for rank in range(4)),
        ]
        for route in ROUTES
    }
    assert found == expected


async def test_no_form_is_taken_without_its_token(console: Console) -> None:
    admin = await console.signed_in("admin")

    statuses = {
        _call(route): (await _ask(admin, route)).status
        for route in ROUTES
        if _call(route)[0] == "POST"
    }

    assert set(statuses.values()) == {403}
    assert (await admin.get("/account")).status == 200


async def test_what_matters_is_not_done_by_one_who_signed_in_long_ago(console: Console) -> None:
    admin = await console.signed_in("admin")
    token = {"csrf": (await admin.get("/account")).hidden["csrf"]}
    console.clock.advance(minutes=6)

    found = {}
    for route in (one for one in ROUTES if one.fresh):
        method, path = _call(route)
        shown = await (admin.get(path) if method == "GET" else admin.post(path, token))
        found[method, path] = shown.location.partition("?")[0]

    assert set(found.values()) == {"/confirm-identity"}

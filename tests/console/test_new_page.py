"""docs/architecture.md shows how a page is added; that page works."""

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.cells import ListCell, ListColumn, ListSection
from app.console.pages.chrome import reading, times_of
from app.console.pages.list_view import ListView, show_list
from app.console.people import users
from app.console.people.roles import Role
from app.console.routing import ConsoleRoute, Viewer
from app.serving import serve_in_loop
from tests.console.browser import Browser
from tests.console.conftest import Console
from tests.harness import NO_STRIPE, settings_for

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
NAMES = (
    ConsoleRoute, ListCell, ListColumn, ListSection, ListView, Request, Response, Role, Viewer,
    reading, show_list, times_of,
)  # fmt: skip


def _route_of_the_docs() -> ConsoleRoute:
    """The page's code as it stands there; its last statement is the route."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    page, _, route = code.rpartition("\n\n\n")
    names: dict[str, Any] = {one.__name__: one for one in NAMES} | {"users": users}
    exec(compile(page, PAGE, "exec"), names)
    made = eval(route, names)
    assert isinstance(made, ConsoleRoute)
    return made


async def test_the_page_that_the_docs_add_is_shown(console: Console) -> None:
    browser = await console.signed_in()
    app = Starlette(routes=[_route_of_the_docs()])
    app.state.database, app.state.clock = console.database, console.clock
    app.state.settings = settings_for("sqlite:///unused.db", NO_STRIPE)

    async with (
        serve_in_loop(app) as url,
        aiohttp.ClientSession(url, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        shown = await Browser(http, cookies=browser.cookies).get("/people-of-old")

    assert shown.status == 200, shown.text
    assert "<h1>People</h1>" in shown.text
    assert "<bdi>Ada</bdi>" in shown.text

"""docs/console.md says of every route of the console whom it is for, and the code says the same."""

import re
from pathlib import Path

from app.console.console_routes import CONSOLE_ROUTES
from app.console.routing import ConsoleRoute, PublicRoute

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(GET|POST) (/\S*)` \| (\w+)(, fresh)? \| \S.* \|$", re.MULTILINE)


def _method(route: ConsoleRoute | PublicRoute) -> str:
    [method] = (route.methods or set()) - {"HEAD"}
    return method


def _routes() -> dict[tuple[str, str], tuple[str, bool]]:
    found = {}
    for route in CONSOLE_ROUTES:
        if isinstance(route, PublicRoute):
            found[_method(route), route.path] = "everybody", False
        elif isinstance(route, ConsoleRoute):
            found[_method(route), route.path] = str(route.role), route.fresh
    return found


def test_the_page_has_a_line_for_every_route_with_its_role() -> None:
    rows = ROW.findall((ROOT / "docs" / "console.md").read_text())

    assert {(method, path): (role, bool(fresh)) for method, path, role, fresh in rows} == _routes()
    assert len(rows) == len(_routes()) == len(CONSOLE_ROUTES) - 1  # /static asks nobody's name


def test_a_fresh_post_has_a_page_at_its_path_to_come_back_to() -> None:
    routes = _routes()
    fresh = {
        path for (method, path), (_, is_fresh) in routes.items() if is_fresh and method == "POST"
    }

    assert {path for path in fresh if ("GET", path) not in routes} == set()
    assert fresh

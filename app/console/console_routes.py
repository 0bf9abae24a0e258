"""The console on one page: each path, its page, and the role it is for."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route

from app.console.people import account_pages, sign_in_pages
from app.console.people.roles import Role
from app.console.routing import ConsoleRoute, PublicRoute
from app.console.static_files import serve_static

CONSOLE_ROUTES: Sequence[BaseRoute] = (
    Route("/static/{name}", serve_static, name="console static"),
    PublicRoute("/sign-in", sign_in_pages.show_sign_in),
    PublicRoute("/sign-in/link", sign_in_pages.show_link),
    PublicRoute("/sign-in/link", sign_in_pages.follow_link, "POST"),
    ConsoleRoute("/sign-out", sign_in_pages.sign_out, Role.VIEWER, "POST"),
    ConsoleRoute("/account", account_pages.show_account, Role.VIEWER),
    ConsoleRoute("/", account_pages.show_account, Role.VIEWER),
)

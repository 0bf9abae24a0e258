"""The console on one page: each path, its page, and the role it is for."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route

from app.console.people import account_pages, confirm_pages, people_pages, sign_in_pages
from app.console.people.roles import Role
from app.console.routing import ConsoleRoute, PublicRoute
from app.console.static_files import serve_static

CONSOLE_ROUTES: Sequence[BaseRoute] = (
    Route("/static/{name}", serve_static, name="console static"),
    PublicRoute("/sign-in", sign_in_pages.show_sign_in),
    PublicRoute("/sign-in", sign_in_pages.sign_in, "POST"),
    PublicRoute("/sign-in/code", sign_in_pages.show_code),
    PublicRoute("/sign-in/code", sign_in_pages.sign_in_by_code, "POST"),
    PublicRoute("/sign-in/link", sign_in_pages.show_link),
    PublicRoute("/sign-in/link", sign_in_pages.follow_link, "POST"),
    ConsoleRoute("/sign-out", sign_in_pages.sign_out, Role.VIEWER, "POST"),
    ConsoleRoute("/confirm-identity", confirm_pages.show_confirm_identity, Role.VIEWER),
    ConsoleRoute("/confirm-identity", confirm_pages.confirm_identity, Role.VIEWER, "POST"),
    ConsoleRoute("/account", account_pages.show_account, Role.VIEWER),
    ConsoleRoute("/account", account_pages.change_profile, Role.VIEWER, "POST"),
    ConsoleRoute("/account/sessions", account_pages.change_sessions, Role.VIEWER, "POST"),
    ConsoleRoute("/account/password", account_pages.show_password, Role.VIEWER, fresh=True),
    ConsoleRoute(
        "/account/password", account_pages.change_password, Role.VIEWER, "POST", fresh=True
    ),
    ConsoleRoute("/account/app", account_pages.show_app, Role.VIEWER, fresh=True),
    ConsoleRoute("/account/app", account_pages.change_app, Role.VIEWER, "POST", fresh=True),
    ConsoleRoute("/people", people_pages.show_people, Role.ADMIN, fresh=True),
    ConsoleRoute("/people", people_pages.change_people, Role.ADMIN, "POST", fresh=True),
    ConsoleRoute("/", account_pages.show_account, Role.VIEWER),
)

"""A route of the console: the session, the role and the form are checked before its page runs."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.console import cookies
from app.console.language import BY_BROWSER, use_language
from app.console.people.one_time_tokens import new_token
from app.console.people.roles import Role
from app.console.people.sessions import FRESH, OpenSession, find_session
from app.console.rendering import render
from app.errors import AppError, NotAllowed, NotAuthenticated
from app.halo.engine import request_body
from app.halo.engine.responses import json_response, refusal_response
from app.settings import Settings
from app.storage.engines import Database

# Bytes and fields of a form: a page of selected rows, and a note.
_FORM_MAX = 256 * 1024
_FIELDS_MAX = 2000
CONSOLE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONSOLE_POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Ways to sign in that need no app beside them.
_STRONG_SIGN_INS = ("passkey", "openid")
# Where a program that knocks at the front door finds what it looks for.
_FOR_PROGRAMS = {
    "service": "paydue",
    "console": "/sign-in",
    "documentation": "/api/docs",
    "openapi": "/api/openapi.json",
    "token": "/auth/token",
    "health": "/healthz",
}


class Viewer(NamedTuple):
    """The person who asks for a page. `timezone` is an IANA name; `theme` auto, light or dark;
    `locale` a language, or auto for that of the browser."""

    user_id: int
    name: str
    role: Role
    timezone: str
    locale: str
    theme: str
    session_id: int
    login: str
    authenticated_at: datetime
    # Their role must have a second factor, and they have shown none yet.
    owes_second_factor: bool


ViewerPage = Callable[[Request, Viewer], Awaitable[Response]]
VisitorPage = Callable[[Request], Awaitable[Response]]


class ConsoleRoute(Route):
    """A page for people who are signed in with this role or a higher one.

    A POST carries the form's token; its fields are then in `request.state.form`. With `fresh` the
    person has shown who they are within five minutes; a fresh POST has a GET at the same path,
    which is where a person who has to do so again is sent. With `single_factor` it is open to
    those whose role must have a second factor, and who have none yet.
    """

    def __init__(
        self,
        path: str,
        endpoint: ViewerPage,
        role: Role,
        method: str = "GET",
        *,
        fresh: bool = False,
        single_factor: bool = False,
    ) -> None:
        async def answered(request: Request) -> Response:
            return await _answer(request, _guarded)

        async def _guarded(request: Request) -> Response:
            return await _admit(request, self)

        super().__init__(path, answered, methods=[method], name=f"console {path}")
        self.page = endpoint
        self.role = role
        self.fresh = fresh
        self.single_factor = single_factor


class PublicRoute(Route):
    """A page for people who are not signed in yet. A POST carries the token of its form."""

    def __init__(self, path: str, endpoint: VisitorPage, method: str = "GET") -> None:
        async def answered(request: Request) -> Response:
            return await _answer(request, _visited)

        async def _visited(request: Request) -> Response:
            return await _admit_visitor(request, endpoint)

        super().__init__(path, answered, methods=[method], name=f"console {path}")


def redirect(path: str) -> Response:
    """The browser asks for the page at this path of ours."""
    return RedirectResponse(path, 303)


def sign_in_path(page: str, following: str) -> str:
    """The address of a page of the sign-in that leads on to another page."""
    return f"{page}?next={quote(following, safe='')}"


def next_path(request: Request, given: str | None = None) -> str:
    """The page to go on to: a path of this host, or `/` for whatever else is asked for."""
    wanted = given if given is not None else request.query_params.get("next", "/")
    is_plain = wanted.isascii() and wanted.isprintable() and not set(wanted) & set("\\ ")
    if not is_plain or not wanted.startswith("/") or wanted.startswith("//"):
        return "/"
    return wanted if not urlsplit(wanted).netloc else "/"


async def _answer(request: Request, page: VisitorPage) -> Response:
    use_language(BY_BROWSER, request.headers.get("accept-language", ""))
    try:
        response = await page(request)
    except AppError as error:
        response = _refusal(request, error)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _refusal(request: Request, error: AppError) -> Response:
    """The error as a page for people, as JSON for programs; logged like those of the API."""
    as_json = refusal_response(request.scope, error)
    if not _is_browser(request):
        return as_json
    viewer = getattr(request.state, "viewer", None)
    page = render(request, viewer, "error.html", status=error.status, message=error.message)
    if "retry-after" in as_json.headers:
        page.headers["Retry-After"] = as_json.headers["retry-after"]
    return page


async def _admit(request: Request, route: ConsoleRoute) -> Response:
    token = cookies.read_cookie(request, cookies.SESSION) or ""
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    session = await find_session(database, token, now) if token else None
    if session is None:
        return _not_signed_in(request)
    request.state.viewer = viewer = _viewer(request, session)
    use_language(viewer.locale, request.headers.get("accept-language", ""))
    request.state.csrf_token = cookies.form_token(token)
    if not viewer.role.includes(route.role):
        raise NotAllowed(
            f"this page is for the role {route.role} and higher; yours is {viewer.role}"
        )
    if viewer.owes_second_factor and not route.single_factor:
        return _leave_for(request, "/account/app")
    if request.method == "POST":
        await _read_form(request, token)
    if route.fresh and now - viewer.authenticated_at > FRESH:
        return _leave_for(request, sign_in_path("/confirm-identity", _place(request)))
    return await route.page(request, viewer)


async def _admit_visitor(request: Request, page: VisitorPage) -> Response:
    cookies.require_safe_address(request)
    visitor = cookies.read_cookie(request, cookies.VISITOR) or ""
    if request.method == "POST":
        await _read_form(request, visitor)
    made = visitor or new_token()
    request.state.csrf_token = cookies.form_token(made)
    response = await page(request)
    if made != visitor:
        cookies.set_cookie(response, request, cookies.VISITOR, made)
    return response


async def _read_form(request: Request, cookie: str) -> None:
    body = await request_body.read(request, _FORM_MAX)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise NotAForm("the body is no form of ours") from None
    request.state.form = ImmutableMultiDict(fields)
    given = request.headers.get("x-csrf-token") or str(request.state.form.get("csrf", ""))
    cookies.require_own_form(request, given, cookie)


class NotAForm(AppError):
    """A body that is not application/x-www-form-urlencoded, or has too many fields."""


def _viewer(request: Request, session: OpenSession) -> Viewer:
    settings: Settings = request.app.state.settings
    return Viewer(
        user_id=session.user_id,
        name=session.name,
        role=session.role,
        timezone=session.timezone or settings.timezone,
        locale=session.locale,
        theme=session.theme,
        session_id=session.id,
        login=session.login,
        authenticated_at=session.authenticated_at,
        owes_second_factor=_owes_second_factor(session, settings.second_factor_role),
    )


def _owes_second_factor(session: OpenSession, least: str) -> bool:
    """A passkey is two factors by itself, and an OpenID provider asks for its own."""
    if not least or not session.role.includes(least):
        return False
    return not session.has_app and session.signed_in_by not in _STRONG_SIGN_INS


def _not_signed_in(request: Request) -> Response:
    if _is_browser(request):
        return _leave_for(request, sign_in_path("/sign-in", _place(request)))
    if request.url.path == "/":
        return json_response(_FOR_PROGRAMS)
    raise NotAuthenticated("people sign in at /sign-in; programs use /api with a token")


def _is_browser(request: Request) -> bool:
    is_page = "text/html" in request.headers.get("accept", "")
    return is_page or "hx-request" in request.headers


def _place(request: Request) -> str:
    """The page a person is at: for a part of one, the page that asks for the part."""
    if "hx-request" in request.headers:
        shown = urlsplit(request.headers.get("hx-current-url", "/"))
        return f"{shown.path}?{shown.query}" if shown.query else shown.path
    query = request.url.query
    return f"{request.url.path}?{query}" if query and request.method == "GET" else request.url.path


def _leave_for(request: Request, path: str) -> Response:
    """htmx follows a redirect inside the page; so it is told to leave the page."""
    if "hx-request" in request.headers:
        return Response(headers={"HX-Redirect": path})
    return redirect(path)

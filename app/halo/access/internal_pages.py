"""Pages for those who run Paydue: closed by a token of the settings, or open without one."""

import hmac
from base64 import b64decode
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from app.errors import NotAuthenticated
from app.settings import Settings

_Endpoint = Callable[[Request], Awaitable[Response]]


class InternalPage(NotAuthenticated):
    """The page asks for the internal token. A browser asks its user for it, as a password."""

    challenge = 'Basic realm="Paydue"'


def internal(endpoint: _Endpoint) -> _Endpoint:
    """The endpoint, closed to whoever lacks PAYDUE_INTERNAL_TOKEN where one is set."""

    async def guarded(request: Request) -> Response:
        settings: Settings = request.app.state.settings
        expected = settings.internal_token.get_secret_value()
        given = _given_token(request.headers.get("authorization", ""))
        if expected and not hmac.compare_digest(given.encode(), expected.encode()):
            raise InternalPage("this page asks for PAYDUE_INTERNAL_TOKEN")
        return await endpoint(request)

    guarded.__name__ = getattr(endpoint, "__name__", "guarded")
    return guarded


def _given_token(authorization: str) -> str:
    scheme, _, value = authorization.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            return _password(value)
        case _:
            return ""


def _password(credentials: str) -> str:
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""

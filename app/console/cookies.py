"""The console's cookies, and whether a request comes from a page of ours.

A cookie is `Secure` and has the prefix `__Host-` wherever browsers come by https. On this machine's
own http address it has neither, for a browser would not send it back.
"""

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from app.errors import NotAllowed, Unavailable
from app.security_log import SecurityEvent
from app.settings import Settings, is_loopback

SESSION = "paydue"
# A cookie of those who have not signed in, which their forms are tied to.
VISITOR = "paydue-visitor"
# The browser is between two steps of a sign-in.
STEP = "paydue-step"


class ForeignForm(NotAllowed):
    """A form that no page of ours sent, or one that is older than its session."""

    security_event = SecurityEvent.FORM_REFUSED


class InsecureAddress(Unavailable):
    """A password would travel in clear text."""


def is_https(request: Request) -> bool:
    settings: Settings = request.app.state.settings
    return settings.public_url.startswith("https://") or request.url.scheme == "https"


def require_safe_address(request: Request) -> None:
    """Nobody is asked for a password on a page that others on the way can read."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if not is_https(request) and not is_loopback(host):
        raise InsecureAddress("set PAYDUE_PUBLIC_URL to the https:// address of the console")


def read_cookie(request: Request, name: str) -> str | None:
    return request.cookies.get(_full_name(request, name))


def set_cookie(response: Response, request: Request, name: str, value: str) -> None:
    """A cookie that ends with the browser; the server's own limits end it sooner."""
    response.set_cookie(
        _full_name(request, name), value, path="/", secure=is_https(request), httponly=True,
        samesite="lax",
    )  # fmt: skip


def delete_cookie(response: Response, request: Request, name: str) -> None:
    response.delete_cookie(
        _full_name(request, name), path="/", secure=is_https(request), httponly=True,
        samesite="lax",
    )  # fmt: skip


def form_token(cookie: str) -> str:
    """The token that forms of this cookie's browser carry; it does not give the cookie away."""
    return sha256(f"paydue form {cookie}".encode()).hexdigest()


def require_own_form(request: Request, given: str, cookie: str) -> None:
    """Passes when a page of ours, for this very browser, sent the form; else ForeignForm."""
    if not _is_same_origin(request) or not cookie:
        raise ForeignForm("this form was sent from another site; open the page again")
    if not hmac.compare_digest(given.encode(), form_token(cookie).encode()):
        raise ForeignForm("this form is out of date; open the page again")


def _is_same_origin(request: Request) -> bool:
    """Browsers say both headers or one; whoever says neither has the token to show.

    Our pages send no referrer, and browsers then call the origin of their forms `null`.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin", "null")
    if origin == "null":
        return True
    settings: Settings = request.app.state.settings
    host = request.headers.get("host", "")
    return origin in (settings.public_url, f"http://{host}", f"https://{host}")


def _full_name(request: Request, name: str) -> str:
    return f"__Host-{name}" if is_https(request) else name

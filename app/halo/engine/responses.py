"""JSON answers: of success, and of every failure.

Clients read `error` and `error_description` (OAuth, and the HaloPSA package for Python) or
`Message` (the PowerShell module), so every failure carries all three.
"""

import re
import secrets
from typing import Any

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, NotAuthenticated, Unavailable
from app.security_log import SecurityEvent, log_security_event

log = structlog.get_logger("paydue.api")
# A caller chooses the path; the log has the beginning of it.
_PATH_MAX = 200


def json_response(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def error_response(code: str, message: str, status: int) -> Response:
    """A message may quote what a caller sent, halves of surrogate pairs included."""
    message = message.encode(errors="replace").decode()
    return json_response({"error": code, "error_description": message, "Message": message}, status)


def refusal_response(scope: Scope, error: AppError) -> Response:
    """The answer to an error that the caller or the installation caused."""
    _log_if_security_event(scope, error)
    response = error_response(_code(error), error.message, error.status)
    if isinstance(error, Unavailable):
        log.warning("unavailable", reason=error.message)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotAuthenticated):
        response.headers["WWW-Authenticate"] = error.challenge
    return response


_SECURITY_EVENTS = {
    401: SecurityEvent.NOT_AUTHENTICATED,
    403: SecurityEvent.NOT_ALLOWED,
    429: SecurityEvent.RATE_LIMITED,
}


def _log_if_security_event(scope: Scope, error: AppError) -> None:
    kind = getattr(error, "security_event", None) or _SECURITY_EVENTS.get(error.status)
    if kind is None:
        return
    peer = scope.get("client")
    log_security_event(
        kind,
        access_id=scope.get("state", {}).get("access_id"),
        client_id=getattr(error, "client_id", None),
        method=scope["method"],
        path=scope["path"][:_PATH_MAX],
        peer=peer[0] if peer else None,
    )


def _code(error: AppError) -> str:
    named: str | None = getattr(error, "code", None)
    return named or re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()


async def http_error_response(_: Request, error: Exception) -> Response:
    """The answer where the router refuses: no such path, or not with this method."""
    assert isinstance(error, HTTPException), "registered for these only"
    response = error_response("http_error", error.detail, error.status_code)
    response.headers.update(error.headers or {})
    return response


class ErrorMiddleware:
    """ASGI middleware: turns an exception into one JSON answer and at most one line of the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except AppError as error:
            if started:
                raise
            await refusal_response(scope, error)(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            response = _unexpected(scope, error)
            if not started:
                await response(scope, receive, send)


def _unexpected(scope: Scope, error: Exception) -> Response:
    request_id = secrets.token_hex(8)
    log.error(
        "request failed", request_id=request_id, method=scope["method"], path=scope["path"],
        exc_info=error,
    )  # fmt: skip
    return error_response("internal_error", f"unexpected failure, request {request_id}", 500)

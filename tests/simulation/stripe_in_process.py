"""The way to a sandbox of the same process: a request of the SDK is a call of the ASGI app.

The SDK, its sorting of errors and the sandbox's pipeline stay; sockets and two HTTP parsers go.
A dropped or a truncated answer raises the error that aiohttp raises for it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import stripe._api_requestor as requestor
from multidict import CIMultiDict
from starlette.types import ASGIApp

from app.payments.stripe.gateway import Gateway
from app.sandbox.transport.http_messages import TRANSPORT


def connect(gateway: Gateway, sandbox: ASGIApp) -> None:
    """Lets an open gateway ask this sandbox and no socket."""
    assert gateway._http is not None, "the gateway is open"
    gateway._http._user_session = InProcessSession(sandbox)


@contextlib.contextmanager
def without_objects_of_the_sdk() -> Iterator[None]:
    """The gateway reads an answer's body alone; the SDK's objects cost a third of a schedule."""
    before = requestor._convert_to_stripe_object
    requestor._convert_to_stripe_object = _only_the_response  # type: ignore[assignment]
    try:
        yield
    finally:
        requestor._convert_to_stripe_object = before


def _only_the_response(*, resp: Any, **_: Any) -> SimpleNamespace:
    return SimpleNamespace(last_response=resp)


class InProcessSession:
    """The one method of aiohttp's session that the SDK calls."""

    def __init__(self, sandbox: ASGIApp) -> None:
        self._sandbox = sandbox

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], data: Any, **_: Any
    ) -> "Answer":
        parts = urlsplit(url)
        answer = Answer((data or "").encode() if isinstance(data, str | None) else data)
        scope = {
            "type": "http",
            "method": method.upper(),
            "path": unquote(parts.path),
            "query_string": parts.query.encode(),
            "headers": [
                (name.lower().encode(), str(value).encode()) for name, value in headers.items()
            ],
            "extensions": {TRANSPORT: answer},
        }
        await self._sandbox(scope, answer.receive, answer.send)
        if answer.status == 0:
            raise aiohttp.ServerDisconnectedError
        return answer


class Answer:
    """One exchange: the request's body, the answer as it comes, and the connection between."""

    def __init__(self, body: bytes) -> None:
        self._request: bytes | None = body
        self._body = b""
        self.status = 0
        self.headers: CIMultiDict[str] = CIMultiDict()

    @property
    def content(self) -> "Answer":
        return self

    async def read(self) -> bytes:
        if len(self._body) < int(self.headers["content-length"]):
            raise aiohttp.ClientPayloadError("the answer was cut off")
        return self._body

    # --- ASGI ----------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        body, self._request = self._request, None
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message["headers"]:
                self.headers.add(name.decode(), value.decode("latin-1"))
        else:
            self._body += message["body"]

    # --- the connection that a fault breaks ---------------------------------------------------

    def abort(self) -> None:
        """Nothing was sent, and the caller sees that by the missing status."""

    def close(self) -> None:
        """The length that was promised tells the caller that the body is cut off."""

"""The way to a sandbox of the same process: a request of the gateway is a call of the pipeline.

The SDK's sorting of errors stays, and so do the sandbox's steps from the API key to the answer.
Sockets, two HTTP parsers, headers and form encoding go. A dropped or a truncated answer raises the
error that aiohttp raises for it.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus
from uuid import uuid4

import aiohttp
import orjson

from app.payments.stripe.gateway import Gateway
from app.sandbox.server import Sandbox
from app.sandbox.transport.http_messages import ApiAnswer, ApiRequest


def connect(gateway: Gateway, sandbox: Callable[[], Awaitable[Sandbox]]) -> None:
    """Lets an open gateway ask the sandbox that each call is for, and no socket."""
    gateway._client = InProcessClient(gateway._client, sandbox)  # type: ignore[assignment]


class InProcessClient:
    """The one method of the SDK's client that the gateway calls."""

    def __init__(self, replaced: Any, sandbox: Callable[[], Awaitable[Sandbox]]) -> None:
        self._requestor = replaced._requestor
        self._sandbox = sandbox

    async def raw_request_async(
        self, method: str, url: str, idempotency_key: str | None = None, **params: Any
    ) -> SimpleNamespace:
        pipeline = (await self._sandbox()).pipeline
        chosen = self._requestor._options
        request = ApiRequest(
            id=pipeline.new_request_id(),
            method=method.upper(),
            path=unquote_plus(url),
            api_key=chosen.api_key,
            idempotency_key=idempotency_key or (uuid4().hex if method == "post" else None),
            version=chosen.stripe_version,
            params=_as_form(params),
        )
        answer = await pipeline.answer(request)
        return SimpleNamespace(body=self._text(answer))

    def _text(self, answer: ApiAnswer) -> str:
        """The text of an answer; the SDK's own error where it is one, or is none of the API's."""
        if answer.ending == "drop":
            self._requestor._client._handle_request_error(aiohttp.ServerDisconnectedError())
        body = _body(answer)
        if answer.status >= 300 or not body.startswith("{"):
            self._requestor._interpret_response(body, answer.status, dict(answer.headers), "V1")
        return body


def _as_form(value: Any) -> Any:
    """The value as it is read from a form: texts, and nothing of what is empty."""
    match value:
        case Mapping():
            return {name: _as_form(one) for name, one in value.items() if one not in ({}, [], None)}
        case list() | tuple():
            return [_as_form(one) for one in value]
        case bool():
            return str(value).lower()
    return str(value)


def _body(answer: ApiAnswer) -> str:
    if answer.ending == "truncate":
        raise aiohttp.ClientPayloadError("the answer was cut off")
    if isinstance(answer.body, bytes):
        return answer.body.decode()
    return orjson.dumps(answer.body).decode()

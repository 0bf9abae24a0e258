"""Requests read from ASGI, and answers sent to it: whole, truncated or dropped."""

import base64
import binascii
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import orjson
from starlette.types import Receive, Scope, Send

from app.sandbox.account.object_templates import Obj
from app.sandbox.account.stripe_errors import StripeRefusal
from app.sandbox.transport import form_encoding

TRANSPORT = "paydue.sandbox.transport"
_BODY_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One API request; `id` is the Request-Id of its answer."""

    id: str
    method: str
    path: str
    api_key: str | None
    idempotency_key: str | None
    version: str | None
    params: Obj

    @property
    def fingerprint(self) -> bytes:
        """The same for the same endpoint and parameters; headers do not count."""
        whole = orjson.dumps([self.method, self.path, self.params], option=orjson.OPT_SORT_KEYS)
        return blake2b(whole, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """One answer; the idempotency store keeps it if it is `saved`."""

    status: int
    body: Obj | bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    saved: bool = True
    ending: Literal["whole", "drop", "truncate"] = "whole"
    wait: float = 0.0

    @classmethod
    def from_refusal(cls, refusal: StripeRefusal) -> "ApiAnswer":
        return cls(refusal.status, refusal.body, refusal.headers, refusal.saved)


async def read_request(scope: Scope, receive: Receive, request_id: str) -> ApiRequest:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    text = (await _body(receive) if scope["method"] == "POST" else scope["query_string"]).decode(
        errors="replace"
    )
    return ApiRequest(
        id=request_id,
        method=scope["method"],
        path=scope["path"],
        api_key=_api_key(headers.get(b"authorization", b"").decode("latin-1")),
        idempotency_key=_header(headers, b"idempotency-key"),
        version=_header(headers, b"stripe-version"),
        params=form_encoding.decode(text),
    )


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= _BODY_MAX:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return value.decode("latin-1") if value else None


def _api_key(authorization: str) -> str | None:
    """Bearer KEY, or Basic with the key as user name."""
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip() or None
        case "basic":
            try:
                return base64.b64decode(rest).decode().partition(":")[0] or None
            except (binascii.Error, UnicodeDecodeError):
                return None
        case _:
            return None


async def send_answer(answer: ApiAnswer, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the answer; a truncated or dropped one really ends the connection."""
    transport = scope.get("extensions", {}).get(TRANSPORT)
    if answer.ending == "drop" and transport is not None:
        transport.abort()
        await _wait_for_disconnect(receive)
        return
    body = (
        answer.body
        if isinstance(answer.body, bytes)
        else orjson.dumps(answer.body, option=orjson.OPT_INDENT_2)
    )
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": _raw_headers(answer.headers, len(body)),
        }
    )
    if answer.ending == "whole":
        await send({"type": "http.response.body", "body": body})
        return
    kept = body[: len(body) // 2] if answer.ending == "truncate" else b""
    await send({"type": "http.response.body", "body": kept, "more_body": True})
    if transport is not None:
        transport.close()
        await _wait_for_disconnect(receive)


def _raw_headers(headers: Mapping[str, str], length: int) -> list[tuple[bytes, bytes]]:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return [*raw, (b"content-length", str(length).encode())]


async def _wait_for_disconnect(receive: Receive) -> None:
    message: MutableMapping[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = await receive()

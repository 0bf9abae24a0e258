"""POST /stripe/webhook: verify, store and apply, answer. Any answer but 2xx brings it again."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from prometheus_client import Counter, Histogram
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app import tracing
from app.errors import (
    AppError,
    BadEvent,
    BadSignature,
    BodyTooLarge,
    NoSigningSecret,
    Unavailable,
)
from app.payments.webhook.foreign_events import ForeignEventCounter, foreign_reason, is_thin
from app.payments.webhook.inbox import Inbox
from app.security_log import SecurityEvent, log_security_event
from app.settings import Settings

PATHS = ("/stripe/webhook", "/api/Notify/Stripe")
REFUSED = Counter("paydue_webhooks_refused_total", "Webhook requests refused.", ["status"])
ANSWERS = Counter("paydue_webhook_answers_total", "Answers to Stripe's deliveries.", ["status"])
SECONDS = Histogram(
    "paydue_webhook_seconds",
    "Seconds from a delivery's headers to its answer, which comes after the commit.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
log = structlog.get_logger("paydue.webhook")

TOLERANCE_S = 300
# Stripe sends one v1 per active secret; a header with hundreds is an attack on our time.
_SIGNATURES_MAX = 10
_HEADER_MAX = 4096
_DIGITS = 64  # of an HMAC-SHA256 in hexadecimal
_ID_MAX = 255
# Stripe's seconds fit 11 digits for three thousand years; a larger `created` is no event.
_CREATED_MAX = 99_999_999_999
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_SPAN = f"POST {PATHS[0]}"
_ACCEPTED = b'{"received":true}'


class WebhookEndpoint:
    """The endpoint as a bare ASGI application: nothing stands between the socket and the inbox."""

    def __init__(self, settings: Settings, inbox: Inbox, foreign: ForeignEventCounter) -> None:
        self._secrets = [secret.encode() for secret in settings.webhook_secrets]
        self._body_max = settings.body_max
        self._livemode = settings.livemode
        self._account = settings.stripe_account or None
        self._inbox = inbox
        self._foreign = foreign

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with tracing.span(_SPAN, kind="SERVER") as span:
            status = await self._receive_delivery(scope, receive, send)
            span.set_attribute("http.response.status_code", status)

    async def _receive_delivery(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer a delivery; the status that it was answered with."""
        began = time.perf_counter()
        try:
            await self._accept(scope, receive)
        except AppError as error:
            _count_answer(error.status, began)
            REFUSED.labels(error.status).inc()
            _log_refusal(scope, error)
            await _answer(send, error.status, _reason(error), error)
            return error.status
        _count_answer(200, began)
        await _answer(send, 200, _ACCEPTED)
        return 200

    async def _accept(self, scope: Scope, receive: Receive) -> None:
        if not self._secrets:
            raise NoSigningSecret("STRIPE_WEBHOOK_SECRET is not set, so nothing can be verified")
        headers = scope["headers"]
        signed = next((value for name, value in headers if name == b"stripe-signature"), b"")
        # First, so that nobody makes us hold a body by a header that no body could fit.
        signature = parse_signature(signed, time.time())
        body = await _body(headers, receive, self._body_max)
        verify(body, signature, self._secrets)
        event = parse_event(body)
        reason = foreign_reason(event, livemode=self._livemode, account=self._account)
        if reason:
            self._foreign.count(reason, event["id"])
        else:
            await self._inbox.receive(event, body, "webhook")


def _count_answer(status: int, began: float) -> None:
    ANSWERS.labels(status).inc()
    SECONDS.observe(time.perf_counter() - began)


class WebhookRouter:
    """Stripe's deliveries go straight to the webhook, everything else through the application."""

    def __init__(self, receiver: WebhookEndpoint, app: ASGIApp) -> None:
        self._receiver = receiver
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_delivery = scope["type"] == "http" and scope["path"] in PATHS
        if is_delivery and scope["method"] == "POST":
            await self._receiver(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def webhook_routes(webhook: WebhookEndpoint) -> list[BaseRoute]:
    return [Route(path, webhook, methods=["POST"]) for path in PATHS]


# --- verification ----------------------------------------------------------------------------
#
# The SDK's construct_event costs 260 to 800 us a call and lets three kinds of unsigned garbage end
# in something other than a refusal; this costs about 4 us and refuses them all alike.


@dataclass(frozen=True, slots=True)
class WebhookSignature:
    """The time and the signatures that a Stripe-Signature header claims for its body."""

    timestamp: int
    v1: Sequence[bytes]


def parse_signature(header: bytes, now: float) -> WebhookSignature:
    """A signature that some body may fit within 300 s of `now`, else BadSignature."""
    if not header or len(header) > _HEADER_MAX:
        raise BadSignature("the Stripe-Signature header is missing or too long")
    timestamp, signatures = None, []
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"t" and value.isdigit() and len(value) <= 12:
            timestamp = int(value)
        elif name == b"v1":
            signatures.append(value)
    is_usable = any(len(one) == _DIGITS for one in signatures)
    if timestamp is None or not is_usable or len(signatures) > _SIGNATURES_MAX:
        raise BadSignature("the Stripe-Signature header has no usable t= and v1=")
    if abs(now - timestamp) > TOLERANCE_S:
        raise BadSignature(f"signed more than {TOLERANCE_S} s from now: {timestamp}")
    return WebhookSignature(timestamp, signatures)


def verify(body: bytes, signature: WebhookSignature, secrets: Sequence[bytes]) -> None:
    """Passes when any of the signatures fits the body and any secret, else BadSignature."""
    signed = b"%d." % signature.timestamp + body
    fits = False
    for secret in secrets:
        expected = hmac.digest(secret, signed, hashlib.sha256).hex().encode()
        for given in signature.v1:
            fits |= hmac.compare_digest(expected, given)
    if not fits:
        raise BadSignature("no signature fits the body and a known signing secret")


def parse_event(body: bytes) -> dict[str, Any]:
    """The event in a body, or BadEvent."""
    try:
        return readable_event(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise BadEvent("the body is not JSON") from None


def readable_event(event: Any) -> dict[str, Any]:
    """The event, or BadEvent: it has an id and a type, a snapshot also a time and an object."""
    if not isinstance(event, dict):
        raise BadEvent("the body is not a Stripe event")
    for name in ("id", "type"):
        value = event.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _ID_MAX or not value.isprintable():
            raise BadEvent(f"{name}: not that of a Stripe event")
    if is_thin(event):
        return event
    created = event.get("created")
    if not isinstance(created, int) or not 0 <= created <= _CREATED_MAX:
        raise BadEvent("created: not that of a Stripe event")
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        raise BadEvent("data.object: a snapshot event carries one")
    return event


async def _body(headers: Sequence[tuple[bytes, bytes]], receive: Receive, most: int) -> bytes:
    declared = next((value for name, value in headers if name == b"content-length"), b"0")
    if declared.isdigit() and int(declared) > most:
        raise BodyTooLarge(f"the body is larger than {most} bytes")
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadEvent("the request ended before its body")
        body += message.get("body", b"")
        if len(body) > most:
            raise BodyTooLarge(f"the body is larger than {most} bytes")
        more = message.get("more_body", False)
    return bytes(body)


def _log_refusal(scope: Scope, error: AppError) -> None:
    if isinstance(error, Unavailable):
        log.warning("webhook not stored", reason=error.message)
        return
    peer = scope.get("client")
    log_security_event(
        SecurityEvent.WEBHOOK_REFUSED,
        status=error.status,
        reason=error.message,
        peer=peer[0] if peer else None,
    )


def _reason(error: AppError) -> bytes:
    return orjson.dumps({"error": type(error).__name__, "reason": error.message})


async def _answer(send: Send, status: int, body: bytes, error: AppError | None = None) -> None:
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

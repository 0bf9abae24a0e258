"""The way of an API request: key, URL, limiter, fault, idempotency, execution, answer."""

import asyncio
import re
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from app.sandbox.account import stripe_errors
from app.sandbox.account.account_state import Cause, State
from app.sandbox.account.object_templates import API_VERSION, Obj
from app.sandbox.account.stripe_errors import Refusal
from app.sandbox.stripe_api import cursor_pagination
from app.sandbox.transport import http_messages, request_params, stripe_routes
from app.sandbox.transport.fault_injection import Fault, Faults
from app.sandbox.transport.http_messages import Answer, Request
from app.sandbox.transport.idempotency_keys import Keys
from app.sandbox.transport.stripe_routes import Call
from app.sandbox.transport.token_buckets import Limiter

_VERSION = re.compile(r"^20[12]\d-\d\d-\d\d(\.(acacia|basil|clover|dahlia|endive|preview))?$")
_LOCK_TIMEOUT = "lock_timeout"


class Logged(NamedTuple):
    """`template` is empty for an unknown URL, `status` None when nothing was answered."""

    method: str
    template: str
    path: str
    idempotency_key: str | None
    status: int | None
    params: Obj


class Pipeline:
    """The ASGI app for /v1; between two awaits all is one step, so no change is half made."""

    def __init__(self, state: State, limiter: Limiter, latency: float, log_size: int) -> None:
        self.state = state
        self.limiter = limiter
        self.faults = Faults()
        self.keys = Keys(state.clock)
        self.latency = latency
        self.latencies: dict[str, float] = {}
        self.log: deque[Logged] = deque(maxlen=log_size)
        self.answered: Counter[int | None] = Counter()
        self.closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.state.clock.run_due()
        request = await http_messages.request(scope, receive, self.state.ids.new("req", 14))
        found = stripe_routes.found(request.method, request.path)
        answer = await self._answer(request, found)
        self._note(request, found, answer)
        if answer.wait:
            await self._sleep(answer.wait)
        await http_messages.transmit(answer, scope, receive, send)

    def _note(self, request: Request, found: tuple[Call, list[str]] | None, answer: Answer) -> None:
        template = found[0].name.partition(" ")[2] if found else ""
        status = None if answer.ending == "drop" else answer.status
        self.answered[status] += 1
        self.log.append(
            Logged(
                request.method,
                template,
                request.path,
                request.idempotency_key,
                status,
                request.params,
            )
        )

    async def _answer(self, request: Request, found: tuple[Call, list[str]] | None) -> Answer:
        try:
            _authenticate(request)
            if found is None:
                raise stripe_errors.unknown_url(request.method, request.path)
            call, ids = found
            self.limiter.take(call.name)
            answer = await self._spoilt_or_true(call, ids, request)
        except Refusal as refusal:
            answer = Answer.refused(refusal)
        return _with_headers(answer, request)

    async def _spoilt_or_true(self, call: Call, ids: list[str], request: Request) -> Answer:
        fault = self.faults.striking(call.name)
        if fault is None:
            return await self._executed(call, ids, request, None)
        if fault.when == "before" and not fault.is_saved:
            return fault.spoilt(None, request.idempotency_key)
        return fault.spoilt(
            await self._executed(call, ids, request, fault), request.idempotency_key
        )

    async def _executed(
        self, call: Call, ids: list[str], request: Request, fault: Fault | None
    ) -> Answer:
        """Once per key; what the key remembers is the true answer, or the fault's own 500."""
        key = request.idempotency_key if call.is_write else None
        if key is None:
            await self._wait_in(call)
            return self._carried_out(call, ids, request, fault)
        saved = self.keys.begin(request, self.state.delays.idempotency)
        if saved is not None:
            return saved
        answer = None
        try:
            await self._wait_in(call)
            answer = self._carried_out(call, ids, request, fault)
        finally:
            self.keys.end(key, answer)
        return answer

    async def _wait_in(self, call: Call) -> None:
        seconds = self.latencies.get(call.name, self.latency)
        if seconds > 0:
            await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        """Ends early when the sandbox closes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)

    def _carried_out(
        self, call: Call, ids: list[str], request: Request, fault: Fault | None
    ) -> Answer:
        if fault is None or not fault.is_saved:
            return self._run(call, ids, request)
        if fault.when == "after":
            self._run(call, ids, request)
        return fault.spoilt(None, request.idempotency_key)

    def _run(self, call: Call, ids: list[str], request: Request) -> Answer:
        self.state.cause = Cause(request.id, request.idempotency_key)
        try:
            checked = request_params.checked(request.params, call.params, call.required)
            body = call.run(self.state, checked, *ids)
            return Answer(200, cursor_pagination.expanded(self.state, body, checked.get("expand")))
        except Refusal as refusal:
            return Answer.refused(refusal)
        finally:
            self.state.cause = Cause()


def _authenticate(request: Request) -> None:
    if request.api_key is None:
        message = (
            "You did not provide an API key. You need to provide your API key in the Authorization "
            "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        raise stripe_errors.unauthorized(message)
    if not request.api_key.startswith(("sk_test_", "rk_test_")):
        raise stripe_errors.unauthorized(f"Invalid API Key provided: {request.api_key[:7]}****")
    if request.version is not None and not _VERSION.match(request.version):
        raise stripe_errors.malformed(f"Invalid Stripe API version: {request.version}.")


def _with_headers(answer: Answer, request: Request) -> Answer:
    headers = {"Content-Type": "application/json", "Stripe-Version": request.version or API_VERSION}
    if not _is_lock_timeout(answer):
        headers["Request-Id"] = request.id
    if request.idempotency_key is not None:
        headers |= {"Idempotency-Key": request.idempotency_key, "Original-Request": request.id}
    return replace(answer, headers={**headers, **answer.headers})


def _is_lock_timeout(answer: Answer) -> bool:
    """A request that timed out on a lock was not processed and has no Request-Id."""
    return (
        isinstance(answer.body, dict) and answer.body.get("error", {}).get("code") == _LOCK_TIMEOUT
    )

"""The steps of a request: API key, URL, rate limit, fault, idempotency, execution, answer."""

import asyncio
import re
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from app.sandbox.account import stripe_errors
from app.sandbox.account.account_state import AccountState, EventCause
from app.sandbox.account.object_templates import API_VERSION, Obj
from app.sandbox.account.stripe_errors import StripeRefusal
from app.sandbox.stripe_api import expansion
from app.sandbox.transport import http_messages, request_params, stripe_routes
from app.sandbox.transport.fault_injection import Fault, FaultList
from app.sandbox.transport.http_messages import ApiAnswer, ApiRequest
from app.sandbox.transport.idempotency_keys import IdempotencyKeys
from app.sandbox.transport.stripe_routes import StripeRoute
from app.sandbox.transport.token_buckets import RouteLimiter

_VERSION = re.compile(r"^20[12]\d-\d\d-\d\d(\.(acacia|basil|clover|dahlia|endive|preview))?$")
_LOCK_TIMEOUT = "lock_timeout"


class LoggedRequest(NamedTuple):
    """`template` is empty for an unknown URL, `status` None when nothing was answered."""

    method: str
    template: str
    path: str
    idempotency_key: str | None
    status: int | None
    params: Obj


class RequestPipeline:
    """The ASGI app for /v1. Execution never awaits, so no other request sees it half done."""

    def __init__(
        self, state: AccountState, limiter: RouteLimiter, latency: float, log_size: int
    ) -> None:
        self.state = state
        self.limiter = limiter
        self.faults = FaultList()
        self.keys = IdempotencyKeys(state.clock)
        self.latency = latency
        self.latencies: dict[str, float] = {}
        self.log: deque[LoggedRequest] = deque(maxlen=log_size)
        self.answered: Counter[int | None] = Counter()
        # Requests that were read whole, answered or not.
        self.received = 0
        self.closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await http_messages.read_request(scope, receive, self.new_request_id())
        answer = await self.answer(request)
        await http_messages.send_answer(answer, scope, receive, send)

    def new_request_id(self) -> str:
        return self.state.ids.new("req", 14)

    async def answer(self, request: ApiRequest) -> ApiAnswer:
        """The answer to a request, once all that has become due is done and it has waited."""
        self.state.clock.run_due()
        found = stripe_routes.find_route(request.method, request.path)
        answer = await self._answer(request, found)
        self._log_request(request, found, answer)
        if answer.wait:
            await self._sleep(answer.wait)
        return answer

    def _log_request(
        self, request: ApiRequest, found: tuple[StripeRoute, list[str]] | None, answer: ApiAnswer
    ) -> None:
        template = found[0].name.partition(" ")[2] if found else ""
        status = None if answer.ending == "drop" else answer.status
        self.answered[status] += 1
        self.log.append(
            LoggedRequest(
                request.method,
                template,
                request.path,
                request.idempotency_key,
                status,
                request.params,
            )
        )

    async def _answer(
        self, request: ApiRequest, found: tuple[StripeRoute, list[str]] | None
    ) -> ApiAnswer:
        self.received += 1
        try:
            _authenticate(request)
            if found is None:
                raise stripe_errors.unknown_url(request.method, request.path)
            route, ids = found
            self.limiter.take(route.name)
            answer = await self._answer_with_faults(route, ids, request)
        except StripeRefusal as refusal:
            answer = ApiAnswer.from_refusal(refusal)
        return _with_headers(answer, request)

    async def _answer_with_faults(
        self, route: StripeRoute, ids: list[str], request: ApiRequest
    ) -> ApiAnswer:
        fault = self.faults.next_fault(route.name)
        if fault is None:
            return await self._execute_once(route, ids, request, None)
        if fault.when == "before" and not fault.is_saved:
            return fault.distort(None, request.idempotency_key)
        return fault.distort(
            await self._execute_once(route, ids, request, fault), request.idempotency_key
        )

    async def _execute_once(
        self, route: StripeRoute, ids: list[str], request: ApiRequest, fault: Fault | None
    ) -> ApiAnswer:
        """Executes once per idempotency key, which saves the true answer or the fault's own 500."""
        key = request.idempotency_key if route.is_write else None
        if key is None:
            await self._wait_latency(route)
            return self._execute(route, ids, request, fault)
        saved = self.keys.begin(request, self.state.delays.idempotency)
        if saved is not None:
            return saved
        answer = None
        try:
            await self._wait_latency(route)
            answer = self._execute(route, ids, request, fault)
        finally:
            self.keys.end(key, answer)
        return answer

    async def _wait_latency(self, route: StripeRoute) -> None:
        seconds = self.latencies.get(route.name, self.latency)
        if seconds > 0:
            await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        """Sleeps, but wakes when the sandbox closes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)

    def _execute(
        self, route: StripeRoute, ids: list[str], request: ApiRequest, fault: Fault | None
    ) -> ApiAnswer:
        if fault is None or not fault.is_saved:
            return self._run(route, ids, request)
        if fault.when == "after":
            self._run(route, ids, request)
        return fault.distort(None, request.idempotency_key)

    def _run(self, route: StripeRoute, ids: list[str], request: ApiRequest) -> ApiAnswer:
        self.state.cause = EventCause(request.id, request.idempotency_key, request.api_key)
        try:
            checked = request_params.parse(request.params, route.params, route.required)
            body = route.run(self.state, checked, *ids)
            return ApiAnswer(200, expansion.expand(self.state, body, checked.get("expand")))
        except StripeRefusal as refusal:
            return ApiAnswer.from_refusal(refusal)
        finally:
            self.state.cause = EventCause()


def _authenticate(request: ApiRequest) -> None:
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


def _with_headers(answer: ApiAnswer, request: ApiRequest) -> ApiAnswer:
    headers = {"Content-Type": "application/json", "Stripe-Version": request.version or API_VERSION}
    if not _is_lock_timeout(answer):
        headers["Request-Id"] = request.id
    if request.idempotency_key is not None:
        headers |= {"Idempotency-Key": request.idempotency_key, "Original-Request": request.id}
    return replace(answer, headers={**headers, **answer.headers})


def _is_lock_timeout(answer: ApiAnswer) -> bool:
    """A request that timed out on a lock was not processed and has no Request-Id."""
    return (
        isinstance(answer.body, dict) and answer.body.get("error", {}).get("code") == _LOCK_TIMEOUT
    )

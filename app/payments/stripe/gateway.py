"""Everything we ask of Stripe. The only module that imports its SDK.

Its errors are sorted here by one question: did the call happen? The SDK's own
retries are off; a repeated call is a decision of the caller, under the same key.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote_plus

import aiohttp
import orjson
import stripe

from app.payments.stripe import rate_limiter as endpoints
from app.payments.stripe.call_metrics import counted_call
from app.payments.stripe.rate_limiter import RateLimiter
from app.payments.stripe.stripe_objects import reference
from app.settings import Settings

API_VERSION = "2026-10-28.endive"
PAGE = 100
# One pool of connections for all calls; Stripe closes idle ones after a minute.
_CONNECTIONS_MAX = 200
# A limiter's refusal is waited out a few times; what is still refused then goes on in the next run.
_LIMITED_TRIES = 5
_LIMITED_WAIT_S = 0.5
# Asked once by a process, so that no rate is kept for it.
_ACCOUNT = "GET /v1/account"

T = TypeVar("T")

stripe.enable_telemetry = False


class NoAnswer(Exception):
    """Nothing we can trust came back: the call may or may not have happened."""


class ReadUnanswered(NoAnswer):
    """A question got no answer. Whatever it was about is as it was: nothing has happened by it."""


class ReplayedFailure(NoAnswer):
    """Stripe replays a 500 it saved under this key; asking again under it brings the same."""


class StripeKeyReused(Exception):
    """The key was used before with other parameters, by another life of this database."""


class StripeRateLimited(Exception):
    """Refused before it began. On a first send nothing happened; on a replay it says nothing."""


class NotAuthorized(Exception):
    """Stripe does not accept our key. Nothing can be charged until somebody mends it."""


class RequestRefused(Exception):
    """Stripe understood the request and refuses it as it stands."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Declined(Exception):
    """The bank or the network said no; the intent in its state after the try."""

    def __init__(self, intent: Mapping[str, Any], body: str) -> None:
        super().__init__("declined")
        self.intent = intent
        self.body = body


@dataclass(frozen=True, slots=True)
class StripeResponse:
    """An object as Stripe sent it: parsed, and the text itself for support."""

    object: Mapping[str, Any]
    body: str


def _without_redirects() -> aiohttp.TraceConfig:
    """Stripe's API never redirects; whoever does would be sent a payment's parameters."""

    async def refuse(*_: object) -> None:
        raise aiohttp.ClientError("the answer was a redirect, which is not followed")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


class Gateway:
    """One Stripe account. Use `async with`: the client belongs to the running event loop."""

    def __init__(self, settings: Settings, pace: RateLimiter) -> None:
        self._settings = settings
        self._pace = pace
        self._client: stripe.StripeClient | None = None
        self._http: stripe.AIOHTTPClient | None = None
        self._account_name: str | None = None

    async def __aenter__(self) -> "Gateway":
        timeout = aiohttp.ClientTimeout(total=self._settings.stripe_timeout)
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, keepalive_timeout=50)
        session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trace_configs=[_without_redirects()]
        )
        self._http = stripe.AIOHTTPClient(timeout=timeout, session=session)
        self._session = session
        self._client = self._new_client()
        return self

    def use(self, settings: Settings) -> None:
        """From the next call on, the key of these settings: another one of the same mode."""
        self._settings = settings
        self._account_name = None
        if self._http is not None:
            self._client = self._new_client()

    def _new_client(self) -> stripe.StripeClient:
        return stripe.StripeClient(
            self._settings.api_key,
            base_addresses={"api": self._settings.stripe_api_base.rstrip("/")},
            stripe_version=API_VERSION,
            stripe_account=self._settings.stripe_account or None,
            max_network_retries=0,
            http_client=self._http,
        )

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    # --- intents -----------------------------------------------------------------------------

    async def create(self, params: Mapping[str, Any], key: str) -> StripeResponse:
        """An unconfirmed PaymentIntent: it never moves money by itself."""
        await self._pace.acquire(endpoints.CREATE)
        return await self._send("payment_intent", endpoints.CREATE, params=params, key=key)

    async def acquire_confirm(self) -> None:
        """Wait for the rate limiter before the last look: no wait comes after it."""
        await self._pace.acquire(endpoints.CONFIRM)

    async def confirm(self, intent_id: str, params: Mapping[str, Any], key: str) -> StripeResponse:
        """Move the money, off-session. The caller has waited for `acquire_confirm`."""
        return await self._send("payment_intent", endpoints.CONFIRM, intent_id, params, key)

    async def retrieve(self, intent_id: str) -> StripeResponse:
        await self._pace.acquire(endpoints.RETRIEVE)
        expanded = {"expand": ["latest_charge"]}
        return await self._read("payment_intent", endpoints.RETRIEVE, intent_id, expanded)

    async def cancel(self, intent_id: str) -> StripeResponse:
        await self._pace.acquire(endpoints.CANCEL)
        return await self._send("payment_intent", endpoints.CANCEL, intent_id)

    async def intents(
        self, *, customer_id: str | None = None, since: datetime | None = None
    ) -> AsyncIterator[Mapping[str, Any]]:
        """PaymentIntents, newest first. A list is read-after-write; Search is not."""
        params: dict[str, Any] = {}
        if customer_id:
            params["customer"] = customer_id
        if since:
            params["created"] = {"gte": int(since.timestamp())}
        async for one in self._listed(endpoints.LIST, params):
            yield one

    async def refund(self, params: Mapping[str, Any], key: str) -> StripeResponse:
        """Give money back. The same key again answers the same refund."""
        await self._pace.acquire(endpoints.REFUND)
        return await self._send("refund", endpoints.REFUND, params=params, key=key)

    async def refunds_of(self, intent_id: str) -> AsyncIterator[Mapping[str, Any]]:
        """All refunds of an intent. The list is read-after-write."""
        params = {"payment_intent": intent_id}
        async for one in self._listed(endpoints.REFUNDS, params):
            yield one

    async def refunds_since(self, since: datetime) -> AsyncIterator[Mapping[str, Any]]:
        params = {"created": {"gte": int(since.timestamp())}}
        async for one in self._listed(endpoints.REFUNDS, params):
            yield one

    async def disputes_since(self, since: datetime) -> AsyncIterator[Mapping[str, Any]]:
        params = {"created": {"gte": int(since.timestamp())}}
        async for one in self._listed(endpoints.DISPUTES, params):
            yield one

    async def payouts_since(self, since: datetime) -> AsyncIterator[Mapping[str, Any]]:
        params = {"created": {"gte": int(since.timestamp())}}
        async for one in self._listed(endpoints.PAYOUTS, params):
            yield one

    async def balance_transactions(
        self, *, since: datetime | None = None, payout_id: str | None = None
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Balance transactions, newest first: those since an instant, or those of one payout."""
        params: dict[str, Any] = {"payout": payout_id} if payout_id else {}
        if since:
            params["created"] = {"gte": int(since.timestamp())}
        async for one in self._listed(endpoints.BALANCE_TRANSACTIONS, params):
            yield one

    # --- around a charge ---------------------------------------------------------------------

    async def default_method(self, customer_id: str) -> Mapping[str, Any] | None:
        """The customer's default for invoices, or None; also None for a customer who is gone."""
        await self._pace.acquire(endpoints.CUSTOMER)
        expanded = {"expand": ["invoice_settings.default_payment_method"]}
        found = (await self._read("customer", endpoints.CUSTOMER, customer_id, expanded)).object
        default = (found.get("invoice_settings") or {}).get("default_payment_method")
        return {"id": default} if isinstance(default, str) else default

    async def customers(self) -> AsyncIterator[Mapping[str, Any]]:
        """All customers of the account, the newest first; not those that were deleted."""
        async for one in self._listed(endpoints.CUSTOMERS, {}):
            yield one

    async def payment_method(self, method_id: str) -> Mapping[str, Any]:
        await self._pace.acquire(endpoints.PAYMENT_METHOD)
        return (await self._read("payment_method", endpoints.PAYMENT_METHOD, method_id)).object

    async def payment_methods(self, customer_id: str) -> Sequence[Mapping[str, Any]]:
        """The methods that are attached to a customer, those attached last first."""
        params = {"customer": customer_id}
        return [one async for one in self._listed(endpoints.PAYMENT_METHODS, params)]

    async def session(self, session_id: str) -> Mapping[str, Any]:
        await self._pace.acquire(endpoints.SESSION)
        return (await self._read("checkout.session", endpoints.SESSION, session_id)).object

    async def sessions(
        self, customer_id: str | None = None, since: datetime | None = None
    ) -> list[Mapping[str, Any]]:
        """Checkout Sessions, open and complete, of one customer or of everybody."""
        params: dict[str, Any] = {}
        if customer_id:
            params["customer"] = customer_id
        if since:
            params["created"] = {"gte": int(since.timestamp())}
        return [one async for one in self._listed(endpoints.SESSIONS, params)]

    async def open_session(self, params: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """A Checkout Session, which is a page of Stripe's. The same key makes no other one."""
        await self._pace.acquire(endpoints.OPEN_SESSION)
        found = await self._send("checkout.session", endpoints.OPEN_SESSION, params=params, key=key)
        return found.object

    async def open_portal(self, customer_id: str, return_url: str) -> str:
        """The address of Stripe's page where a customer changes payment methods."""
        await self._pace.acquire(endpoints.PORTAL)
        params = {"customer": customer_id, "return_url": return_url}
        found = await self._send("billing_portal.session", endpoints.PORTAL, params=params)
        url = found.object.get("url")
        if not isinstance(url, str):
            raise NoAnswer("Stripe answered a portal session without its address")
        return url

    async def create_setup_intent(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """A SetupIntent, by which a screen saves a customer's payment method. It moves no money."""
        await self._pace.acquire(endpoints.SETUP_INTENT)
        return (await self._send("setup_intent", endpoints.SETUP_INTENT, params=params)).object

    async def create_webhook_endpoint(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """A new endpoint; only this answer has its signing secret."""
        await self._pace.acquire(endpoints.NEW_WEBHOOK_ENDPOINT)
        return (
            await self._send("webhook_endpoint", endpoints.NEW_WEBHOOK_ENDPOINT, params=params)
        ).object

    async def update_webhook_endpoint(
        self, endpoint_id: str, params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        await self._pace.acquire(endpoints.WEBHOOK_ENDPOINT)
        return (
            await self._send("webhook_endpoint", endpoints.WEBHOOK_ENDPOINT, endpoint_id, params)
        ).object

    async def expire(self, session_id: str) -> None:
        await self._pace.acquire(endpoints.EXPIRE)
        await self._send("checkout.session", endpoints.EXPIRE, session_id)

    async def events(self, since: datetime, types: list[str]) -> AsyncIterator[Mapping[str, Any]]:
        """Events of these types (20 at most), newest first; Stripe keeps them for 30 days."""
        params = {"created": {"gte": int(since.timestamp())}, "types": types}
        async for one in self._listed(endpoints.EVENTS, params):
            yield one

    async def webhook_endpoints(self) -> Sequence[Mapping[str, Any]]:
        """The webhook endpoints of the account, by whomever they were made."""
        return [one async for one in self._listed(endpoints.WEBHOOK_ENDPOINTS, {})]

    async def account(self) -> Mapping[str, Any]:
        """Our own account: the cheapest proof that the key works."""
        return (await self._read("account", _ACCOUNT)).object

    async def account_name(self) -> str:
        """The account and the mode that the key opens; asked once, for a key never changes."""
        if self._account_name is None:
            mode = "live" if self._settings.livemode else "test"
            self._account_name = f"{(await self.account())['id']} ({mode})"
        return self._account_name

    # --- requests ----------------------------------------------------------------------------

    async def _listed(
        self, endpoint: str, params: Mapping[str, Any]
    ) -> AsyncIterator[Mapping[str, Any]]:
        after: str | None = None
        while True:
            await self._pace.acquire(endpoint)
            start = {"starting_after": after} if after else {}
            wanted = {**params, **start, "limit": PAGE}
            page = (await self._read("list", endpoint, params=wanted)).object
            listed = _objects_of(page)
            for one in listed:
                yield one
            if not page.get("has_more") or not listed:
                return
            after = _last_id(listed, after)

    async def _read(
        self,
        kind: str,
        endpoint: str,
        object_id: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> StripeResponse:
        """The answer to a question, which changes nothing at Stripe."""
        try:
            return await self._send(kind, endpoint, object_id, params)
        except NoAnswer as error:
            raise ReadUnanswered(str(error)) from error

    async def _send(
        self,
        kind: str,
        endpoint: str,
        object_id: str | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> StripeResponse:
        """The call's answer, which is an object of this kind; anything else is no answer.

        The SDK sends the request and sorts its errors. It makes no object of the answer, for that
        costs more than all else that it does for a call, and we read plain JSON.
        """
        client: Any = self._client
        assert client is not None, "the gateway is used inside `async with`"
        method, _, path = endpoint.partition(" ")
        path = path.replace("{id}", quote_plus(object_id or ""))
        with counted_call(endpoint), _sorted_errors():
            found = await client.raw_request_async(
                method.lower(), path, idempotency_key=key, **(params or {})
            )
            answer = orjson.loads(found.body)
        if not isinstance(answer, dict) or answer.get("object") != kind:
            raise NoAnswer(f"Stripe answered something that is no {kind.replace('_', ' ')}")
        return StripeResponse(answer, found.body)


def _objects_of(page: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects of a page. One of them that is none is shown as an object without an id."""
    data = page.get("data")
    if not isinstance(data, list):
        raise NoAnswer("Stripe answered a list without its data")
    return [one if isinstance(one, dict) else {} for one in data]


def _last_id(listed: Sequence[Mapping[str, Any]], before: str | None) -> str:
    """The id after which the next page begins."""
    ids = [found for one in listed if (found := reference(one)) is not None]
    if not ids or ids[-1] == before:
        raise NoAnswer("Stripe answered a page on which no object has an id")
    return ids[-1]


@contextlib.contextmanager
def _sorted_errors() -> Any:
    """Turns whatever a call raises into what we know. Anything unforeseen is no answer."""
    try:
        yield
    except stripe.CardError as error:
        raise _decline(error) from error
    except stripe.RateLimitError as error:
        raise StripeRateLimited(_said(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise NotAuthorized(_said(error)) from error
    except stripe.IdempotencyError as error:
        raise StripeKeyReused(_said(error)) from error
    except stripe.InvalidRequestError as error:
        code = error.code or ("resource_missing" if error.http_status == 404 else "refused")
        raise RequestRefused(code, _said(error)) from error
    except stripe.APIError as error:
        replayed = (error.headers or {}).get("Idempotent-Replayed") == "true"
        raise (ReplayedFailure if replayed else NoAnswer)(_said(error)) from error
    except Exception as error:  # also what the aiohttp transport lets through
        raise NoAnswer(_unforeseen(error)) from error


def _unforeseen(error: Exception) -> str:
    """The words for an error that is none of the SDK's own."""
    if isinstance(error, AttributeError | LookupError | TypeError | ValueError):
        return f"Stripe's answer has a shape that the SDK cannot read ({error!r})"
    return f"{type(error).__name__}: {str(error).partition('. ')[0].strip()}"


def _decline(error: stripe.CardError) -> Exception:
    body = orjson.loads(error.http_body or b"{}").get("error") or {}
    intent = body.get("payment_intent")
    if intent is None:
        return RequestRefused(str(body.get("code")), _said(error))
    # The error itself is complete; an intent's last_payment_error may leave codes out.
    told = {name: value for name, value in body.items() if name != "payment_intent"}
    known = intent.get("last_payment_error") or {}
    return Declined({**intent, "last_payment_error": {**known, **told}}, str(error.http_body))


def _said(error: stripe.StripeError) -> str:
    message = (error.user_message or str(error) or type(error).__name__).splitlines()[0]
    return f"{message} (HTTP {error.http_status})" if error.http_status else message


async def with_backoff(call: Callable[[], Awaitable[T]]) -> T:
    """Wait out a limiter's refusal. It came before the call began, so the same call is right."""
    for tried in range(_LIMITED_TRIES):
        try:
            return await call()
        except StripeRateLimited:
            await asyncio.sleep(_LIMITED_WAIT_S * 2**tried)
    return await call()


async def retrieve_intent(gateway: Gateway, intent_id: str) -> StripeResponse:
    """Retrieve an intent by its id; that Stripe does not show it is no answer."""
    try:
        return await gateway.retrieve(intent_id)
    except RequestRefused as error:
        raise ReadUnanswered(f"Stripe does not show {intent_id}: {error.message}") from error

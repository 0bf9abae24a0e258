"""HaloPSA's own Stripe endpoints, as its screens call them; docs/compatibility.md says how each is.

Their bodies are published by name only. A body may be an object, or an array of one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidField, NotFound, Refused
from app.halo.access.authenticator import Caller, authorize
from app.halo.access.concurrency_limit import bounded_snapshot, reading_place
from app.halo.engine import parsing, request_body
from app.halo.engine.filters import parameter_value
from app.halo.engine.idempotency import Work, run_idempotent
from app.halo.engine.list_query import query_parameters
from app.halo.engine.resource_routes import id_in_path
from app.halo.engine.responses import json_response
from app.halo.payment_claims import BookIntent
from app.halo.refund_actions import EVERYTHING
from app.halo.resource_writers import WRITERS
from app.halo.resources.client_resource import CLIENTS
from app.rules.home import home_of
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.clients import Client

CLIENT = table_of(Client)
READ_CUSTOMERS, EDIT_CUSTOMERS, EDIT_INVOICES = "read:customers", "edit:customers", "edit:invoices"
# As many as one page of Stripe's has lines.
ITEMS_MAX = 100


class AskStripe(Protocol):
    """Asks Stripe what HaloPSA's screens need."""

    async def create_payment_intent(
        self, invoice_ids: Sequence[int], method_id: str | None
    ) -> dict[str, Any]: ...

    async def create_setup_intent(self, customer_id: str) -> dict[str, Any]: ...

    async def create_portal_session(self, customer_id: str, return_url: str) -> str: ...

    async def set_webhook(self, url: str) -> dict[str, Any]: ...

    async def method_name(self, customer_id: str, method_id: str) -> str | None: ...


class _StripeClient(NamedTuple):
    """A client with its Stripe customer."""

    id: int
    customer_id: str
    payment_method_id: str | None
    payment_method_name: str | None


async def show_integration(request: Request) -> Response:
    """The mode, the address of the webhook, and with `client_id` the client's own method."""
    caller = await authorize(request, READ_CUSTOMERS)
    settings: Settings = request.app.state.settings
    wanted = parameter_value(query_parameters(request.scope["query_string"]), "client_id")
    found: dict[str, Any] = {"livemode": settings.livemode, "payment_methods": []}
    if settings.public_url:
        found["webhook_url"] = f"{settings.public_url}/stripe/webhook"
    if wanted is not None:
        async with reading_place(request, caller), bounded_snapshot(request) as tx:
            client = await _find_client(tx, {"client_id": wanted})
        found["stripe_customer_id"] = client.customer_id
        if client.payment_method_id:
            name = client.payment_method_name or client.payment_method_id
            one = {"id": client.payment_method_id, "name": name, "hint": name}
            found["payment_methods"] = [one]
    return json_response(found)


async def create_webhook(request: Request) -> Response:
    """Make or mend the endpoint at Stripe; the signing secret is in the answer where it is new."""

    async def prepare(caller: Caller, body: bytes) -> Response:
        given = _one(body)
        url = parsing.text("url", given.get("url")) or _own_url(request)
        return json_response(await _stripe(request).set_webhook(_https(url, "url")))

    return await run_idempotent(request, EVERYTHING, prepare)


async def create_setup_intent(request: Request) -> Response:
    """A SetupIntent by which a screen saves a client's payment method."""

    async def prepare(caller: Caller, body: bytes) -> Response:
        client = await _client(request, _one(body))
        return json_response(await _stripe(request).create_setup_intent(client.customer_id))

    return await run_idempotent(request, EDIT_CUSTOMERS, prepare)


async def create_payment_intent(request: Request) -> Response:
    """A PaymentIntent for what the invoices `items` owe, to be confirmed by the screen."""

    async def prepare(caller: Caller, body: bytes) -> Response:
        given = _one(body)
        ids = _item_ids(given.get("items"))
        method = parsing.stripe_id("cardid", given.get("cardid"))
        return json_response(await _stripe(request).create_payment_intent(ids, method))

    return await run_idempotent(request, EDIT_INVOICES, prepare)


async def update_invoice_payment(request: Request) -> Response:
    """Book what Stripe says now of an intent that a screen has confirmed."""

    async def prepare(caller: Caller, body: bytes) -> Response:
        given = _one(body)
        intent_id = parsing.stripe_id("payment_intent", given.get("payment_intent"))
        if not intent_id:
            raise InvalidField("payment_intent", "is required")
        name = "payment_intent_client_secret"
        secret = parsing.text(name, given.get(name))
        if secret and not secret.startswith(f"{intent_id}_secret"):
            raise InvalidField(name, "is of another intent")
        book: BookIntent = request.app.state.book_intent
        await book(intent_id)
        return json_response({"payment_intent": intent_id})

    return await run_idempotent(request, EDIT_INVOICES, prepare)


async def create_portal_session(request: Request) -> Response:
    """The address of Stripe's page for a client's payment methods."""

    async def prepare(caller: Caller, body: bytes) -> Response:
        given = _one(body)
        back = parsing.text("returnurl", given.get("returnurl"))
        if not back:
            raise InvalidField("returnurl", "is required")
        client = await _client(request, given)
        url = await _stripe(request).create_portal_session(
            client.customer_id, _https(back, "returnurl")
        )
        return json_response({"url": url})

    return await run_idempotent(request, EDIT_CUSTOMERS, prepare)


async def update_payment_method(request: Request) -> Response:
    """Set the payment method that a client's invoices are charged to, if it is theirs."""

    async def prepare(caller: Caller, body: bytes) -> Work:
        given = _one(body)
        client = await _client(request, given)
        names = ("stripe_payment_method_id", "cardid", "payment_method")
        wanted = next((given[name] for name in names if given.get(name)), None)
        method = parsing.stripe_id("stripe_payment_method_id", wanted)
        if not method:
            raise InvalidField("stripe_payment_method_id", "is required")
        shown = await _stripe(request).method_name(client.customer_id, method)

        async def work(tx: Tx) -> Response:
            now: datetime = request.app.state.clock()
            record = {
                "id": client.id,
                "stripe_payment_method_id": method,
                "stripe_payment_method_name": shown,
            }
            settings: Settings = request.app.state.settings
            await WRITERS[CLIENTS](tx, [record], now=now, who=caller.name, home=home_of(settings))
            return json_response(record)

        return work

    return await run_idempotent(request, EDIT_CUSTOMERS, prepare)


# --- what a body says ------------------------------------------------------------------------


def _one(body: bytes) -> Mapping[str, Any]:
    given = request_body.parse_json(body)
    one = given[0] if isinstance(given, list) and len(given) == 1 else given
    if not isinstance(one, dict):
        raise InvalidField("body", "is not one object")
    return {str(name).lower(): value for name, value in one.items()}


def _item_ids(given: Any) -> list[int]:
    if not isinstance(given, list) or not 1 <= len(given) <= ITEMS_MAX:
        raise InvalidField("items", f"are not 1 to {ITEMS_MAX}")
    ids = [
        parsing.reference("items", one.get("id") if isinstance(one, dict) else one) for one in given
    ]
    found = [one for one in ids if one is not None]
    if len(found) < len(ids):
        raise InvalidField("items", "name no invoice")
    return found


async def _client(request: Request, given: Mapping[str, Any]) -> _StripeClient:
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        return await _find_client(tx, given)


async def _find_client(tx: Tx, given: Mapping[str, Any]) -> _StripeClient:
    """The client of `client_id` (or `id`), or whose Stripe customer `customerid` is."""
    said = given.get("customerid")
    columns = (
        CLIENT.c.id,
        CLIENT.c.stripe_customer_id,
        CLIENT.c.stripe_payment_method_id,
        CLIENT.c.stripe_payment_method_name,
    )
    if isinstance(said, str) and said.startswith("cus_"):
        customer = parsing.stripe_id("customerid", said)
        where = CLIENT.c.stripe_customer_id == customer
    else:
        wanted = given.get("client_id") or said or given.get("id")
        if wanted is None:
            raise InvalidField("client_id", "is required")
        where = CLIENT.c.id == id_in_path(CLIENTS, str(wanted))
    row = (await tx.execute(select(*columns).where(where).order_by(CLIENT.c.id).limit(1))).first()
    if row is None:
        raise NotFound("Client", "of this number or customer")
    if not row.stripe_customer_id:
        raise Refused(f"client {row.id} has no stripe_customer_id")
    return _StripeClient._make(row)


def _https(url: str, field: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise InvalidField(field, "is not an address such as https://example.com")
    return url


def _own_url(request: Request) -> str:
    settings: Settings = request.app.state.settings
    if not settings.public_url:
        raise InvalidField("url", "is required, for PAYDUE_PUBLIC_URL is not set")
    return f"{settings.public_url}/stripe/webhook"


def _stripe(request: Request) -> AskStripe:
    found: AskStripe = request.app.state.halo_stripe
    return found

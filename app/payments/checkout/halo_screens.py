"""The Stripe calls behind HaloPSA's own Stripe screens: one gateway for each request."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidField, Refused, Unavailable
from app.payments.checkout.invoice_intents import InvoiceIntents
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.payments.stripe.stripe_objects import described_method, reference
from app.payments.webhook import endpoint_setup
from app.storage.engines import Database


@dataclass(frozen=True, slots=True)
class HaloScreens:
    """Asks Stripe for HaloPSA's screens. Each error is an AppError, in Stripe's words."""

    database: Database
    installation: str
    open_gateway: Callable[[], AbstractAsyncContextManager[Gateway]]

    async def create_payment_intent(
        self, invoice_ids: Sequence[int], method_id: str | None
    ) -> dict[str, Any]:
        """An unconfirmed PaymentIntent for invoices, under the one-payable-way guard."""
        async with self.open_gateway() as gateway:
            intents = InvoiceIntents(self.database, gateway, self.installation)
            found = await intents.create(invoice_ids, method_id)
            return _secret_of(found)

    async def create_setup_intent(self, customer_id: str) -> dict[str, Any]:
        """A SetupIntent to save a method of the customer's for automatic charges."""
        async with self._asking() as gateway:
            params = {
                "customer": customer_id,
                "usage": "off_session",
                "automatic_payment_methods": {"enabled": True},
            }
            return _secret_of(await gateway.create_setup_intent(params))

    async def create_portal_session(self, customer_id: str, return_url: str) -> str:
        """The address of Stripe's page for the customer's payment methods."""
        async with self._asking() as gateway:
            return await gateway.open_portal(customer_id, return_url)

    async def set_webhook(self, url: str) -> dict[str, Any]:
        """The account's webhook endpoint at this address, made or mended."""
        async with self._asking() as gateway:
            plan = await endpoint_setup.plan_endpoint(gateway, url)
            found = await endpoint_setup.carry_out(gateway, plan)
            names = ("id", "created", "enabled_events", "livemode", "status", "url", "secret")
            shown = {name: found[name] for name in names if name in found}
            return {**shown, "_object": "webhook_endpoint"}

    async def method_name(self, customer_id: str, method_id: str) -> str | None:
        """The name of a customer's own payment method; InvalidField where it is not theirs."""
        async with self._asking() as gateway:
            found = await gateway.payment_method(method_id)
            if reference(found.get("customer")) != customer_id:
                raise InvalidField("stripe_payment_method_id", "is not the client's at Stripe")
            return described_method(found)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Gateway]:
        async with self.open_gateway() as gateway:
            with _as_app_errors():
                yield gateway


def _secret_of(found: Any) -> dict[str, Any]:
    return {
        "id": found["id"],
        "client_secret": found.get("client_secret"),
        "status": found.get("status"),
        "amount": found.get("amount"),
        "currency": found.get("currency"),
    }


@contextmanager
def _as_app_errors() -> Iterator[None]:
    try:
        yield
    except RequestRefused as error:
        raise Refused(f"Stripe refuses it: {error.message}") from error
    except (NoAnswer, NotAuthorized, StripeRateLimited) as error:
        raise Unavailable(f"Stripe cannot be asked now: {error}") from error

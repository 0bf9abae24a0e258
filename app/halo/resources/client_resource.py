"""GET, POST and DELETE /Client."""

from typing import Any

from app.halo.engine.filters import Equals, ExcludedWhenFalse, Search, contains
from app.halo.engine.parsing import reference, short_text, text
from app.halo.engine.resource import ALL_VERBS, Field, Input, Listing, Resource
from app.halo.resources.shared_fields import DATE_CREATED, ID, LAST_MODIFIED
from app.rules import calendar
from app.storage.tables.clients import Client


def _timezone(name: str, value: Any) -> str | None:
    """The name of a time zone that exists: the client's business day is reckoned in it."""
    zone = text(name, value)
    return calendar.zone(zone, name).key if zone else None


_WITHOUT = "When false, without the {} ones."

CLIENTS = Resource(
    path="Client",
    table=Client,
    verbs=ALL_VERBS,
    group="customers",
    fields={
        "id": ID,
        "name": Field("The client's name. Required.", short_text),
        "toplevel_id": Field("The number of the organisation that the client is part of."),
        "inactive": Field("Whether the client is not used any more."),
        "email": Field("The address that the client is written to."),
        "timezone": Field(
            "IANA time zone of the client's business day; `PAYDUE_TIMEZONE` without one.",
            _timezone,
        ),
        "currency_code": Field("`id` of the Currency of the client's invoices.", reference),
        "stripe_customer_id": Field("The client's customer at Stripe, `cus_...`.", short_text),
        "stripe_payment_method_id": Field(
            "The client's own payment method, `pm_...`, set by a person; without one, the "
            "customer's default at Stripe is charged.",
            short_text,
        ),
        "stripe_payment_method_name": Field("That payment method as people know it."),
        "consolidate": Field(
            "Whether all the client's invoices that are due on a day are charged in one payment; "
            "null is `PAYDUE_AUTOPAY_CONSOLIDATE`."
        ),
        "date_created": DATE_CREATED,
        "last_modified": LAST_MODIFIED,
    },
    listing=Listing(
        envelope="clients",
        filters={
            "inactive": Equals(Client.inactive),
            "includeinactive": ExcludedWhenFalse(
                Client.inactive.is_(True), _WITHOUT.format("inactive")
            ),
            "includeactive": ExcludedWhenFalse(
                Client.inactive.is_(False), _WITHOUT.format("active")
            ),
            "toplevel_id": Equals(Client.toplevel_id),
            "stripe_customer_id": Equals(Client.stripe_customer_id, short_text),
            "search": Search(
                lambda text: [contains(column, text) for column in (Client.name, Client.email)]
            ),
        },
    ),
    input=Input(keeps_unknown=True),
    held_by=("invoice_payment.client_id",),
)

"""GET, POST and DELETE /Client."""

import re
from collections.abc import Callable
from typing import Any

from app.documents.languages import LANGUAGES
from app.errors import InvalidField
from app.halo.engine import json_schema
from app.halo.engine.filters import Equals, ExcludedWhenFalse, Search, contains
from app.halo.engine.parsing import reference, short_text, stripe_id, text
from app.halo.engine.resource import ALL_VERBS, Field, Input, Listing, Resource
from app.halo.resources.shared_fields import DATE_CREATED, ID, LAST_MODIFIED
from app.rules import calendar
from app.rules.mail_kind import MailKind
from app.storage.tables.clients import Client


def _timezone(name: str, value: Any) -> str | None:
    """The name of a time zone that exists: the client's business day is reckoned in it."""
    zone = text(name, value)
    return calendar.zone(zone, name).key if zone else None


_COUNTRY_PATTERN = "[A-Z]{2}"
_EINVOICE_PATTERN = "[0-9A-Z]{2,4}:[!-~]{1,50}"
_COUNTRY = {**json_schema.TEXT, "pattern": f"^({_COUNTRY_PATTERN})?$"}
_EINVOICE_ADDRESS = {**json_schema.TEXT, "pattern": f"^({_EINVOICE_PATTERN})?$"}


def _country(name: str, value: Any) -> str | None:
    return _matching(name, value, _COUNTRY_PATTERN, "two letters such as DE", str.upper)


def _einvoice_address(name: str, value: Any) -> str | None:
    return _matching(name, value, _EINVOICE_PATTERN, "SCHEME:ID such as 0088:4012345000009")


def _language(name: str, value: Any) -> str | None:
    return _matching(name, value, "|".join(LANGUAGES), ", ".join(LANGUAGES), str.lower)


def _mail_off(name: str, value: Any) -> str | None:
    kinds = {one.strip() for one in (short_text(name, value) or "").split(",")} - {""}
    unknown = sorted(kinds - {"all", *MailKind})
    if unknown:
        raise InvalidField(name, f"{unknown[0]!r} is no kind of mail")
    return ",".join(sorted(kinds)) or None


def _matching(
    name: str, value: Any, pattern: str, said: str, fold: Callable[[str], str] = str
) -> str | None:
    """The text in that form, None for an empty one, or InvalidField."""
    given = fold((short_text(name, value) or "").strip())
    if given and not re.fullmatch(pattern, given):
        raise InvalidField(name, f"is not {said}")
    return given or None


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
        "email": Field("The address that the client is written to.", short_text),
        "timezone": Field(
            "IANA time zone of the client's business day; `PAYDUE_TIMEZONE` without one.",
            _timezone,
        ),
        "currency_code": Field("`id` of the Currency of the client's invoices.", reference),
        "stripe_customer_id": Field("The client's customer at Stripe, `cus_...`.", stripe_id),
        "stripe_payment_method_id": Field(
            "The client's own payment method, `pm_...`, set by a person; without one, the "
            "customer's default at Stripe is charged.",
            stripe_id,
        ),
        "stripe_payment_method_name": Field("That payment method as people know it."),
        "consolidate": Field(
            "Whether all the client's invoices that are due on a day are charged in one payment; "
            "null is `PAYDUE_AUTOPAY_CONSOLIDATE`."
        ),
        "address1": Field("The street and the number, as documents print them.", short_text),
        "address2": Field("A further line of the address.", short_text),
        "postcode": Field("The postcode.", short_text),
        "city": Field("The town or city.", short_text),
        "country": Field(
            "The country's code of ISO 3166, two letters such as `DE`.", _country, schema=_COUNTRY
        ),
        "vat_number": Field("The VAT number, which begins with its country's code.", short_text),
        "registration_number": Field("The number in a register of companies.", short_text),
        "einvoice_address": Field(
            "The address that takes e-invoices, as `SCHEME:ID`: a Peppol participant's such as "
            "`0088:4012345000009`.",
            _einvoice_address,
            schema=_EINVOICE_ADDRESS,
        ),
        "buyer_reference": Field(
            "The reference that the client asks for on invoices; in Germany the Leitweg-ID.",
            short_text,
        ),
        "language": Field(
            "The language of the client's documents: "
            + ", ".join(f"`{one}`" for one in LANGUAGES)
            + ". The seller's without one.",
            _language,
            schema={**json_schema.TEXT, "enum": [*LANGUAGES, None]},
        ),
        "mail_off": Field(
            "Kinds of mail that the client does not get, comma-separated; `all` is every kind: "
            + ", ".join(f"`{one}`" for one in MailKind)
            + ".",
            _mail_off,
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
    held_by=("invoice_payment.client_id", "stripe_payment.client_id", "autopay_rule.client_id"),
)

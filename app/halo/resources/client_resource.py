"""GET, POST and DELETE /Client."""

from typing import Any
from zoneinfo import ZoneInfo

from app.errors import InvalidField
from app.halo.engine import parsing
from app.halo.engine.filters import excluded_when_false
from app.halo.engine.resource import ALL_VERBS, Resource, contains, equals, searched
from app.storage.tables.clients import Client


def _timezone(name: str, value: Any) -> str | None:
    """The business day is reckoned in it, so it must exist."""
    said = parsing.text(name, value)
    if not said:
        return None
    try:
        ZoneInfo(said)
    except (KeyError, ValueError, OSError):
        raise InvalidField(name, f"{said!r} is not an IANA time zone") from None
    return said


_WITHOUT = "When false, without the {} ones."

CLIENTS = Resource(
    path="Client",
    table=Client,
    verbs=ALL_VERBS,
    group="customers",
    envelope="clients",
    filters={
        "inactive": equals(Client.inactive),
        "includeinactive": excluded_when_false(
            Client.inactive.is_(True), _WITHOUT.format("inactive")
        ),
        "includeactive": excluded_when_false(Client.inactive.is_(False), _WITHOUT.format("active")),
        "toplevel_id": equals(Client.toplevel_id),
        "stripe_customer_id": equals(Client.stripe_customer_id),
        "search": searched(
            lambda said: [contains(column, said) for column in (Client.name, Client.email)]
        ),
    },
    readers={"timezone": _timezone},
    keeps_all=True,
    held_by=("invoice_payment.client_id",),
)

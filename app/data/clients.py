"""Clients: who is invoiced, what Stripe knows them by, and their sites."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, mapped_column

from app.data import values
from app.data.columns import HIDDEN, READ_ONLY, Id, Json, Ref, Row
from app.data.filters import left_out
from app.data.resource import ALL_VERBS, Resource, contains, equals, searched
from app.data.search import SearchIndex
from app.data.wider import known
from app.errors import InvalidField
from app.rules import money


class Client(Row):
    __tablename__ = "client"

    id: Mapped[Id]
    name: Mapped[str]
    toplevel_id: Mapped[Ref | None]
    inactive: Mapped[bool] = mapped_column(default=False)
    email: Mapped[str | None]
    timezone: Mapped[str | None]
    currency_code: Mapped[Ref | None] = mapped_column(ForeignKey("currency.id"))
    stripe_customer_id: Mapped[str | None]
    stripe_payment_method_id: Mapped[str | None]
    stripe_payment_method_name: Mapped[str | None]
    # The newest method saved for off-session use: it takes over when the chosen one is gone.
    stripe_saved_method_id: Mapped[str | None] = mapped_column(info=HIDDEN)
    date_created: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    last_modified: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)

    __table_args__ = (
        Index("ix_client_stripe_customer_id", "stripe_customer_id"),
        Index("ix_client_stripe_payment_method_id", "stripe_payment_method_id"),
        Index("ix_client_name", "name"),
        Index("ix_client_toplevel_id", "toplevel_id"),
    )


class Site(Row):
    __tablename__ = "site"

    id: Mapped[Id]
    name: Mapped[str]
    client_id: Mapped[Ref] = mapped_column(ForeignKey("client.id"), index=True)
    inactive: Mapped[bool] = mapped_column(default=False)
    phonenumber: Mapped[str | None]
    date_created: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    last_modified: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


CLIENT_SEARCH = SearchIndex("client", ["name"])


class Currency(Row):
    __tablename__ = "currency"

    id: Mapped[Id]
    name: Mapped[str]
    symbol: Mapped[str]
    code: Mapped[str] = mapped_column(unique=True)
    conversion_rate: Mapped[Decimal] = mapped_column(default=Decimal(1))
    last_updated: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    history: Mapped[Any | None] = mapped_column(Json, info=READ_ONLY)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


def _timezone(name: str, value: Any) -> str | None:
    """The business day is reckoned in it, so it must exist."""
    said = values.text(name, value)
    if not said:
        return None
    try:
        ZoneInfo(said)
    except (KeyError, ValueError, OSError):
        raise InvalidField(name, f"{said!r} is not an IANA time zone") from None
    return said


def _code(name: str, value: Any) -> str | None:
    said = values.text(name, value)
    return None if said is None else money.currency_code(said, name)


_WITHOUT = "When false, without the {} ones."

CLIENTS = Resource(
    path="Client",
    table=Client,
    verbs=ALL_VERBS,
    group="customers",
    envelope="clients",
    filters={
        "inactive": equals(Client.inactive),
        "includeinactive": left_out(Client.inactive.is_(True), _WITHOUT.format("inactive")),
        "includeactive": left_out(Client.inactive.is_(False), _WITHOUT.format("active")),
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

SITES = Resource(
    path="Site",
    table=Site,
    verbs=ALL_VERBS,
    group="customers",
    envelope="sites",
    filters={
        "client_id": equals(Site.client_id),
        "inactive": equals(Site.inactive),
        "includeinactive": left_out(Site.inactive.is_(True), _WITHOUT.format("inactive")),
        "includeactive": left_out(Site.inactive.is_(False), _WITHOUT.format("active")),
        "search": searched(
            lambda said: [contains(column, said) for column in (Site.name, Site.phonenumber)]
        ),
    },
    derived={
        "client_name": select(Client.name).where(Client.id == Site.client_id).scalar_subquery()
    },
    keeps_all=True,
    held_by=("invoice.sitenumber",),
)

CURRENCIES = Resource(
    path="Currency",
    table=Currency,
    verbs=ALL_VERBS,
    filters={
        "search": searched(
            lambda said: [contains(column, said) for column in (Currency.name, Currency.code)]
        ),
    },
    readers={"code": _code},
    wider=known(texts="_warning"),
    on_request={"history": "includedetails"},
    showers={"code": str.upper},  # ISO codes are kept in lower case, as Stripe writes them
)

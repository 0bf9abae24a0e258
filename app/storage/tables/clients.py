"""Clients, with their customer and payment method at Stripe, their currencies and their sites."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Number, Ref, Row
from app.storage.fulltext import SearchIndex


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
    # Set by a person, through the API or an import; without one, the customer's default at Stripe.
    stripe_payment_method_id: Mapped[str | None]
    stripe_payment_method_name: Mapped[str | None]
    # The newest method saved for off-session use: charged where Stripe knows no default.
    stripe_saved_method_id: Mapped[str | None]
    # One charge for all invoices that are due on a day; None is PAYDUE_AUTOPAY_CONSOLIDATE.
    consolidate: Mapped[bool | None]
    # The buyer as documents and e-invoices name it.
    address1: Mapped[str | None]
    address2: Mapped[str | None]
    postcode: Mapped[str | None]
    city: Mapped[str | None]
    country: Mapped[str | None]
    vat_number: Mapped[str | None]
    registration_number: Mapped[str | None]
    einvoice_address: Mapped[str | None]
    buyer_reference: Mapped[str | None]
    language: Mapped[str | None]
    # Kinds of mail that the client does not get, comma-separated; `all` is every kind.
    mail_off: Mapped[str | None]
    date_created: Mapped[datetime | None]
    last_modified: Mapped[datetime | None]
    extra: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (
        Index("ix_client_stripe_customer_id", "stripe_customer_id"),
        Index("ix_client_stripe_payment_method_id", "stripe_payment_method_id"),
        Index("ix_client_stripe_saved_method_id", "stripe_saved_method_id"),
        Index("ix_client_name", "name"),
        Index(
            "ix_client_email",
            "email",
            sqlite_where=text("email IS NOT NULL"),
            postgresql_where=text("email IS NOT NULL"),
        ),
        Index("ix_client_toplevel_id", "toplevel_id"),
    )


class Site(Row):
    __tablename__ = "site"

    id: Mapped[Id]
    name: Mapped[str]
    client_id: Mapped[Ref] = mapped_column(ForeignKey("client.id"), index=True)
    inactive: Mapped[bool] = mapped_column(default=False)
    phonenumber: Mapped[str | None]
    date_created: Mapped[datetime | None]
    last_modified: Mapped[datetime | None]
    extra: Mapped[Any | None] = mapped_column(Json)


CLIENT_SEARCH = SearchIndex("client", ["name"])


class Currency(Row):
    __tablename__ = "currency"

    id: Mapped[Id]
    name: Mapped[str]
    symbol: Mapped[str]
    code: Mapped[str] = mapped_column(unique=True)
    conversion_rate: Mapped[Number] = mapped_column(default=Decimal(1))
    last_updated: Mapped[datetime | None]
    history: Mapped[Any | None] = mapped_column(Json)
    extra: Mapped[Any | None] = mapped_column(Json)


class CurrencyRate(Row):
    """Units of the home currency for one of a currency, on a day."""

    __tablename__ = "currency_rate"

    code: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    rate: Mapped[Number]

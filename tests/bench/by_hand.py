"""The reference of `tests.bench.api`: seven endpoints written by hand for these seven requests.

Starlette and SQLAlchemy Core, a fixed statement each, and the same JSON as Paydue's.
"""

import os
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import create_async_engine

from app.data.clients import Client, Currency
from app.data.columns import table_of
from app.data.database import normalized
from app.data.invoice_payments import InvoicePayment
from app.data.invoices import Invoice, InvoiceChange, InvoiceLine

URL = normalized(os.environ["PAYDUE_DATABASE_URL"])
TOKEN = f"Bearer {os.environ['BENCH_TOKEN']}"
INVOICES, LINES, PAYMENTS = table_of(Invoice), table_of(InvoiceLine), table_of(InvoicePayment)
CLIENTS, CURRENCIES, CHANGES = table_of(Client), table_of(Currency), table_of(InvoiceChange)
engine = create_async_engine(URL, pool_size=8, max_overflow=0)


def shown_columns(table: Any) -> list[Any]:
    return [one for one in table.c if not one.info.get("hidden")]


def listed(*where: Any) -> Select[Any]:
    return (
        select(
            *shown_columns(INVOICES),
            CLIENTS.c.name.label("client_name"),
            CURRENCIES.c.symbol.label("currency"),
        )
        .select_from(
            INVOICES.outerjoin(CLIENTS).outerjoin(
                CURRENCIES, INVOICES.c.currency_code == CURRENCIES.c.id
            )
        )
        .where(INVOICES.c.id > 0, *where)
    )


def shown(row: Any) -> dict[str, Any]:
    found = {}
    for name, value in row._mapping.items():
        if value is None or name == "extra":
            continue
        match value:
            case Decimal():
                value = orjson.Fragment(f"{value:f}".rstrip("0").rstrip(".")) if value else 0
            case datetime():
                value = value.isoformat().removesuffix("+00:00")
            case date():
                value = f"{value}T00:00:00"
        found[name] = value
    return found

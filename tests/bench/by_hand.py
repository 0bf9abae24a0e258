"""The reference of `tests.bench.api`: seven endpoints written by hand for its seven requests.

Starlette and SQLAlchemy Core as anybody would write them, with the same JSON as Paydue's answers:
fixed statements built at import, no parameters that the requests do not need. Only the breakdown
of sums that details show is Paydue's own function.
"""

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Integer, bindparam, event, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.halo.engine.codec import codec_of
from app.halo.engine.resource import Resource
from app.halo.resources import invoice_details
from app.halo.resources.invoice_line_resource import INVOICE_LINES
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS
from app.halo.resources.invoice_resource import INVOICES as DECLARED
from app.storage.column_types import table_of
from app.storage.engines import normalize_url
from app.storage.tables.clients import Client, Currency
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceChange, InvoiceLine
from app.storage.tables.stripe_payments import StripePayment

URL = normalize_url(os.environ["PAYDUE_DATABASE_URL"])
TOKENS = {hashlib.sha256(os.environ["BENCH_TOKEN"].encode()).hexdigest()}
INTENTS = table_of(StripePayment)
INVOICES, LINES, PAYMENTS = table_of(Invoice), table_of(InvoiceLine), table_of(InvoicePayment)
CLIENTS, CURRENCIES, CHANGES = table_of(Client), table_of(Currency), table_of(InvoiceChange)
# What Paydue shows where an invoice has nothing; the same for all invoices.
SENTINELS = DECLARED.output.placeholders

engine = create_async_engine(URL, pool_size=8, max_overflow=0)
if URL.get_backend_name() == "sqlite":

    @event.listens_for(engine.sync_engine, "connect")
    def configured(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-65536")
        cursor.close()


def visible(resource: Resource) -> list[Any]:
    return codec_of(resource).columns


WHOLE = (
    select(
        *visible(DECLARED),
        INVOICES.c.amountdue.label("amount_remaining"),
        INVOICES.c.amountpaid.label("customer_paid_total"),
        INVOICES.c.invoicenumber.label("invoice_display"),
        CLIENTS.c.name.label("client_name"),
        CURRENCIES.c.symbol.label("currency"),
    )
    .select_from(
        INVOICES.outerjoin(CLIENTS, CLIENTS.c.id == INVOICES.c.client_id).outerjoin(
            CURRENCIES, CURRENCIES.c.id == INVOICES.c.currency_code
        )
    )
    .where(INVOICES.c.id > 0)
)
PAGED = (bindparam("size", type_=Integer()), bindparam("start", type_=Integer()))


def page(statement: Any, *order: Any) -> Any:
    return statement.order_by(*order).limit(PAGED[0]).offset(PAGED[1])


OF_CLIENT = INVOICES.c.client_id == bindparam("client_id", type_=Integer())
UNPAID = (
    INVOICES.c.paymentstatus.in_([0, -1]),
    INVOICES.c.invoice_date >= bindparam("since", type_=INVOICES.c.invoice_date.type),
    INVOICES.c.invoice_date <= bindparam("until", type_=INVOICES.c.invoice_date.type),
)
_PATTERN: Any = bindparam("pattern")
FOUND = or_(
    INVOICES.c.invoicenumber.ilike(_PATTERN),
    INVOICES.c.thirdpartyinvoicenumber.ilike(_PATTERN),
    INVOICES.c.reference.ilike(_PATTERN),
    INVOICES.c.order_number.ilike(_PATTERN),
    INVOICES.c.cust_order_number.ilike(_PATTERN),
    INVOICES.c.client_id.in_(select(CLIENTS.c.id).where(CLIENTS.c.name.ilike(_PATTERN))),
)
COUNTED = select(func.count()).select_from(INVOICES).where(INVOICES.c.id > 0)
NEWEST = (INVOICES.c.invoice_date.desc(), INVOICES.c.id.desc())

STATEMENTS = {
    "client": (page(WHOLE.where(OF_CLIENT), INVOICES.c.id), COUNTED.where(OF_CLIENT)),
    "unpaid": (page(WHOLE.where(*UNPAID), *NEWEST), COUNTED.where(*UNPAID)),
    "search": (page(WHOLE.where(FOUND), INVOICES.c.id), COUNTED.where(FOUND)),
    "deep": (page(WHOLE, INVOICES.c.id), COUNTED),
}
ONE = WHOLE.where(INVOICES.c.id == bindparam("id", type_=Integer()))
ITS_LINES = (
    select(*visible(INVOICE_LINES))
    .where(LINES.c.ihid == bindparam("id", type_=Integer()))
    .order_by(LINES.c.sequenceid, LINES.c.id)
)
PAYMENTS_SHOWN = select(
    *visible(INVOICE_PAYMENTS),
    INTENTS.c.intent_date,
    INTENTS.c.intent_response,
    INTENTS.c.webhook_received_date,
    CLIENTS.c.name.label("client_name"),
    INVOICES.c.invoicenumber.label("invoice_invoicenumber"),
).select_from(
    PAYMENTS.outerjoin(CLIENTS, CLIENTS.c.id == PAYMENTS.c.client_id)
    .outerjoin(INVOICES, INVOICES.c.id == PAYMENTS.c.invoice_id)
    .outerjoin(INTENTS, INTENTS.c.intent_id == PAYMENTS.c.intent_id)
)
ITS_PAYMENTS = PAYMENTS_SHOWN.where(
    PAYMENTS.c.invoice_id == bindparam("id", type_=Integer())
).order_by(PAYMENTS.c.id)
BY_INTENT = PAYMENTS_SHOWN.where(PAYMENTS.c.intent_id == bindparam("intent_id"))


def shown(row: Any) -> dict[str, Any]:
    return {name: said(value) for name, value in row._mapping.items() if value is not None}


def said(value: Any) -> Any:
    match value:
        case Decimal():
            return exactly(value)
        case datetime():
            return value.isoformat().removesuffix("+00:00")
        case date():
            return f"{value}T00:00:00"
    return value


def exactly(value: Decimal) -> Any:
    text = f"{value:f}"
    return orjson.Fragment((text.rstrip("0").rstrip(".") if "." in text else text) or "0")


def line(row: Any) -> dict[str, Any]:
    net = row.qty_order * row.unit_price * (100 - row.discount_perc) / 100
    tax = net * row.tax_rate / 100
    return {
        **shown(row),
        "net_amount": exactly(net),
        "total_price": exactly(net),
        "tax_amount": exactly(tax),
        "total_tax": exactly(tax),
        "net_total": exactly(net + tax),
    }


def answer(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def is_known(request: Request) -> bool:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    return hashlib.sha256(token.encode()).hexdigest() in TOKENS


async def invoices(request: Request) -> Response:
    if not is_known(request):
        return answer({"error": "invalid_token"}, 401)
    asked = request.query_params
    size, number = int(asked["page_size"]), int(asked["page_no"])
    values: dict[str, Any] = {}
    if "client_id" in asked:
        kind, values = "client", {"client_id": int(asked["client_id"])}
    elif "paymentstatuses" in asked:
        kind = "unpaid"
        values = {
            "since": datetime.fromisoformat(asked["invoicedatestart"]),
            "until": datetime.fromisoformat(asked["invoicedateend"]),
        }
    elif "search" in asked:
        kind, values = "search", {"pattern": f"%{asked['search']}%"}
    else:
        kind = "deep"
    rows, count = STATEMENTS[kind]
    async with engine.connect() as tx:
        paged = {"size": size, "start": (number - 1) * size}
        found = [shown(row) for row in await tx.execute(rows, {**values, **paged})]
        total = await tx.scalar(count, values)
    return answer({"page_no": number, "page_size": size, "record_count": total, "invoices": found})


async def invoice(request: Request) -> Response:
    if not is_known(request):
        return answer({"error": "invalid_token"}, 401)
    async with engine.connect() as tx:
        found = await whole(tx, int(request.path_params["id"]))
        found["payments"] = [
            shown(row) for row in await tx.execute(ITS_PAYMENTS, {"id": found["id"]})
        ]
        await invoice_details.add_details(tx, found)
    return answer(found)


async def whole(tx: AsyncConnection, invoice_id: int) -> dict[str, Any]:
    row = (await tx.execute(ONE, {"id": invoice_id})).one()
    lines = [line(one) for one in await tx.execute(ITS_LINES, {"id": invoice_id})]
    return {**SENTINELS, **shown(row), "lines": lines}


async def payments(request: Request) -> Response:
    if not is_known(request):
        return answer({"error": "invalid_token"}, 401)
    async with engine.connect() as tx:
        values = {"intent_id": request.query_params["intent_id"]}
        return answer([shown(row) for row in await tx.execute(BY_INTENT, values)])


async def created(request: Request) -> Response:
    if not is_known(request):
        return answer({"error": "invalid_token"}, 401)
    (given,) = orjson.loads(await request.body())
    now = datetime.now(UTC)
    lines = [priced(each, place) for place, each in enumerate(given["lines"])]
    net = sum((one["qty_order"] * one["unit_price"] for one in lines), Decimal(0))
    async with engine.begin() as tx:
        of_client = await tx.scalar(
            select(CLIENTS.c.currency_code).where(CLIENTS.c.id == given["client_id"])
        )
        currency = await tx.scalar(
            select(CURRENCIES.c.id).where(
                CURRENCIES.c.id == of_client if of_client else CURRENCIES.c.code == "usd"
            )
        )
        invoice_id = await tx.scalar(
            insert(INVOICES)
            .values(
                client_id=given["client_id"], currency_code=currency, total=net, revenue=net,
                amountdue=net, paymentstatus=0, invoice_date=now.replace(microsecond=0),
                date_created=now, last_modified=now, invoicenumber=str(now.timestamp()),
            )
            .returning(INVOICES.c.id)
        )  # fmt: skip
        await tx.execute(insert(LINES), [{**one, "ihid": invoice_id} for one in lines])
        await tx.execute(insert(CHANGES).values(**audited(invoice_id, now)))
        return answer(await whole(tx, invoice_id), 201)


def priced(given: dict[str, Any], place: int) -> dict[str, Any]:
    return {
        "sequenceid": place,
        "item_shortdescription": given["item_shortdescription"],
        "qty_order": Decimal(str(given["qty_order"])),
        "unit_price": Decimal(str(given["unit_price"])),
    }


def audited(invoice_id: int, now: datetime) -> dict[str, Any]:
    return {
        "invoice_id": invoice_id, "field_name": "created", "new_value": str(invoice_id),
        "who": "bench", "datetime": now,
    }  # fmt: skip


ROUTES: Iterable[Route] = (
    Route("/api/Invoice", invoices, methods=["GET"]),
    Route("/api/Invoice", created, methods=["POST"]),
    Route("/api/Invoice/{id}", invoice),
    Route("/api/InvoicePayment", payments),
)
app = Starlette(routes=list(ROUTES))

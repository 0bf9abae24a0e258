"""The details of a single invoice: its totals by kind, its lines' totals, converted amounts."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select

from app.halo.engine.codec import number
from app.rules.breakdown import Part, invoice_totals, line_totals
from app.rules.invoice import TaxRounding
from app.rules.tax import tax_id
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.clients import Currency
from app.storage.tables.invoices import Invoice, InvoiceLine, line_of
from app.storage.tables.taxes import Tax

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)

# Built once: to build a SELECT costs more than these take in the database.
_INVOICE = (
    select(INVOICES, Currency.name.label("currency_name"))
    .outerjoin(Currency, Currency.id == INVOICES.c.currency_code)
    .where(INVOICES.c.id == bindparam("id"))
)
_LINES = select(LINES).where(LINES.c.ihid == bindparam("id"))

# As many decimals as the database stores.
_SMALLEST = Decimal("0.000001")


async def add_details(tx: Tx, shown: dict[str, Any]) -> None:
    """Add `invoice_totals`, each line's `line_totals`, and the amounts that follow from them."""
    invoice = (await tx.execute(_INVOICE, {"id": shown["id"]})).one()
    rows = (await tx.execute(_LINES, {"id": shown["id"]})).all()
    rate = invoice.currency_conversion_rate
    parts = {row.id: _part(row, invoice) for row in rows}
    shown["invoice_totals"] = {**_numbers(_totals(parts, invoice)), "itemGroups": []}
    shown["composite_tax_total"] = number(await _composite_tax(tx, rows, parts))
    shown["conversion_rate"] = number(rate)
    shown["currency_code_name"] = invoice.currency_name or ""
    for line in shown["lines"]:
        if line["id"] in parts:
            line.update(_of_line(parts[line["id"]], rate))


def _part(row: Record, invoice: Record) -> Part:
    is_recurring = invoice.is_recurring_invoice and not row.onetimecharge
    return Part(line_of(row), row.unit_cost, is_recurring)


def _totals(parts: Mapping[int, Part], invoice: Record) -> dict[str, Decimal]:
    return invoice_totals(
        list(parts.values()),
        currency=invoice.currency_iso,
        rate=invoice.currency_conversion_rate,
        paid=invoice.amountpaid,
        due=invoice.amountdue,
        period=invoice.period,
        rounding=TaxRounding.of(by_line=invoice.rounded_by_line),
    )


async def _composite_tax(tx: Tx, rows: Any, parts: Mapping[int, Part]) -> Decimal:
    """The part of the tax that is of composite rates."""
    named = {row.id: found for row in rows if (found := tax_id(row.tax_code)) is not None}
    if not named:
        return Decimal(0)
    statement = select(Tax.id).where(Tax.id.in_(set(named.values())), Tax.is_composite)
    composite = set(await tx.scalars(statement))
    taxed = (parts[line].line for line, found in named.items() if found in composite)
    return _rounded(sum((one.tax for one in taxed if one.counts), Decimal(0)))


def _of_line(part: Part, rate: Decimal) -> dict[str, Any]:
    """The same amounts under the names a line has for them."""
    found = line_totals(part, rate)
    price = part.line.unit_price
    amounts = {
        "total_costprice": found["costPrice"],
        "total_discount": found["discount"],
        "total_net_total": found["netTotal"],
        "conversion_rate_internal": rate,
        "unit_price_converted": price * rate,
        "unitprice_converted": price * rate,
        "cost_converted": part.unit_cost * rate,
        "net_amount_converted": found["priceConverted"],
        "tax_converted": found["taxConverted"],
        "total_tax_converted": found["taxConverted"],
        "total_price_converted": found["priceConverted"],
        "total_cost_converted": found["costPriceConverted"],
        "discount_converted": found["discountConverted"],
        "total_discount_converted": found["discountConverted"],
    }
    return {**_numbers(amounts), "line_totals": _numbers(found)}


def _numbers(amounts: Mapping[str, Decimal]) -> dict[str, Any]:
    return {name: number(_rounded(one)) for name, one in amounts.items()}


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_SMALLEST)

"""The facts of invoices that autopay's rules look at, read for a page of them at a time."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.rules import calendar
from app.rules.autopay_rule import RuleBook, RuleFacts
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice, InvoiceLine

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)
CLIENTS = table_of(Client)


async def load_facts(
    tx: Tx, invoice_ids: Iterable[int], book: RuleBook, timezone: str
) -> dict[int, RuleFacts]:
    """Facts by invoice. Lines and properties are read only where a rule looks at them."""
    ids = sorted(invoice_ids)
    found = await _FACTS.all(tx, ids=ids)
    items = await _item_codes(tx, ids) if book.looks_at_lines else {}
    extras = await _extras(tx, ids) if book.property_names else {}
    return {
        row.id: RuleFacts(
            invoice_id=row.id,
            amount=row.amountdue,
            currency=row.currency_iso,
            total=row.total,
            is_flagged=row.take_auto_payment or row.include_in_autopay,
            duedate=row.duedate,
            invoice_date=row.invoice_date
            and calendar.business_day(row.invoice_date, row.timezone or timezone),
            client_id=row.client_id,
            toplevel_id=row.toplevel_id,
            contract_id=row.contract_id,
            recurring_invoice_id=row.recurring_invoice_id,
            sitenumber=row.sitenumber,
            billingcategory=row.billingcategory,
            order_number=row.order_number,
            item_codes=frozenset(items.get(row.id, ())),
            properties=named_properties(extras.get(row.id), book.property_names),
        )
        for row in found
    }


def named_properties(extra: Mapping[str, object] | None, names: frozenset[str]) -> dict[str, str]:
    """The custom fields and kept properties of these names, case-folded, with their values.

    A custom field is found by its name and by its label.
    """
    if not extra or not names:
        return {}
    found = {name.casefold(): value for name, value in extra.items()}
    fields = extra.get("customfields")
    for one in fields if isinstance(fields, list) else ():
        if isinstance(one, dict):
            shown = one.get("display") or one.get("value")
            found |= {str(one.get(key)).casefold(): shown for key in ("label", "name")}
    return {
        name: _text(found[name]).casefold()
        for name in names
        if isinstance(found.get(name), str | int | float | bool)
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _FactsRow(NamedTuple):
    id: int
    amountdue: Decimal
    currency_iso: str
    total: Decimal
    take_auto_payment: bool
    include_in_autopay: bool
    duedate: date | None
    invoice_date: datetime | None
    client_id: int | None
    contract_id: int | None
    recurring_invoice_id: int | None
    sitenumber: int | None
    billingcategory: int | None
    order_number: str | None
    toplevel_id: int | None
    timezone: str | None


class _ItemRow(NamedTuple):
    ihid: int
    item_code: str


class _ExtraRow(NamedTuple):
    id: int
    extra: Mapping[str, object] | None


_OWN_COLUMNS = [INVOICES.c[name] for name in _FactsRow._fields[:-2]]
_FACTS = PreparedStatement(
    select(*_OWN_COLUMNS, CLIENTS.c.toplevel_id, CLIENTS.c.timezone)
    .select_from(INVOICES.outerjoin(CLIENTS, CLIENTS.c.id == INVOICES.c.client_id))
    .where(any_of(INVOICES.c.id, "ids")),
    _FactsRow,
)
_ITEMS = PreparedStatement(
    select(LINES.c.ihid, LINES.c.item_code).where(
        any_of(LINES.c.ihid, "ids"), LINES.c.item_code.is_not(None), LINES.c.isinactive.is_(False)
    ),
    _ItemRow,
)
_EXTRAS = PreparedStatement(
    select(INVOICES.c.id, INVOICES.c.extra).where(any_of(INVOICES.c.id, "ids")), _ExtraRow
)


async def _item_codes(tx: Tx, ids: list[int]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for row in await _ITEMS.all(tx, ids=ids):
        found.setdefault(row.ihid, set()).add(row.item_code.casefold())
    return found


async def _extras(tx: Tx, ids: list[int]) -> dict[int, Mapping[str, object] | None]:
    return {row.id: row.extra for row in await _EXTRAS.all(tx, ids=ids)}

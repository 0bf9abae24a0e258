"""Reads clients and invoices from a file, through the same door as the API."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from app.api import body
from app.api.codec import codec_of
from app.api.writing import writer
from app.data.clients import CLIENTS, Currency
from app.data.database import Database, Tx
from app.data.invoice_lists import INVOICES
from app.errors import InvalidField
from app.ledger import invoicing
from app.rules import calendar
from app.settings import Settings

WHO = "import"


async def load(database: Database, settings: Settings, raw: bytes) -> tuple[int, int]:
    """Import a file in one transaction. Answers how many clients and invoices there were."""
    content = body.parsed(raw)
    clients = content.get("clients") if isinstance(content, Mapping) else None
    if not isinstance(clients, list) or not all(isinstance(one, Mapping) for one in clients):
        raise InvalidField("clients", "the file must be an object with a list of clients")
    now = datetime.now(UTC)
    async with database.transaction() as tx:
        currency_ids = await _currency_ids(tx)
        client_ids = await writer(CLIENTS)(
            tx,
            codec_of(CLIENTS).load([_client(one, currency_ids) for one in clients]),
            now=now,
            who=WHO,
            home=settings.currency,
        )
        invoices = [
            _invoice(invoice, client_id, currency_ids, settings, now)
            for client_id, client in zip(client_ids, clients, strict=True)
            for invoice in client.get("invoices", [])
        ]
        if invoices:
            loaded = codec_of(INVOICES).load(invoices)
            await invoicing.save(tx, loaded, now=now, who=WHO, home=settings.currency)
    return len(clients), len(invoices)


async def _currency_ids(tx: Tx) -> dict[str, int]:
    return {row.code: row.id for row in await tx.execute(select(Currency.code, Currency.id))}


def _client(given: Mapping[str, Any], currency_ids: Mapping[str, int]) -> dict[str, Any]:
    fields = {name: value for name, value in given.items() if name not in {"invoices", "currency"}}
    return fields | _currency(given, currency_ids)


def _invoice(
    given: Mapping[str, Any],
    client_id: int,
    currency_ids: Mapping[str, int],
    settings: Settings,
    now: datetime,
) -> dict[str, Any]:
    fields = {
        name: value for name, value in given.items() if name not in {"currency", "due_in_days"}
    }
    if "due_in_days" in given:
        today = calendar.business_day(now, settings.timezone)
        fields["duedate"] = (today + timedelta(days=int(given["due_in_days"]))).isoformat()
    return fields | {"client_id": client_id} | _currency(given, currency_ids)


def _currency(given: Mapping[str, Any], currency_ids: Mapping[str, int]) -> dict[str, int]:
    code = given.get("currency")
    if code is None:
        return {}
    if str(code).lower() not in currency_ids:
        raise InvalidField("currency", f"{code!r} is not a currency we know")
    return {"currency_code": currency_ids[str(code).lower()]}

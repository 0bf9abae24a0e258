"""Reads clients, invoices and the small resources from a file, through the API's own door."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from app.errors import InvalidField
from app.halo.engine import request_body
from app.halo.engine.codec import codec_of
from app.halo.resource_writers import WRITERS
from app.halo.resources.client_resource import CLIENTS
from app.halo.resources.invoice_resource import INVOICES
from app.ledger import invoicing
from app.rules import calendar
from app.settings import Settings
from app.storage.engines import Database, Tx
from app.storage.tables.clients import Currency

WHO = "import"

Objects = Sequence[Mapping[str, Any]]


async def import_records(database: Database, settings: Settings, raw: bytes) -> Counter[str]:
    """Import a file in one transaction. Answers how many records of each kind there were."""
    content = _content(request_body.parse_json(raw))
    now = datetime.now(UTC)
    return await database.with_retry(lambda tx: _load(tx, content, settings, now))


async def _load(
    tx: Tx, content: Mapping[str, Objects], settings: Settings, now: datetime
) -> Counter[str]:
    loaded: Counter[str] = Counter()
    for resource, write in WRITERS.items():
        name = "clients" if resource is CLIENTS else resource.path
        objects = content.get(name, [])
        loaded[name] = len(objects)
        if resource is CLIENTS:
            loaded["invoices"] = await _load_clients(tx, objects, settings, now)
        elif objects:
            records = codec_of(resource).parse(objects)
            await write(tx, records, now=now, who=WHO, home=settings.currency)
    return loaded


def _content(said: Any) -> Mapping[str, Objects]:
    """The lists of a file: `clients`, and others under the paths the API has them at."""
    names = {"clients", *(one.path for one in WRITERS)}
    content = said if isinstance(said, Mapping) else {}
    lists = {name: objects for name, objects in content.items() if name in names}
    if not lists:
        raise InvalidField("clients", "the file must be an object with a list of clients")
    for name, objects in lists.items():
        if not isinstance(objects, list) or not all(isinstance(one, Mapping) for one in objects):
            raise InvalidField(name, "is not a list of objects")
    return lists


async def _load_clients(tx: Tx, clients: Objects, settings: Settings, now: datetime) -> int:
    """Write clients with their invoices; answers how many invoices there were."""
    if not clients:
        return 0
    currency_ids = await _currency_ids(tx)
    loaded = codec_of(CLIENTS).parse([_client(one, currency_ids) for one in clients])
    home = settings.currency
    client_ids = await WRITERS[CLIENTS](tx, loaded, now=now, who=WHO, home=home)
    invoices = [
        _invoice(invoice, client_id, currency_ids, settings, now)
        for client_id, client in zip(client_ids, clients, strict=True)
        for invoice in client.get("invoices", [])
    ]
    if invoices:
        await invoicing.save(tx, codec_of(INVOICES).parse(invoices), now=now, who=WHO, home=home)
    return len(invoices)


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

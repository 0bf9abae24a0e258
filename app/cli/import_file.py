"""Reads clients, invoices and the small resources from a file, through the API's own door.

Each record is imported once: by its number in another system, by its own number, or by its content
a second import knows it again.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from app.cli.dry_run_end import DryRunEnded
from app.cli.import_keys import (
    KEYS_OF_CLIENTS,
    KEYS_OF_INVOICES,
    KEYS_OF_OTHERS,
    SHARED,
    find_imported,
    record_imported,
    record_keys,
)
from app.errors import InvalidField, Refused
from app.halo.engine import request_body
from app.halo.engine.codec import codec_of
from app.halo.engine.resource import Resource
from app.halo.resource_writers import WRITERS
from app.halo.resources.client_resource import CLIENTS
from app.halo.resources.invoice_resource import INVOICES
from app.ledger import invoicing
from app.rules import calendar
from app.rules.home import home_of
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.clients import Client, Currency
from app.storage.tables.invoices import Invoice

WHO = "import"
CLIENT_ROWS, INVOICE_ROWS = table_of(Client), table_of(Invoice)

Objects = Sequence[Mapping[str, Any]]
RecordSave = Callable[[Objects], Awaitable[list[int]]]


@dataclass(slots=True)
class ImportResult:
    """How many records of each kind were written, and how many had been imported before."""

    written: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)


async def import_records(
    database: Database, settings: Settings, raw: bytes, *, dry_run: bool = False
) -> ImportResult:
    """Import a file in one transaction, each of its records once however often it is imported."""
    content = _content(request_body.parse_json(raw))
    now = datetime.now(UTC)

    results: list[ImportResult] = []

    async def work(tx: Tx) -> None:
        results.append(await _Import(tx, settings, now).load(content))
        if dry_run:
            raise DryRunEnded

    with contextlib.suppress(DryRunEnded):
        await database.with_retry(work)
    return results[-1]


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


@dataclass(slots=True)
class _Import:
    """One import, in one transaction."""

    tx: Tx
    settings: Settings
    now: datetime
    result: ImportResult = field(default_factory=ImportResult)

    async def load(self, content: Mapping[str, Objects]) -> ImportResult:
        for resource in WRITERS:
            if resource is CLIENTS:
                await self._load_clients(content.get("clients", []))
            else:
                await self._load_others(resource, content.get(resource.path, []))
        return self.result

    async def _load_others(self, resource: Resource, objects: Objects) -> None:
        if not objects:
            return
        keys = record_keys(objects, KEYS_OF_OTHERS)
        table = table_of(resource.table)
        known = await find_imported(self.tx, resource.path, keys, table)
        await self._write_new(resource.path, keys, known, objects, self._writing(resource))

    async def _load_clients(self, clients: Objects) -> None:
        """Write clients with their invoices, those that were not imported before."""
        if not clients:
            return
        currency_ids = await self._currency_ids()
        given = [_client(one, currency_ids) for one in clients]
        keys = record_keys(given, KEYS_OF_CLIENTS)
        known = await find_imported(self.tx, "clients", keys, CLIENT_ROWS)
        known = await self._customers(given, keys) | known
        ids = await self._write_new("clients", keys, known, given, self._writing(CLIENTS))
        owners = [
            (key, client_id, invoice)
            for key, client_id, client in zip(keys, ids, clients, strict=True)
            for invoice in client.get("invoices", [])
        ]
        await self._load_invoices(owners, currency_ids)

    async def _load_invoices(
        self, owned: Sequence[tuple[str, int, Mapping[str, Any]]], currency_ids: Mapping[str, int]
    ) -> None:
        given = [invoice for _, _, invoice in owned]
        keys = record_keys(given, KEYS_OF_INVOICES, within=[key for key, _, _ in owned])
        client_of = {key: client_id for key, (_, client_id, _) in zip(keys, owned, strict=True)}
        known = await find_imported(self.tx, "invoices", keys, INVOICE_ROWS)
        await self._refuse_other_client(known, client_of)
        known = await self._numbered(client_of) | known
        invoices = [
            self._invoice(invoice, client_id, currency_ids) for _, client_id, invoice in owned
        ]
        await self._write_new("invoices", keys, known, invoices, self._write_invoices)

    async def _write_new(
        self,
        kind: str,
        keys: Sequence[str],
        known: Mapping[str, int],
        records: Objects,
        write: RecordSave,
    ) -> list[int]:
        """Write the records that are new or name their id; answers the ids of all, in order."""
        given = dict(zip(keys, records, strict=True))
        new = {key: one for key, one in given.items() if "id" in one or key not in known}
        ids = dict(zip(new, await write(list(new.values())) if new else [], strict=True))
        fresh = {key: one for key, one in ids.items() if "id" not in new[key]}
        await record_imported(self.tx, kind, fresh, self.now)
        self.result.written[kind] += len(new)
        self.result.known[kind] += len(given) - len(new)
        return [ids[key] if key in ids else known[key] for key in keys]

    def _writing(self, resource: Resource) -> RecordSave:
        async def write(records: Objects) -> list[int]:
            parsed = codec_of(resource).parse(records)
            home = home_of(self.settings)
            return await WRITERS[resource](self.tx, parsed, now=self.now, who=WHO, home=home)

        return write

    async def _write_invoices(self, records: Objects) -> list[int]:
        parsed = codec_of(INVOICES).parse(records)
        home = home_of(self.settings)
        return await invoicing.save(self.tx, parsed, now=self.now, who=WHO, home=home)

    # --- what is there already ---------------------------------------------------------------

    async def _customers(self, clients: Objects, keys: Sequence[str]) -> dict[str, int]:
        """Clients that are there under the same Stripe customer, however they came."""
        customers: dict[str, list[str]] = defaultdict(list)
        for key, one in zip(keys, clients, strict=True):
            if key.startswith(f"{SHARED}="):
                customers[str(one[SHARED])].append(key)
        column = CLIENT_ROWS.c.stripe_customer_id
        found = await self.tx.execute(
            select(column, CLIENT_ROWS.c.id).where(column.in_(customers)).order_by(CLIENT_ROWS.c.id)
        )
        return {
            customers[customer].pop(0): client_id
            for customer, client_id in found
            if customers[customer]
        }

    async def _numbered(self, client_of: Mapping[str, int]) -> dict[str, int]:
        """Invoices that their clients have under the same number, however they came."""
        numbers = {
            key.removeprefix("invoicenumber="): key
            for key in client_of
            if key.startswith("invoicenumber=")
        }
        found = await self.tx.execute(
            select(INVOICE_ROWS.c.invoicenumber, INVOICE_ROWS.c.id, INVOICE_ROWS.c.client_id).where(
                INVOICE_ROWS.c.invoicenumber.in_(numbers)
            )
        )
        return {
            numbers[number]: invoice_id
            for number, invoice_id, client_id in found
            if client_of[numbers[number]] == client_id
        }

    async def _refuse_other_client(
        self, known: Mapping[str, int], client_of: Mapping[str, int]
    ) -> None:
        """Refused when an invoice was imported before for somebody else: one of both is wrong."""
        found = await self.tx.execute(
            select(INVOICE_ROWS.c.id, INVOICE_ROWS.c.client_id).where(
                INVOICE_ROWS.c.id.in_(known.values())
            )
        )
        now_of = {invoice_id: client_id for invoice_id, client_id in found}
        for key, invoice_id in known.items():
            if now_of[invoice_id] != client_of[key]:
                raise Refused(f"the invoice with {key} was imported before, for another client")

    # --- fields of the file ------------------------------------------------------------------

    async def _currency_ids(self) -> dict[str, int]:
        found = await self.tx.execute(select(Currency.code, Currency.id))
        return {row.code: row.id for row in found}

    def _invoice(
        self, given: Mapping[str, Any], client_id: int, currency_ids: Mapping[str, int]
    ) -> dict[str, Any]:
        fields = {
            name: value for name, value in given.items() if name not in {"currency", "due_in_days"}
        }
        if "due_in_days" in given:
            today = calendar.business_day(self.now, self.settings.timezone)
            fields["duedate"] = _days_later(today, given["due_in_days"]).isoformat()
        return fields | {"client_id": client_id} | _currency(given, currency_ids)


def _days_later(today: date, days: Any) -> date:
    try:
        return today + timedelta(days=int(days))
    except (TypeError, ValueError, OverflowError):
        raise InvalidField("due_in_days", f"{days!r} leads to no day of the calendar") from None


def _client(given: Mapping[str, Any], currency_ids: Mapping[str, int]) -> dict[str, Any]:
    fields = {name: value for name, value in given.items() if name not in {"invoices", "currency"}}
    return fields | _currency(given, currency_ids)


def _currency(given: Mapping[str, Any], currency_ids: Mapping[str, int]) -> dict[str, int]:
    code = given.get("currency")
    if code is None:
        return {}
    if str(code).lower() not in currency_ids:
        raise InvalidField("currency", f"{code!r} is not a currency we know")
    return {"currency_code": currency_ids[str(code).lower()]}

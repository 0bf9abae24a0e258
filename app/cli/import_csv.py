"""Imports clients, invoices, templates or payments from CSV or JSON, in parts: done, or not.

All rows are checked before any is written. Then each part has a transaction of its own, and its
records are known again by their numbers: whoever stops an import goes on by starting it again.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from app.cli.dry_run_end import DryRunEnded
from app.cli.import_keys import IMPORTED, find_imported, record_imported
from app.errors import AppError, InvalidField, Refused
from app.halo.engine.codec import codec_of
from app.halo.engine.crud import Writer
from app.halo.engine.resource import Resource
from app.halo.resource_writers import WRITERS
from app.halo.resources.client_resource import CLIENTS
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS
from app.halo.resources.invoice_resource import INVOICES
from app.halo.resources.recurring_invoice_resource import RECURRING_INVOICES
from app.ledger import invoicing, manual_payments
from app.rules.csv_records import (
    LINE_COLUMNS,
    CsvRecord,
    FileError,
    as_json,
    error_of,
    read_objects,
    read_rows,
    with_lines,
)
from app.rules.home import home_of
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.autopay_policies import AutopayRule
from app.storage.tables.clients import Client, Currency
from app.storage.tables.invoices import Invoice

CLIENT_ROWS, INVOICE_ROWS, RULES = table_of(Client), table_of(Invoice), table_of(AutopayRule)
WHO = "import"
# Records of one transaction: few enough that a webhook waits for none of them for long.
PART = 100
_FLAGS = ("take_auto_payment", "include_in_autopay")
# Columns of ours: the client's number or name, the invoice's number, an ISO code, a number of
# another system's.
_ASIDE = frozenset({"client", "invoice", "currency", "thirdpartyid"})


class CsvKind(StrEnum):
    CLIENTS = "clients"
    INVOICES = "invoices"
    TEMPLATES = "templates"
    PAYMENTS = "payments"


@dataclass(frozen=True, slots=True)
class _Shape:
    """How the records of a kind are read, known again and written."""

    resource: Resource
    save: Writer
    keys: Sequence[str]
    aside: frozenset[str]
    has_lines: bool = False


_SHAPES: Mapping[CsvKind, _Shape] = {
    CsvKind.CLIENTS: _Shape(
        CLIENTS, WRITERS[CLIENTS], ("thirdpartyid",), frozenset({"currency", "thirdpartyid"})
    ),
    CsvKind.INVOICES: _Shape(
        INVOICES, invoicing.save, ("thirdpartyinvoicenumber", "invoicenumber"),
        frozenset({"client", "currency"}), has_lines=True,
    ),
    CsvKind.TEMPLATES: _Shape(
        RECURRING_INVOICES, invoicing.save_templates, ("thirdpartyinvoicenumber",),
        frozenset({"client", "currency"}), has_lines=True,
    ),
    CsvKind.PAYMENTS: _Shape(
        INVOICE_PAYMENTS, manual_payments.save, ("thirdpartyid",),
        frozenset({"invoice", "thirdpartyid"}),
    ),
}  # fmt: skip


@dataclass(slots=True)
class CsvResult:
    """The records written, those that were imported before, and the errors by their rows."""

    written: int = 0
    known: int = 0
    flags_left_out: int = 0
    errors: list[FileError] = field(default_factory=list)


@dataclass(slots=True)
class _Parsed:
    record: CsvRecord
    key: str
    values: dict[str, Any]


async def import_csv(
    database: Database,
    settings: Settings,
    kind: CsvKind,
    text: str,
    *,
    dry_run: bool = False,
    autopay: bool = False,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> CsvResult:
    """Import a file. Nothing of it becomes chargeable unless `autopay` says so."""
    work = _CsvImport(database, settings, kind, _SHAPES[kind], dry_run=dry_run, autopay=autopay)
    await work.refuse_rules()
    parsed = await work.parse(text)
    if work.result.errors:
        return work.result
    for at in range(0, len(parsed), PART):
        await work.write(parsed[at : at + PART])
        tell(min(at + PART, len(parsed)), len(parsed))
    return work.result


@dataclass(slots=True)
class _CsvImport:
    database: Database
    settings: Settings
    kind: CsvKind
    shape: _Shape
    dry_run: bool
    autopay: bool
    result: CsvResult = field(default_factory=CsvResult)

    async def refuse_rules(self) -> None:
        """Refused where a rule would charge what is imported, for it charges without a flag."""
        if self.autopay or self.kind not in (CsvKind.INVOICES, CsvKind.TEMPLATES):
            return
        charging = select(RULES.c.id).where(
            RULES.c.unflagged.is_(True), RULES.c.inactive.is_(False), RULES.c.action != "never"
        )
        async with self.database.snapshot() as tx:
            found = (await tx.scalars(charging)).first()
        if found is not None:
            raise Refused(
                f"autopay rule {found} charges invoices without a flag, and so the imported ones; "
                "switch it off, or allow it with --autopay"
            )

    async def parse(self, text: str) -> list[_Parsed]:
        """All records; their errors are in the result."""
        is_json = text.lstrip("\ufeff \t\r\n").startswith(("[", "{"))
        read = read_objects if is_json else read_rows
        records = read(text.lstrip("\ufeff"), self._columns())
        if self.shape.has_lines and not is_json:
            records, self.result.errors = with_lines(records, self.shape.keys)
        async with self.database.snapshot() as tx:
            references = await _References.load(tx, records)
        found = [one for record in records if (one := self._parsed(record, references)) is not None]
        seen: dict[str, CsvRecord] = {}
        for one in found:
            if one.key in seen:
                row, first = one.record.rows[0], seen[one.key].rows[0]
                self.result.errors.append(FileError(row, "", f"{one.key} stands in row {first}"))
            seen.setdefault(one.key, one.record)
        return found

    def _columns(self) -> frozenset[str]:
        resource = self.shape.resource
        own = {name for name, one in resource.fields.items() if not one.read_only} - {"id"}
        columns = own | set(resource.input.passthrough) | self.shape.aside | set(self.shape.keys)
        return frozenset(columns | (LINE_COLUMNS if self.shape.has_lines else set()))

    def _parsed(self, record: CsvRecord, references: "_References") -> _Parsed | None:
        try:
            key = self._key(record)
            given = {**as_json(record, self.shape.aside), **references.fields(record)}
            if not self.autopay and any(given.pop(name, None) for name in _FLAGS):
                self.result.flags_left_out += 1
            (values,) = codec_of(self.shape.resource).parse([given])
            self._refuse_past(values)
            return _Parsed(record, key, values)
        except InvalidField as error:
            self.result.errors.append(error_of(record, error))
            return None

    def _key(self, record: CsvRecord) -> str:
        name = next((name for name in self.shape.keys if name in record.cells), None)
        if name is None:
            raise InvalidField(self.shape.keys[0], "is empty; by it a record is known again")
        return f"{name}={record.cells[name]}"

    def _refuse_past(self, values: Mapping[str, Any]) -> None:
        """A template whose next day is past would bill all periods since, within the hour."""
        next_at = values.get("nextcreationdate")
        if self.kind != CsvKind.TEMPLATES or values.get("disabled"):
            return
        if next_at is None:
            raise InvalidField("nextcreationdate", "is empty; it is the first day that is billed")
        if next_at < datetime.now(UTC):
            raise InvalidField(
                "nextcreationdate", "is past; its periods since then would be billed at once"
            )

    async def write(self, part: Sequence[_Parsed]) -> None:
        """Write a part; where a record is refused, its neighbours are written one by one."""
        try:
            await self._write_once(part)
        except AppError as error:
            if len(part) == 1:
                self.result.errors.append(FileError(part[0].record.rows[0], "", error.message))
                return
            for one in part:
                await self.write([one])

    async def _write_once(self, part: Sequence[_Parsed]) -> None:
        counted: list[int] = []

        async def work(tx: Tx) -> None:
            counted.append(await self._save(tx, part))
            if self.dry_run:
                raise DryRunEnded

        with contextlib.suppress(DryRunEnded):
            await self.database.with_retry(work)
        self.result.written += counted[-1]
        self.result.known += len(part) - counted[-1]

    async def _save(self, tx: Tx, part: Sequence[_Parsed]) -> int:
        table = table_of(self.shape.resource.table)
        known = await find_imported(tx, str(self.kind), [one.key for one in part], table)
        new = [one for one in part if one.key not in known]
        if not new:
            return 0
        now = datetime.now(UTC)
        ids = await self.shape.save(
            tx, [one.values for one in new], now=now, who=WHO, home=home_of(self.settings)
        )
        by_key = {one.key: one_id for one, one_id in zip(new, ids, strict=True)}
        await record_imported(tx, str(self.kind), by_key, now)
        return len(new)


@dataclass(frozen=True, slots=True)
class _References:
    """The ids of the clients, invoices and currencies that a file names."""

    clients: Mapping[str, Sequence[int]]
    invoices: Mapping[str, Sequence[int]]
    currencies: Mapping[str, int]

    @classmethod
    async def load(cls, tx: Tx, records: Iterable[CsvRecord]) -> "_References":
        cells = [one.cells for one in records]
        clients = {one["client"] for one in cells if "client" in one}
        invoices = {one["invoice"] for one in cells if "invoice" in one}
        codes = await tx.execute(select(Currency.code, Currency.id))
        return cls(
            await _clients(tx, sorted(clients)),
            await _invoices(tx, sorted(invoices)),
            {code: currency_id for code, currency_id in codes},
        )

    def fields(self, record: CsvRecord) -> dict[str, int]:
        places = (
            ("client", "client_id", self.clients), ("invoice", "invoice_id", self.invoices),
        )  # fmt: skip
        found = {
            column: _only(record, name, ids) for name, column, ids in places if name in record.cells
        }
        code = record.cells.get("currency")
        if code is None:
            return found
        if code.lower() not in self.currencies:
            raise InvalidField("currency", f"{code!r} is no currency that is known")
        return {**found, "currency_code": self.currencies[code.lower()]}


def _only(record: CsvRecord, name: str, ids: Mapping[str, Sequence[int]]) -> int:
    found = ids.get(record.cells[name], ())
    if len(found) != 1:
        why = "names none that there is" if not found else f"is that of {len(found)}"
        raise InvalidField(name, f"{record.cells[name]!r} {why}")
    return found[0]


# Values that one query asks for: SQLite takes 32,766.
_ASKED = 500


async def _clients(tx: Tx, wanted: Sequence[str]) -> dict[str, list[int]]:
    """By the number under which a client was imported, else by its name."""
    found: dict[str, list[int]] = {}
    for at in range(0, len(wanted), _ASKED):
        part = wanted[at : at + _ASKED]
        numbers = {f"thirdpartyid={one}": one for one in part}
        imported = await tx.execute(
            select(IMPORTED.c.key, IMPORTED.c.record_id)
            .join(CLIENT_ROWS, CLIENT_ROWS.c.id == IMPORTED.c.record_id)
            .where(IMPORTED.c.kind == "clients", IMPORTED.c.key.in_(numbers))
        )
        by_number = {numbers[key]: [client_id] for key, client_id in imported}
        named = await tx.execute(
            select(CLIENT_ROWS.c.name, CLIENT_ROWS.c.id).where(CLIENT_ROWS.c.name.in_(part))
        )
        for name, client_id in named:
            if name not in by_number:
                found.setdefault(name, []).append(client_id)
        found.update(by_number)
    return found


async def _invoices(tx: Tx, wanted: Sequence[str]) -> dict[str, list[int]]:
    """By `invoicenumber`, or by the number of another system."""
    found: dict[str, list[int]] = {}
    for at in range(0, len(wanted), _ASKED):
        part = wanted[at : at + _ASKED]
        for column in (INVOICE_ROWS.c.thirdpartyinvoicenumber, INVOICE_ROWS.c.invoicenumber):
            rows = await tx.execute(
                select(column, INVOICE_ROWS.c.id).where(column.in_(part), INVOICE_ROWS.c.id > 0)
            )
            numbered: dict[str, list[int]] = {}
            for number, invoice_id in rows:
                numbered.setdefault(number, []).append(invoice_id)
            found.update(numbered)
    return found

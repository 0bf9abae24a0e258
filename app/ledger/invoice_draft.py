"""What an invoice will be: the given fields over those that are there, its lines, its totals.

Nothing here touches the database; `invoicing` reads what is there and writes what comes out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Table

from app.errors import InvalidField, NotFound, Refused
from app.rules import money
from app.rules.invoice import InvoiceKind, Line, totals
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Record
from app.storage.rows import InputRecord
from app.storage.tables.invoices import Invoice, InvoiceLine, line_of

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)

# Beyond what Stripe takes in any currency, so that sums of lines keep all their digits.
_LINE_MAX = Decimal(money.MINOR_MAX)
# Put in by other means than copying what was given.
_HEADER_ASIDE = frozenset({"id", "currency_code", "currency_iso", "extra"})
_LINE_ASIDE = frozenset({"id", "ihid", "extra", "last_change_seq", "ignore_change_seq"})
# What `currency_code` and the properties in it tell already.
_NOT_TOLD = frozenset({"extra", "currency_iso"})

CHANGED_LINES = "changed_lines"
"""In a record of ours, lines by id that change while the others stay."""

Difference = tuple[str, object, object]
"""A field's name, its old and its new value."""


@dataclass(frozen=True, slots=True)
class Currencies:
    """The currencies a batch may need: codes by id, and each client's."""

    code_of: Mapping[int, str]
    of_client: Mapping[int, int | None]
    home: str

    def chosen(self, record: InputRecord) -> int:
        """The invoice's own, else its client's, else ours."""
        own = record.get("currency_code") or self.of_client.get(record.get("client_id") or 0)
        if own is not None:
            return own
        for currency_id, code in self.code_of.items():
            if code == self.home:
                return currency_id
        raise Refused(f"{self.home} is not among the currencies; name a currency_code")


@dataclass(slots=True)
class DraftLine:
    """A line as it will be, and as it is when it exists."""

    values: dict[str, Any]
    row: Record | None = None
    id: int = 0

    @property
    def rule(self) -> Line:
        return line_of(SimpleNamespace(**self.values))

    @property
    def differences(self) -> list[Difference]:
        return differences(self.row, self.values) if self.row else []


@dataclass(slots=True)
class Draft:
    """An invoice as it will be, and as it is when it exists."""

    values: dict[str, Any]
    row: Record | None
    currency: str
    # None when the lines are left as they are.
    lines: list[DraftLine] | None = None
    removed: list[Record] = field(default_factory=list)
    id: int = 0

    def now(self, name: str) -> Any:
        """A field as it will be."""
        return self.values.get(name, getattr(self.row, name, None))

    @property
    def is_template(self) -> bool:
        return bool(self.row.id < 0 if self.row else self.values["is_recurring_invoice"])

    @property
    def differences(self) -> list[Difference]:
        return differences(self.row, self.values) if self.row else []

    @property
    def is_changed(self) -> bool:
        lines = self.lines or ()
        return bool(self.differences or self.removed) or any(
            not line.row or line.differences for line in lines
        )

    @property
    def totals_before_and_after(self) -> tuple[Decimal, Decimal]:
        before = self.row.total if self.row else Decimal(0)
        return before, self.values.get("total", before)

    @property
    def total_moves(self) -> bool:
        before, after = self.totals_before_and_after
        return before != after

    @property
    def owes_anew(self) -> bool:
        """Whether what is owed must be worked out again."""
        kind = self.row.invoicetype if self.row else InvoiceKind.INVOICE
        return self.total_moves or self.values.get("invoicetype", kind) != kind

    @property
    def currency_changes(self) -> bool:
        return self.row is not None and self.currency != self.row.currency_iso


def draft_header(
    record: InputRecord,
    row: Record | None,
    currencies: Currencies,
    now: datetime,
    *,
    is_template: bool = False,
) -> Draft:
    """The header with what was given; its lines are still as they are."""
    values = {
        name: value
        for name, value in record.items()
        if name in INVOICES.c and name not in _HEADER_ASIDE
    }
    if "extra" in record:
        values["extra"] = rows.merge_extra(row.extra if row else None, record["extra"])
    if row is None or record.get("currency_code") not in (None, row.currency_code):
        values["currency_code"] = currencies.chosen(record)
        values["currency_iso"] = currencies.code_of[values["currency_code"]]
    if row is not None:
        return Draft(values, row, values.get("currency_iso", row.currency_iso), id=row.id)
    dated = {
        "invoice_date": values.get("invoice_date") or now.replace(microsecond=0),
        "date_created": now,
        "last_modified": now,
        "is_recurring_invoice": is_template,
    }
    return Draft({**_defaults(INVOICES), **values, **dated}, None, values["currency_iso"])


def needs_existing_lines(one: Draft, record: InputRecord) -> bool:
    """Whether what is asked for cannot be worked out without the lines that are there."""
    asks = record.get("lines") is not None or any(map(record.get, ("add_lines", CHANGED_LINES)))
    return one.row is not None and (asks or one.currency_changes)


def draft_lines(one: Draft, record: InputRecord, existing: Sequence[Record]) -> None:
    """`lines` is the whole list; `add_lines` adds to it, changed ones change. Totals follow."""
    if one.row is not None and not needs_existing_lines(one, record):
        return
    whole, added = record.get("lines"), record.get("add_lines") or ()
    if whole is None:
        lines = _changed_lines(record.get(CHANGED_LINES, ()), existing)
    else:
        by_id = {row.id: row for row in existing}
        lines = [_given_line(one, by_id, position, each) for position, each in enumerate(whole)]
        one.removed = list(by_id.values())
    last = max((line.values["sequenceid"] for line in lines), default=-1)
    lines += [_new_line(each, last + number) for number, each in enumerate(added, start=1)]
    one.lines = lines
    one.values |= _totals(lines, one.currency)
    if one.is_template:  # HaloPSA shows a template's total as due; nobody pays templates
        one.values["amountdue"] = one.values["total"]


def _changed_lines(changed: Sequence[InputRecord], existing: Sequence[Record]) -> list[DraftLine]:
    """All lines that are there; those that are named, with what was given."""
    given = {each["id"]: each for each in changed}
    for line_id in given.keys() - {row.id for row in existing}:
        raise NotFound("InvoiceDetail", line_id)
    return [
        DraftLine(_line_after(row, given[row.id]), row)
        if row.id in given
        else DraftLine(_values(row), row)
        for row in existing
    ]


def _line_after(row: Record, given: InputRecord) -> dict[str, Any]:
    values = {**_values(row), **_line_values(given)}
    if "extra" in given:
        values["extra"] = rows.merge_extra(row.extra, given["extra"])
    return values


def _given_line(
    one: Draft, by_id: dict[int, Record], position: int, given: InputRecord
) -> DraftLine:
    """A line of the whole list. Those taken out of `by_id` stay; what is left there goes.

    A new invoice may be a copy of another one, lines' ids included: they mean nothing there.
    """
    if "id" not in given or one.row is None:
        return _new_line(given, position)
    row = by_id.pop(given["id"], None)
    if row is None:
        raise InvalidField(
            f"lines[{position}].id",
            f"{given['id']} is not a line of invoice {one.id}, or is given twice",
        )
    return DraftLine(_line_after(row, {"sequenceid": position, **given}), row)


def _new_line(given: InputRecord, position: int) -> DraftLine:
    values = {**_defaults(LINES), "sequenceid": position, **_line_values(given)}
    values["extra"] = rows.merge_extra(None, given.get("extra", {}))
    return DraftLine(values)


def _line_values(given: InputRecord) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in _LINE_ASIDE}


def _values(row: Record) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "id"}


def _defaults(table: Table) -> dict[str, Any]:
    """All columns, since one INSERT for many rows needs the same columns in each."""
    return {
        one.name: None if one.default is None else getattr(one.default, "arg", None)
        for one in table.c
        if not one.primary_key
    }


def _totals(lines: Sequence[DraftLine], currency: str) -> dict[str, Decimal]:
    """Totals come from the lines alone; no caller sets them."""
    rules = [line.rule for line in lines]
    for position, rule in enumerate(rules):
        if abs(rule.net) > _LINE_MAX:
            raise InvalidField(f"lines[{position}].unit_price", "comes to more than can be paid")
    found = totals(rules, currency)
    money.to_minor(found.gross, currency, "total")
    return {"total": found.gross, "tax_total": found.tax, "revenue": found.net}


def differences(row: Any, values: Mapping[str, Any]) -> list[Difference]:
    """What changes of each column; of `extra`, each property."""
    found = [
        (name, getattr(row, name), value)
        for name, value in values.items()
        if name not in _NOT_TOLD and getattr(row, name) != value
    ]
    if "extra" in values:
        old, new = row.extra or {}, values["extra"] or {}
        found += [
            (name, old.get(name), new.get(name))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
    return found

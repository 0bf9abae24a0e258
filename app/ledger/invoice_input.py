"""A caller's input about invoices and their lines, typed and split into its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from app.ledger.prorata import ProrataData, ProrataEntry
from app.storage.column_types import table_of
from app.storage.rows import InputRecord
from app.storage.tables.invoices import Invoice, InvoiceLine

# Lines of one invoice: no document that people read has so many, and each is drafted, summed and
# printed again with every change of its invoice.
LINES_MAX = 1_000

# Columns that do not simply take the value that is given.
_INVOICE_ASIDE = frozenset({"id", "currency_code", "currency_iso", "extra"})
_LINE_ASIDE = frozenset({"id", "ihid", "extra", "prorata_data"})
_INVOICE_COLUMNS = frozenset(table_of(Invoice).c.keys()) - _INVOICE_ASIDE
_LINE_COLUMNS = frozenset(table_of(InvoiceLine).c.keys()) - _LINE_ASIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class LineInput:
    """A line that is new, or that `id` names. A column that is not in `values` stays as it is."""

    id: int | None = None
    ihid: int | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
    # Its rate, category and reason are given, and no rule or Tax of today is asked.
    keeps_tax: bool = False
    # Of a template's line: its quantity follows what was billed, and no entry follows from it.
    keeps_quantity: bool = False
    # None leaves the rows of `prorata_data` as they are.
    prorata: Sequence[ProrataEntry] | None = None
    # The invoice's `change_seq` that the caller has seen, None when another change is no matter.
    last_change_seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceInput:
    """An invoice that is new, or that `id` names. A column that is not in `values` stays."""

    id: int | None = None
    currency_code: int | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
    # A template's columns by its `schedule` object, which count where `values` change none.
    schedule: Mapping[str, datetime | int] = field(default_factory=dict)
    # The whole list of its lines; without it, those that change and those that are added.
    lines: Sequence[LineInput] | None = None
    changed_lines: Sequence[LineInput] = ()
    added_lines: Sequence[LineInput] = ()
    last_change_seq: int | None = None

    @property
    def client_id(self) -> int | None:
        found = self.values.get("client_id")
        return found if isinstance(found, int) else None

    @property
    def names_days(self) -> bool:
        """Its due day may follow from other terms, or a template's schedule from another date."""
        names = self.values.keys() | self.extra.keys() | self.schedule.keys()
        return not names.isdisjoint(
            ("due_date_type", "due_date_int", "paymentterms", "nextcreationdate")
        )

    @property
    def names_lines(self) -> bool:
        """Its lines change, so its totals follow."""
        return self.lines is not None or bool(self.changed_lines or self.added_lines)


@dataclass(frozen=True, slots=True)
class ScheduleData:
    """A template's `schedule`: the JSON as its caller wrote it, and the columns that it names."""

    written: object
    columns: Mapping[str, datetime | int]


def invoice_input(record: InputRecord) -> InvoiceInput:
    """A record of the API, or of an import, whose column values are parsed already."""
    lines = record.get("lines")
    schedule: ScheduleData | None = record.get("schedule")
    kept = {} if schedule is None else {"schedule": schedule.written}
    return InvoiceInput(
        id=record.get("id"),
        currency_code=record.get("currency_code"),
        values={name: one for name, one in record.items() if name in _INVOICE_COLUMNS},
        extra={**(record.get("extra") or {}), **kept},
        schedule={} if schedule is None else schedule.columns,
        lines=None if lines is None else [line_input(one) for one in lines],
        added_lines=[line_input(one) for one in record.get("add_lines") or ()],
        last_change_seq=_change_seq(record),
    )


def line_input(record: InputRecord) -> LineInput:
    found = LineInput(
        id=record.get("id"),
        ihid=record.get("ihid"),
        values={name: one for name, one in record.items() if name in _LINE_COLUMNS},
        extra=record.get("extra") or {},
        last_change_seq=_change_seq(record),
    )
    if "prorata_data" not in record:
        return found
    given: ProrataData = record["prorata_data"] or ProrataData(None, ())
    values = {**found.values, "prorata_data": given.written}
    return replace(found, values=values, prorata=given.entries)


def _change_seq(record: InputRecord) -> int | None:
    seen: int | None = record.get("last_change_seq")
    return None if record.get("ignore_change_seq") else seen

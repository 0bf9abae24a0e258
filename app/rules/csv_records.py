"""Records of a CSV file: a row each, or an invoice of several rows, one for each of its lines.

A JSON array holds the same: an object a record, and `lines` an array of objects.
"""

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.errors import InvalidField

# Columns of a line; all others belong to the invoice, and are read of its first row.
LINE_COLUMNS = frozenset(
    """
    item_code item_shortdescription item_longdescription nominal_code tax_code qty_order
    unit_price unit_cost discount_perc tax_rate price_includes_tax onetimecharge
    """.split()
)


@dataclass(frozen=True, slots=True)
class FileError:
    """An error of a file: its row, where it has one its column, and why."""

    row: int
    column: str
    why: str

    def __str__(self) -> str:
        place = f", column {self.column}" if self.column else ""
        return f"row {self.row}{place}: {self.why}"


@dataclass(frozen=True, slots=True)
class CsvRecord:
    """The cells of a record that hold something, by their columns, and those of its lines."""

    rows: list[int]
    cells: dict[str, str]
    lines: list[dict[str, str]] = field(default_factory=list)


def read_rows(text: str, allowed: Collection[str]) -> list[CsvRecord]:
    """The rows below the first one, which names the columns in any case."""
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff")))
    heads = [one.strip().lower() for one in next(rows, [])]
    _assert_columns(heads, allowed)
    found = []
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(heads):
            raise InvalidField(f"row {rows.line_num}", f"has {len(row)} cells, {len(heads)} named")
        cells = {head: cell for head, cell in zip(heads, row, strict=False) if cell.strip()}
        found.append(CsvRecord([rows.line_num], cells))
    return found


def read_objects(text: str, allowed: Collection[str]) -> list[CsvRecord]:
    """The objects of a JSON array; errors name them by their places, the first of which is 1.

    Numbers keep the digits that they are written with.
    """
    try:
        given = json.loads(text, parse_float=str, parse_int=str)
    except ValueError as error:
        raise InvalidField("file", f"is no JSON: {error}") from None
    if not isinstance(given, list):
        raise InvalidField("file", "is no JSON array")
    return [_object(place, one, allowed) for place, one in enumerate(given, 1)]


def _object(place: int, given: object, allowed: Collection[str]) -> CsvRecord:
    at = f"row {place}"
    fields = _fields(at, given, {*allowed, "lines"})
    lines = fields.pop("lines", None) or []
    if not isinstance(lines, list):
        raise InvalidField(at, "lines is no array")
    found = [_texts(f"{at}, line {number}", one, LINE_COLUMNS)
             for number, one in enumerate(lines, 1)]  # fmt: skip
    return CsvRecord([place] * max(1, len(found)), _texts(at, fields, allowed), found)


def _fields(at: str, given: object, allowed: Collection[str]) -> dict[str, object]:
    if not isinstance(given, dict):
        raise InvalidField(at, "is no object")
    fields = {str(name).lower(): value for name, value in given.items()}
    for name in fields.keys() - set(allowed):
        raise InvalidField(at, f"{name!r} is no field that is known")
    return fields


def _texts(at: str, given: object, allowed: Collection[str]) -> dict[str, str]:
    found = {}
    for name, value in _fields(at, given, allowed).items():
        if isinstance(value, bool):
            found[name] = str(value).lower()
        elif isinstance(value, str):
            found[name] = value
        elif value is not None:
            raise InvalidField(at, f"{name} is no text, number or flag")
    return {name: value for name, value in found.items() if value.strip()}


def _assert_columns(heads: Sequence[str], allowed: Collection[str]) -> None:
    for head in heads:
        if head not in allowed:
            raise InvalidField("row 1", f"{head!r} is no column that is known")
        if heads.count(head) > 1:
            raise InvalidField("row 1", f"{head!r} is named twice")


def with_lines(
    rows: Iterable[CsvRecord], keys: Sequence[str]
) -> tuple[list[CsvRecord], list[FileError]]:
    """Rows of one number are one invoice, a line each; the first of `keys` that is there counts."""
    found: dict[tuple[str, str], CsvRecord] = {}
    errors = []
    for one in rows:
        name = next((name for name in keys if name in one.cells), None)
        if name is None:
            errors.append(FileError(one.rows[0], keys[0], "is empty, and so no row has its number"))
            continue
        line = {name: cell for name, cell in one.cells.items() if name in LINE_COLUMNS}
        header = {name: cell for name, cell in one.cells.items() if name not in LINE_COLUMNS}
        first = found.setdefault((name, one.cells[name]), CsvRecord([], header))
        errors += [
            FileError(one.rows[0], column, f"is another than in row {first.rows[0]}")
            for column, cell in header.items()
            if first.cells.get(column) != cell
        ]
        first.rows.append(one.rows[0])
        first.lines.append(line)
    return list(found.values()), errors


def error_of(record: CsvRecord, error: InvalidField) -> FileError:
    """The row and the column of what a field of `lines[2].unit_price`'s form says."""
    name = error.field
    why = error.message.removeprefix(f"{name}: ")
    if name.startswith("lines[") and "]." in name:
        place, _, column = name.removeprefix("lines[").partition("].")
        return FileError(record.rows[int(place)], column, why)
    return FileError(record.rows[0], name, why)


def as_json(record: CsvRecord, aside: Collection[str]) -> Mapping[str, object]:
    """The record as the API takes it, without the columns that are not the API's."""
    fields: dict[str, object] = {
        name: cell for name, cell in record.cells.items() if name not in aside
    }
    return {**fields, "lines": list(record.lines)} if record.lines else fields

"""Bulk writes: many rows in one statement, and rows of several tables in one message."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Table

from app.storage.driver_errors import DuplicateKey, LostRace
from app.storage.engines import Tx
from app.storage.open_transaction import fetch, run_for_all, run_for_each
from app.storage.prepared import Convert

Values = Mapping[str, object]
"""A row to be written: its values by column name."""


class BulkWrite:
    """One statement for many rows, each of which has the same columns.

    Its text is made of the names of our own tables and columns; every value is a parameter.
    SQLite runs it row by row inside the process; PostgreSQL gets one array a column, once.
    """

    def __init__(self, table: Table, names: Iterable[str]) -> None:
        self.table = table
        self._columns = [table.c[name] for name in names]
        self.width = len(self._columns)
        self._compiled: dict[str, tuple[str, list[tuple[str, Convert | None]]]] = {}

    async def run(self, tx: Tx, rows: Sequence[Values]) -> None:
        """Write the rows. LostRace when a key has appeared since the caller looked for it."""
        if rows:
            await self._run(tx, [_column(rows, *one) for one in self._for_engine(tx)[1]])

    async def run_columns(self, tx: Tx, columns: Sequence[Sequence[object]]) -> None:
        """The same for values that come by column, in the order of the names."""
        converted = [
            list(values) if convert is None else [convert(one) for one in values]
            for values, (_, convert) in zip(columns, self._for_engine(tx)[1], strict=True)
        ]
        await self._run(tx, converted)

    async def _run(self, tx: Tx, columns: Sequence[Sequence[Any]]) -> None:
        text, _ = self._for_engine(tx)
        try:
            if tx.dialect.name == "sqlite":
                run_for_all(tx, text, columns)
            else:
                await fetch(tx, text, columns)
        except DuplicateKey as error:
            raise LostRace(str(error)) from error

    def _for_engine(self, tx: Tx) -> tuple[str, list[tuple[str, Convert | None]]]:
        """The statement's text for the engine of this transaction, and its columns."""
        compiled = self._compiled.get(tx.dialect.name)
        if compiled is None:
            compiled = self._compiled[tx.dialect.name] = self._compile(tx.dialect)
        return compiled

    def _compile(self, dialect: Dialect) -> tuple[str, list[tuple[str, Convert | None]]]:
        text = self._by_row() if dialect.name == "sqlite" else self.by_column(dialect)
        return text, [
            (one.name, one.type.dialect_impl(dialect).bind_processor(dialect))
            for one in self._columns
        ]

    def arrays(self, tx: Tx, rows: Sequence[Values]) -> list[list[Any]]:
        """The rows as PostgreSQL gets them, an array a column."""
        _, columns = self._for_engine(tx)
        return [_column(rows, *one) for one in columns]

    def _by_row(self) -> str:
        raise NotImplementedError

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        """PostgreSQL's text of the statement; its parameters are numbered from `first` on."""
        raise NotImplementedError

    def _unnest(self, dialect: Dialect, first: int) -> str:
        kinds = (one.type.dialect_impl(dialect).compile(dialect) for one in self._columns)
        return ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds, start=first))


class BulkInsert(BulkWrite):
    """Inserts rows whose keys the caller found to be new; LostRace when one is not any more."""

    def _by_row(self) -> str:
        marks = ", ".join("?" for _ in self._columns)
        return f"INSERT INTO {self.table.name} ({self._names}) VALUES ({marks})"  # noqa: S608  ours

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        return (
            f"INSERT INTO {self.table.name} ({self._names}) "  # noqa: S608  ours
            f"SELECT * FROM unnest({self._unnest(dialect, first)})"
        )

    @property
    def _names(self) -> str:
        return ", ".join(f'"{one.name}"' for one in self._columns)


class BulkInsertOnce(BulkInsert):
    """Inserts the rows whose key is not there yet, and answers the keys of the new ones.

    Rows are inserted in key order, so that two writers of the same rows cannot deadlock.
    """

    def __init__(self, table: Table, key: str, names: Iterable[str]) -> None:
        super().__init__(table, names)
        self._key = key

    async def insert_new(self, tx: Tx, rows: Sequence[Values]) -> set[str]:
        if not rows:
            return set()
        ordered = sorted(rows, key=lambda row: str(row[self._key]))
        text, columns = self._for_engine(tx)
        if tx.dialect.name == "sqlite":
            counts = run_for_each(tx, text, [_values(row, columns) for row in ordered])
            return {
                str(row[self._key]) for row, count in zip(ordered, counts, strict=True) if count
            }
        found = await fetch(tx, text, [_column(ordered, *one) for one in columns])
        return {key for (key,) in found}

    def _by_row(self) -> str:
        return f"{super()._by_row()} ON CONFLICT ({self._key}) DO NOTHING"

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        once = f"ON CONFLICT ({self._key}) DO NOTHING RETURNING {self._key}"
        return f"{super().by_column(dialect, first)} {once}"


class BulkUpdate(BulkWrite):
    """Overwrites columns of the rows that a key names; every row gives the key and all columns."""

    def __init__(self, table: Table, key: str, names: Iterable[str]) -> None:
        self._set = list(names)
        super().__init__(table, [*self._set, key])
        self._key = key

    def _by_row(self) -> str:
        settings = ", ".join(f'"{name}" = ?' for name in self._set)
        return f"UPDATE {self.table.name} SET {settings} WHERE {self._key} = ?"  # noqa: S608  ours

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        settings = ", ".join(f'"{name}" = given."{name}"' for name in self._set)
        names = ", ".join(f'"{one.name}"' for one in self._columns)
        return (
            f"UPDATE {self.table.name} AS old SET {settings} "  # noqa: S608  ours
            f"FROM unnest({self._unnest(dialect, first)}) AS given ({names}) "
            f"WHERE old.{self._key} = given.{self._key}"
        )


class BulkDelete(BulkWrite):
    """Deletes the rows that a key names."""

    def __init__(self, table: Table, key: str) -> None:
        super().__init__(table, [key])
        self._key = key

    def _by_row(self) -> str:
        return f"DELETE FROM {self.table.name} WHERE {self._key} = ?"  # noqa: S608  ours

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        keys = self._unnest(dialect, first)
        return f"DELETE FROM {self.table.name} WHERE {self._key} = ANY ({keys})"  # noqa: S608  ours


# --- rows of several tables ---------------------------------------------------------------------

TableWrite = tuple[BulkWrite, Sequence[Values]]
"""A statement and the rows that it writes."""


async def write_all(tx: Tx, writes: Iterable[TableWrite]) -> None:
    """Write rows of several tables, in this order. LostRace as `BulkWrite.run` says.

    PostgreSQL gets them in one statement, for each costs a round trip; only where a table comes
    twice it gets a second, since the parts of one statement are carried out in no certain order.
    """
    pending = [one for one in writes if one[1]]
    while pending:
        together = _of_different_tables(pending) if tx.dialect.name != "sqlite" else pending[:1]
        pending = pending[len(together) :]
        if len(together) == 1:
            statement, rows = together[0]
            await statement.run(tx, rows)
        else:
            await _run_together(tx, together)


def _of_different_tables(writes: Sequence[TableWrite]) -> list[TableWrite]:
    """The first of the writes, up to the one whose table has come already."""
    found: list[TableWrite] = []
    for one in writes:
        if any(one[0].table is earlier.table for earlier, _ in found):
            break
        found.append(one)
    return found


async def _run_together(tx: Tx, writes: Sequence[TableWrite]) -> None:
    statements = tuple(statement for statement, _ in writes)
    if statements not in _together:
        _together[statements] = _text_of_all(tx.dialect, statements)
    arrays = [array for statement, rows in writes for array in statement.arrays(tx, rows)]
    try:
        await fetch(tx, _together[statements], arrays)
    except DuplicateKey as error:
        raise LostRace(str(error)) from error


# PostgreSQL's texts of the statements that are sent together: a handful.
_together: dict[tuple[BulkWrite, ...], str] = {}


def _text_of_all(dialect: Dialect, statements: Sequence[BulkWrite]) -> str:
    texts, first = [], 1
    for one in statements:
        texts.append(one.by_column(dialect, first))
        first += one.width
    *before, last = texts
    return f"WITH {', '.join(f'w{n} AS ({text})' for n, text in enumerate(before))} {last}"


def _values(row: Values, columns: Sequence[tuple[str, Convert | None]]) -> tuple[Any, ...]:
    return tuple(
        [row[name] if convert is None else convert(row[name]) for name, convert in columns]
    )


def _column(rows: Sequence[Values], name: str, convert: Convert | None) -> list[Any]:
    if convert is None:
        return [row[name] for row in rows]
    return [convert(row[name]) for row in rows]

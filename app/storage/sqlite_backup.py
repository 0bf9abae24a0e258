"""Backups of SQLite: a copy of one moment while others write, and putting one back in place.

A database's file is never opened beside SQLite: closing it would give up every lock that SQLite
holds on it in this process.
"""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from app.errors import DamagedDatabase, Refused
from app.storage.engines import Database
from app.storage.sqlite_driver import SIDE_FILES, create_private

# SQLite's lock that every connection to a WAL database shares, in the file `-shm`
# (sqlite.org/walformat.html, "WAL locks": the dead-man switch follows the eight others).
_DEAD_MAN_SWITCH = 128


@contextlib.contextmanager
def workshop(beside: Path) -> Iterator[Path]:
    """A private folder on the same disk, so that a finished file moves into its place at once."""
    with tempfile.TemporaryDirectory(prefix=".paydue-", dir=beside.absolute().parent) as folder:
        yield Path(folder)


async def copy_live(database: Database, to: Path) -> None:
    """Copy the database as it is at one moment, by SQLite's online backup; nobody waits for it."""
    create_private(to)
    with contextlib.closing(sqlite3.connect(to, check_same_thread=False)) as copy:
        async with database.snapshot() as tx:
            raw = await tx.get_raw_connection()
            driver = raw.driver_connection
            assert driver is not None, "a snapshot has a connection"
            await driver.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    await asyncio.to_thread(verify, to)


def copy_backup(source: Path, to: Path) -> None:
    """Copy a backup, which nobody has open, into a file that may be written to."""
    leftover = [name for name in _beside(source) if name.exists() and name.stat().st_size]
    if leftover:
        raise Refused(
            f"{leftover[0]} lies beside {source}: these are files of a database, not a backup of "
            "`paydue db backup`; if both were copied at one moment, merge them with: "
            f"sqlite3 {source} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        )
    create_private(to)
    shutil.copyfile(source, to)
    verify(to)


def verify(file: Path) -> None:
    """Raises DamagedDatabase unless every page, index and reference of a copy is sound."""
    try:
        with contextlib.closing(sqlite3.connect(file)) as opened:
            (said,) = opened.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise DamagedDatabase(f"the database is damaged: {said}")
            orphan = opened.execute("PRAGMA foreign_key_check").fetchone()
            if orphan is not None:
                raise DamagedDatabase(f"a row of {orphan[0]} refers to none of {orphan[2]}")
    except sqlite3.DatabaseError as error:
        raise DamagedDatabase(f"this is no whole SQLite database: {error}") from None


def publish(file: Path, to: Path) -> None:
    """Move a finished, closed file to its place, and outlive a power cut from then on."""
    with contextlib.closing(sqlite3.connect(file)) as opened:
        opened.execute("PRAGMA journal_mode=DELETE")
    _sync(file)
    if to.exists():
        raise Refused(f"{to} is there already")
    file.rename(to)
    _sync(to.absolute().parent)


def move_aside(file: Path, now: datetime) -> Path | None:
    """Keep what is in the database's place under another name, its WAL with it; None for nothing.

    A WAL that stayed behind would be played into the file that is put there.
    """
    there = [name for name in (file, *_beside(file)) if name.exists()]
    if not there:
        return None
    aside = file.with_name(f"{file.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
    for name in there:
        name.rename(aside.with_name(aside.name + name.name.removeprefix(file.name)))
    return aside


def is_there(file: Path) -> bool:
    """Whether a database, or what is left of one, is in this place."""
    return any(name.exists() for name in (file, *_beside(file)))


def expect_closed(file: Path) -> None:
    """Raises Refused while any process has the database open."""
    import fcntl

    shared = file.with_name(f"{file.name}-shm")
    with contextlib.suppress(FileNotFoundError), shared.open("r+b") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _DEAD_MAN_SWITCH)
        except OSError:
            raise Refused(
                f"a process has {file} open; stop every `paydue serve` and `paydue worker` first"
            ) from None


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.name + ending) for ending in SIDE_FILES]


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

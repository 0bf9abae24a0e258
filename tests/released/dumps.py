"""A whole database as a small file: SQLite's own file, or PostgreSQL's as SQL."""

import asyncio
import gzip
import re
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from tests import postgres

DATA = Path(__file__).parent / "data"


def write(url: str, to: Path) -> None:
    content = _sqlite_file(url) if url.startswith("sqlite") else _postgres_sql(url)
    to.write_bytes(gzip.compress(content, mtime=0))


def load(dump: Path, url: str) -> None:
    """Fill an empty database."""
    content = gzip.decompress(dump.read_bytes())
    if url.startswith("sqlite"):
        Path(make_url(url).database or "").write_bytes(content)
    else:
        asyncio.run(_execute(url, content.decode()))


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def _sqlite_file(url: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        with closing(sqlite3.connect(make_url(url).database or "")) as opened:
            opened.execute("VACUUM INTO ?", (str(copy),))
        return copy.read_bytes()


def _postgres_sql(url: str) -> bytes:
    programs = postgres.binaries()
    assert programs is not None, "pg_dump is PostgreSQL's own"
    done = subprocess.run(
        [programs / "pg_dump", "--no-owner", "--inserts", "--rows-per-insert=100", url],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    # Lines for psql, and settings that a newer server has and an older one does not know.
    kept = [line for line in done.stdout.splitlines() if not re.match(r"\\|SET |--|$", line)]
    return "\n".join(line for line in kept if "set_config('search_path'" not in line).encode()

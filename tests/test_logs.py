"""Log lines: one form for ours and every library's, no values of statements, no floods."""

import subprocess
import sys
from collections.abc import Iterator
from io import StringIO

import orjson
import pytest
import structlog
from sqlalchemy import text

from app.logs import SAMPLE_BURST, LogSampler
from app.storage.driver_errors import DatabaseFault
from app.storage.engines import Database
from tests import leaks

# One process for each form, as `configure` binds stderr for good.
PROGRAM = """
import logging, sqlite3, structlog, sys
from app.logs import configure
from app.settings import Settings
configure(Settings(_env_file=None, PAYDUE_LOG_FORMAT=sys.argv[1]))
structlog.get_logger("paydue").info("invoice\\nforged", who="Ada \\x1b[31m \\u202e evil")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.\\r\\nforged")
for _ in range(1000):
    logging.getLogger("fpdf").warning("a character \\x07 has no glyph")
try:
    raise RuntimeError("a job failed") from sqlite3.IntegrityError("12 Planted Private Road")
except RuntimeError:
    structlog.get_logger("paydue").exception("job failed")
import warnings
warnings.warn("an old name")
raise ValueError("the end")
"""


def written(form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert not done.stdout
    return done.stderr.splitlines()


def test_every_line_is_json_whoever_writes_it() -> None:
    lines = [orjson.loads(line) for line in written("json")]

    assert {"fpdf", "uvicorn.error", "py.warnings"} <= {one.get("library") for one in lines}
    [failed] = [one for one in lines if one["event"] == "job failed"]
    assert "RuntimeError: a job failed" in failed["exception"]
    assert "sqlite3.IntegrityError" in failed["exception"]
    assert leaks.STREET not in failed["exception"]
    assert "ValueError: the end" in lines[-1]["exception"]


def test_no_text_of_others_forges_a_line_or_drives_the_terminal() -> None:
    lines = written("text")

    assert not [line for line in lines if line.startswith("forged")]
    assert not [char for line in lines for char in line if char in "\x1b\x07\r\u202e"]
    assert any("invoice\\nforged" in line and "\\x1b" in line for line in lines)


def test_a_library_that_repeats_itself_is_cut_short() -> None:
    glyphs = [line for line in written("text") if "glyph" in line]

    assert SAMPLE_BURST <= len(glyphs) <= SAMPLE_BURST + 2


def test_a_sampler_lets_a_burst_through_then_an_even_pace_and_says_how_many_it_held_back() -> None:
    sampler = LogSampler(burst=2, every_s=10)

    at_once = [sampler.take("a", 0.0) for _ in range(5)]

    assert at_once == [0, 0, None, None, None]
    assert sampler.take("b", 0.0) == 0
    assert sampler.take("a", 9.0) is None
    assert sampler.take("a", 10.0) == 4
    assert sampler.take("a", 11.0) is None


def test_a_sampler_remembers_a_bounded_number_of_kinds() -> None:
    sampler = LogSampler()

    for kind in range(5000):
        sampler.take(kind, 0.0)

    assert len(sampler._kinds) <= 1024


@pytest.fixture
def written_lines() -> Iterator[StringIO]:
    """The lines that this test logs."""
    lines = StringIO()
    before = structlog.get_config()["logger_factory"]
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=lines))  # type: ignore[arg-type]
    yield lines
    structlog.configure(logger_factory=before)


@pytest.mark.anyio
async def test_a_statement_that_fails_shows_none_of_its_values(
    database: Database, written_lines: StringIO
) -> None:
    log = structlog.get_logger("paydue")
    private = "Somebody's Private Road"
    twice = text("INSERT INTO fact (name, value) VALUES (:name, :name), (:name, :name)")

    try:
        async with database.transaction() as tx:
            await tx.execute(twice, {"name": private})
    except DatabaseFault:
        log.exception("request failed")

    lines = written_lines.getvalue()
    assert "DuplicateKey" in lines
    assert private not in lines

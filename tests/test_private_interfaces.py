"""Private names of libraries that Paydue uses: each is here, is there, and its library is capped.

A library may rename such a name in any release. So a release that nobody has tried is not
installed, and when the cap is raised, a failure here says which name has gone and who needs it.
"""

import ast
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import aiosqlite.core
import aiosqlite.cursor
import asyncpg
import pytest
import sqlalchemy
import uvicorn
import uvicorn.protocols.http.httptools_impl as uvicorn_httptools
from packaging.requirements import Requirement
from packaging.version import Version
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"]]
# Documented: those of every NamedTuple, and the mapping of SQLAlchemy's rows.
PUBLIC = {"_make", "_fields", "_asdict", "_replace", "_mapping"}


@dataclass(frozen=True, slots=True)
class PrivateName:
    library: str
    names: Sequence[str]
    name: str
    user: str

    def __str__(self) -> str:
        return f"{self.library}-{self.name}"


def _of_an_aiosqlite_connection() -> list[str]:
    return dir(aiosqlite.core.Connection(lambda: pytest.fail("nothing is opened here"), 1))


def _of_an_sqlalchemy_connection() -> list[str]:
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        names = dir(connection)
    connection.engine.dispose()
    return names


PRIVATE_NAMES = [
    PrivateName("uvicorn", dir(uvicorn.Server), "capture_signals", "app/serving.py"),
    PrivateName("uvicorn", dir(uvicorn.Server), "main_loop", "app/serving.py"),
    PrivateName("uvicorn", dir(uvicorn.Server), "handle_exit", "app/serving.py"),
    PrivateName(
        "uvicorn",
        dir(uvicorn_httptools.HttpToolsProtocol),
        "on_message_begin",
        "app/sandbox/transport/asgi_server.py",
    ),
    PrivateName("uvicorn", dir(uvicorn_httptools), "RequestResponseCycle", "app/http_protocol.py"),
    PrivateName("uvicorn", dir(uvicorn_httptools), "STATUS_LINE", "app/http_protocol.py"),
    PrivateName("asyncpg", dir(asyncpg.Connection), "_transport", "app/storage/postgres_tls.py"),
    PrivateName(
        "aiosqlite", dir(aiosqlite.core.Connection), "_execute", "app/storage/sqlite_driver.py"
    ),
    PrivateName(
        "aiosqlite", dir(aiosqlite.core.Connection), "_conn", "app/storage/open_transaction.py"
    ),
    PrivateName(
        "aiosqlite", dir(aiosqlite.cursor.Cursor), "_execute", "app/storage/sqlite_driver.py"
    ),
    PrivateName(
        "aiosqlite", _of_an_aiosqlite_connection(), "_thread", "app/storage/sqlite_driver.py"
    ),
    PrivateName(
        "sqlalchemy",
        dir(AsyncAdapt_asyncpg_connection),
        "_start_transaction",
        "app/storage/open_transaction.py",
    ),
    PrivateName(
        "sqlalchemy", _of_an_sqlalchemy_connection(), "_log_info", "app/storage/open_transaction.py"
    ),
    PrivateName(
        "sqlalchemy",
        _of_an_sqlalchemy_connection(),
        "_echo",
        "app/storage/open_transaction.py",
    ),
]


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=str)
def test_a_private_name_of_a_library_is_still_there(private: PrivateName) -> None:
    installed = version(private.library)

    assert private.name in private.names, (
        f"{private.library} {installed} has no {private.name} any more; {private.user} needs it"
    )


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=str)
def test_the_file_that_is_said_to_use_a_private_name_does(private: PrivateName) -> None:
    assert private.name in (ROOT / private.user).read_text()


@pytest.mark.parametrize("library", sorted({one.library for one in PRIVATE_NAMES} | {"httptools"}))
def test_a_release_that_nobody_has_tried_is_not_installed(library: str) -> None:
    (required,) = (one for one in map(Requirement, REQUIREMENTS) if one.name == library)
    installed = Version(version(library))

    assert required.specifier.contains(installed)
    assert not required.specifier.contains(f"{installed.major}.{installed.minor + 1}")
    assert not required.specifier.contains(f"{installed.major + 1}.0")


def test_no_other_private_name_is_used() -> None:
    known = PUBLIC | {one.name for one in PRIVATE_NAMES}

    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in ROOT.glob("app/**/*.py")
        for name in _foreign_private_names(ast.parse(path.read_text()))
        if name not in known
    }

    assert unknown == set()


def _foreign_private_names(tree: ast.Module) -> Iterator[str]:
    """Private attributes that a module reads and does not define; `self._x` counts as its own."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
            continue
        if node.attr.startswith("__") or node.attr in own:
            continue
        if not isinstance(node.value, ast.Name) or node.value.id not in ("self", "cls"):
            yield node.attr

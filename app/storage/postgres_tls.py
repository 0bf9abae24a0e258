"""TLS to PostgreSQL: libpq's options in the URL, as asyncpg takes them.

`sslmode`, `sslrootcert`, `sslcert` and `sslkey` mean what libpq's documentation says; asyncpg
itself reads them only from a URL of its own, which SQLAlchemy does not pass on.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from app.errors import ConfigurationError

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# asyncpg tries both ways itself; a context of ours would demand encryption.
_WITHOUT_DEMAND = ("disable", "allow", "prefer")
_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword")
# Options that SQLAlchemy or asyncpg take from the URL as they are.
_PASSED_ON = frozenset(
    {"host", "port", "ssl", "user", "password", "passfile", "prepared_statement_cache_size",
     "target_session_attrs", "krbsrvname", "gsslib"}
)  # fmt: skip


def transport_security(url: URL) -> tuple[URL, dict[str, Any]]:
    """The URL without its options of TLS, and what asyncpg's `connect` is given for them."""
    given = {name: str(url.query[name]) for name in _OPTIONS if name in url.query}
    unknown = sorted(set(url.query) - set(_OPTIONS) - _PASSED_ON)
    if unknown:
        known = ", ".join(sorted({*_OPTIONS, *_PASSED_ON}))
        raise ConfigurationError(
            f"PAYDUE_DATABASE_URL has the option {unknown[0]!r}; there are {known}"
        )
    bare = url.difference_update_query(_OPTIONS)
    return bare, {"ssl": _security(given)} if given else {}


def _security(given: Mapping[str, str]) -> ssl.SSLContext | str:
    mode = given.get("sslmode", "verify-full" if "sslrootcert" in given else "prefer")
    if mode not in _MODES:
        raise ConfigurationError(
            f"PAYDUE_DATABASE_URL: sslmode={mode!r}; there are {', '.join(_MODES)}"
        )
    if mode in _WITHOUT_DEMAND:
        return mode
    try:
        return _context(mode, given)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"PAYDUE_DATABASE_URL: {_files(given)}: {error}") from None


def _context(mode: str, given: Mapping[str, str]) -> ssl.SSLContext:
    root = given.get("sslrootcert")
    context = ssl.create_default_context()
    if root and root != "system":
        context = ssl.create_default_context(cafile=str(Path(root).expanduser()))
    context.check_hostname = mode == "verify-full"
    # libpq: `require` verifies the chain as well once it is given a root.
    if mode == "require" and not root:
        context.verify_mode = ssl.CERT_NONE
    if "sslcert" in given:
        context.load_cert_chain(
            Path(given["sslcert"]).expanduser(),
            Path(given["sslkey"]).expanduser() if "sslkey" in given else None,
            given.get("sslpassword"),
        )
    return context


def _files(given: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name}={given[name]}" for name in ("sslrootcert", "sslcert", "sslkey") if name in given
    )


def encryption_of(driver: Any) -> str | None:
    """The protocol and cipher of asyncpg's connection, as this end knows them."""
    found: ssl.SSLObject | None = driver._transport.get_extra_info("ssl_object")
    if found is None:
        return None
    cipher = found.cipher()
    return f"{found.version()}, {cipher[0]}" if cipher else found.version()

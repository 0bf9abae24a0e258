"""Bodies of events: as Stripe sent them, compressed once they are old, or their digest alone."""

import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

# The first byte of a zlib stream. JSON begins with a bracket, or a blank before one.
_ZLIB = 0x78


class EventBody(TypeDecorator[bytes]):
    """The bytes of an event. One that was compressed later is read as it was received."""

    impl = LargeBinary
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], bytes | None]:
        return _as_received

    @property
    def python_type(self) -> type[bytes]:
        return bytes


def _as_received(stored: Any) -> bytes | None:
    if stored is None:
        return None
    body = bytes(stored)
    return zlib.decompress(body) if is_compressed(body) else body


def is_compressed(stored: bytes) -> bool:
    return stored[:1] == bytes([_ZLIB])


def compress(stored: bytes) -> bytes:
    """The body as it is kept when it is old; what is compressed or dropped already, as it is."""
    if is_compressed(stored) or is_digest(stored):
        return stored
    smaller = zlib.compress(stored, 6)
    return smaller if len(smaller) < len(stored) else stored


def digest(stored: bytes) -> bytes:
    """A JSON object that stands for a body that is dropped: its SHA-256 and its size in bytes."""
    if is_digest(stored):
        return stored
    body = _as_received(stored) or b""
    known = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    return orjson.dumps({"dropped": known})


def is_digest(stored: bytes) -> bool:
    return stored.startswith(b'{"dropped":{"sha256":')

"""Reads request bodies: never more than allowed, and numbers exactly as they are written."""

import json
from decimal import Decimal
from typing import Any

from starlette.requests import Request

from app.errors import AppError, BodyTooLarge
from app.halo.engine.parsing import exact_number

# Bytes of a body that one line of an invoice takes: so a body's rows are guessed before it is read.
ROW_BYTES = 100
# An int of more digits fits no column, and long ones take long to read.
_INT_DIGITS_MAX = 40


class NotJson(AppError):
    """A body that cannot be read as JSON."""


async def read(request: Request, largest: int) -> bytes:
    """The whole body; counted while it arrives, since a length may be missing or a lie."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > largest:
        raise BodyTooLarge(f"the body is larger than {largest} bytes")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise BodyTooLarge(f"the body is larger than {largest} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """The JSON of a body, with Decimals for all numbers that are not whole."""
    try:
        return json.loads(
            body, parse_float=exact_number, parse_int=_whole, parse_constant=_no_number
        )
    except RecursionError:
        raise NotJson("the body is nested too deeply") from None
    except ValueError as error:  # a wrong encoding raises it too
        raise NotJson(f"the body is not JSON: {error}") from None


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else exact_number(digits)


def _no_number(_: str) -> Decimal:
    """NaN and the infinities are read, so that the answer can name the field they stand in."""
    return Decimal("NaN")

"""Parsers turn a JSON value, or the text of a parameter, into a column's value.

A parser takes the name that the caller used and the value he gave. It answers the column's value,
None for "nothing", or raises InvalidField with that name. Numbers never pass through binary
fractions.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Date, Integer
from sqlalchemy.types import TypeEngine

from app.errors import InvalidField
from app.rules.notation import moment
from app.storage.column_types import DECIMALS, Exact, Instant, Json, Precise, significant

Parser = Callable[[str, Any], Any]

# HaloPSA and .NET write these for "no date"; clients post whole records back.
NO_DATES = frozenset({date(1899, 12, 30), date(1, 1, 1)})
# No invoice is older, and SQLite sorts instants as text of four-digit years.
YEAR_MIN = 1900
# PostgreSQL refuses index entries over 2704 bytes; this many characters always fit.
SHORT_TEXT_MAX = 255
# Decimal arithmetic keeps 28 digits, so a longer number would be rounded behind our back.
DIGITS_MAX = 28
# HaloPSA's own objects nest five deep; a value that is kept as it came must not exhaust a parser.
DEPTH_MAX = 32

_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)
_STRIPE_ID = re.compile(r"[\w-]+", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_NOTHING = frozenset({"", "undefined", "null"})
_WHOLE_MAX = 2**63 - 1
_LARGEST = Decimal(_WHOLE_MAX).scaleb(-DECIMALS)


def parser_of(kind: TypeEngine[Any]) -> Parser:
    """The parser of a column's type. A Field that takes less names a parser of its own."""
    parsers: tuple[tuple[type[TypeEngine[Any]], Parser], ...] = (
        (Exact, exact),
        (Precise, double),
        (Instant, instant),
        (Date, day),
        (Boolean, flag),
        (BigInteger, whole),  # an Integer too, so it comes first
        (Integer, small),
        (Json, nested),
    )
    return next((parse for one, parse in parsers if isinstance(kind, one)), text)


def flag(name: str, value: Any) -> bool | None:
    match value:
        case None | bool():
            return value
        case int() | str() if (word := str(value).strip().lower()) in _FLAGS:
            return _FLAGS[word]
        case str() if value.strip().lower() in _NOTHING:
            return None
    raise InvalidField(name, f"{_quoted(value)} is neither true nor false")


def exact(name: str, value: Any) -> Decimal | None:
    """A number with no more digits or decimals than we keep; nothing where nothing is written."""
    if value is None or _is_nothing(value):
        return None
    given = _decimal(name, value)
    if given != 0 and given.adjusted() < -DECIMALS:
        raise InvalidField(name, f"{_quoted(value)} has more than {DECIMALS} decimals")
    if abs(given) > _LARGEST:
        raise InvalidField(name, f"{_quoted(value)} is too large")
    if given != given.quantize(Decimal(1).scaleb(-DECIMALS)):
        raise InvalidField(name, f"{_quoted(value)} has more than {DECIMALS} decimals")
    return given


def double(name: str, value: Any) -> Decimal | None:
    """A number as HaloPSA's doubles hold it, rounded to 15 significant digits."""
    if value is None or _is_nothing(value):
        return None
    given = _decimal(name, value)
    if abs(given) > _LARGEST:
        raise InvalidField(name, f"{_quoted(value)} is too large")
    return significant(given)


def percentage(name: str, value: Any) -> Decimal | None:
    """A number from 0 to 100."""
    found = double(name, value)
    if found is not None and not 0 <= found <= 100:
        raise InvalidField(name, f"{found} is not a percentage from 0 to 100")
    return found


def _is_nothing(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in _NOTHING


def _decimal(name: str, value: Any) -> Decimal:
    match value:
        case bool():
            pass
        case int() if abs(value) < 10**DIGITS_MAX:
            return Decimal(value)
        case Decimal() if _fits(value):
            return value
        case str() if _NUMBER.fullmatch(value.strip()) and _fits(Decimal(value.strip())):
            return Decimal(value.strip())
    raise InvalidField(name, f"{_quoted(value)} is not a number we can keep")


def _fits(value: Decimal) -> bool:
    return (
        value.is_finite()
        and len(value.as_tuple().digits) <= DIGITS_MAX
        and abs(value.adjusted()) <= DIGITS_MAX
    )


def _whole(bits: int) -> Parser:
    largest = 2 ** (bits - 1) - 1

    def read(name: str, value: Any) -> int | None:
        if value is None or _is_nothing(value):
            return None
        given = _decimal(name, value)
        if given != given.to_integral_value():
            raise InvalidField(name, f"{_quoted(value)} is not a whole number")
        if abs(given) > largest:
            raise InvalidField(name, f"{_quoted(value)} is too large")
        return int(given)

    return read


whole = _whole(64)
small = _whole(32)


def reference(name: str, value: Any) -> int | None:
    """The id of another record. HaloPSA writes 0 or -1 for none, and clients post that back."""
    found: int | None = whole(name, value)
    return None if found in (0, -1) else found


def instant(name: str, value: Any) -> datetime | None:
    given = _datetime(name, value)
    if given is None:
        return None
    try:
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except OverflowError:
        raise InvalidField(name, f"{_quoted(value)} is not a date of our time") from None


def day(name: str, value: Any) -> date | None:
    """The day as it is written, whatever time and zone stand behind it."""
    given = _datetime(name, value)
    return None if given is None else given.date()


def _datetime(name: str, value: Any) -> datetime | None:
    if value is None or _is_nothing(value):
        return None
    if not isinstance(value, str):
        raise InvalidField(name, f"{_quoted(value)} is not a date")
    # A plus sign that nobody escaped in a URL arrives as a blank.
    written = value.strip().replace(" ", "+") if "T" in value else value.strip()
    try:
        given = datetime.fromisoformat(written)
    except ValueError:
        raise InvalidField(name, f"{_quoted(value)} is not an ISO 8601 date") from None
    if given.date() in NO_DATES:
        return None
    if given.year < YEAR_MIN:
        raise InvalidField(name, f"{_quoted(value)} is not a date of our time")
    return given


def text(name: str, value: Any) -> str | None:
    match value:
        case None:
            return None
        case str():
            return _storable(name, value)
        case int() | Decimal() if not isinstance(value, bool):
            return str(value)
    raise InvalidField(name, f"{_quoted(value)} is not text")


def short_text(name: str, value: Any) -> str | None:
    """Text of at most 255 characters: an index can hold it."""
    given = text(name, value)
    if given is not None and len(given) > SHORT_TEXT_MAX:
        raise InvalidField(name, f"is longer than {SHORT_TEXT_MAX} characters")
    return given


def stripe_id(name: str, value: Any) -> str | None:
    """An id of Stripe's, such as `cus_...`; clients write "" for none, as in every other id."""
    given = (short_text(name, value) or "").strip()
    if given and not _STRIPE_ID.fullmatch(given):
        raise InvalidField(name, "is no id of Stripe's")
    return given or None


def nested(name: str, value: Any) -> Any:
    """Any JSON, kept as it came. Nothing is computed from it, so its numbers are plain ones."""
    plain = _plain(name, value, DEPTH_MAX)
    try:
        orjson.dumps(plain)
    except TypeError:
        raise InvalidField(name, "holds a value that cannot be kept") from None
    return plain


def _plain(name: str, value: Any, depth: int) -> Any:
    if depth == 0:
        raise InvalidField(name, "is nested too deeply")
    match value:
        case Decimal():
            return float(_decimal(name, value))
        case list():
            return [_plain(name, one, depth - 1) for one in value]
        case dict():
            return {key: _plain(name, one, depth - 1) for key, one in value.items()}
    return value


def plain_number(name: str, value: Any) -> int | float | None:
    """A number from which nothing is computed: the digits that a JSON reader sees are enough."""
    if value is None or _is_nothing(value):
        return None
    given = _decimal(name, value)
    if given != given.to_integral_value():
        return float(given)
    if abs(given) > _WHOLE_MAX:  # no JSON writer of ours has more bits
        raise InvalidField(name, f"{_quoted(value)} is too large")
    return int(given)


def plain_moment(name: str, value: Any) -> str | None:
    """An instant that is only kept, as it is shown."""
    given = instant(name, value)
    return None if given is None else moment(given)


def exact_number(digits: str) -> Decimal:
    """A JSON number with all its digits; one that cannot be kept is NaN."""
    try:
        return Decimal(digits)
    except InvalidOperation:
        return Decimal("NaN")


def _storable(name: str, value: str) -> str:
    if "\0" in value:
        raise InvalidField(name, "holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidField(name, "holds half a character") from None
    return value


def _quoted(value: Any) -> str:
    """The caller's value, short enough for one line of an answer."""
    shown = str(value) if isinstance(value, Decimal) else ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."

"""The meanings of a text in the box: an id, a number, an amount, four digits, a name, filters."""

import re
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlencode

from app.console.language import find_decimal
from app.rules import money

TEXT_MAX = 200
_BIGINT_MAX = 2**63 - 1
_SYMBOLS = {"€": "eur", "£": "gbp", "$": "usd", "¥": "jpy"}
_AMOUNT = re.compile(r"([€£$¥])?\s*(\d[\d.,]*)\s*([a-z]{3})?", re.IGNORECASE)
_DAYS = re.compile(r"last(\d{1,3})days?")
# Words that filter, each with the state in the address of the list of payments.
STATE_WORDS = {
    "succeeded": "succeeded",
    "paid": "succeeded",
    "processing": "processing",
    "declined": "declined",
    "failed": "declined",
    "refunded": "refunded",
    "disputed": "disputed",
    "canceled": "canceled",
    "cancelled": "canceled",
    "unapplied": "unapplied",
}


class Amount(NamedTuple):
    """An amount that somebody looks for, in one currency or in any."""

    value: Decimal
    currency: str | None


class SearchTerms(NamedTuple):
    """All that a text may mean at once; 4242 is an amount, an invoice, and the end of a card."""

    text: str
    object_id: str | None = None
    number: int | None = None
    amount: Amount | None = None
    last_four: str | None = None
    email: str | None = None
    # The address of the list of payments that filter words ask for.
    filters: str | None = None


def search_terms(given: str) -> SearchTerms:
    text = given.strip()[:TEXT_MAX]
    prefix, underscore, rest = text.partition("_")
    is_id = bool(underscore and rest) and prefix.isascii() and prefix.isalpha() and " " not in text
    is_number = text.isascii() and text.isdigit() and int(text) <= _BIGINT_MAX
    return SearchTerms(
        text,
        object_id=text if is_id else None,
        number=int(text) if is_number else None,
        amount=None if is_id else _amount(text),
        last_four=text if is_number and len(text) == 4 else None,
        email=text if "@" in text and " " not in text else None,
        filters=None if is_id else _filters(text),
    )


def _amount(text: str) -> Amount | None:
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return None
    value = find_decimal(found[2])
    if value is None or not 0 < value < money.MINOR_MAX or value != round(value, 3):
        return None
    currency = _SYMBOLS.get(found[1]) if found[1] else found[3]
    return Amount(value, currency.lower() if currency else None)


def _filters(text: str) -> str | None:
    """`declined last7days client:acme amount:100`; None when a word filters nothing."""
    chosen: dict[str, str] = {}
    for word in text.lower().split():
        name, colon, value = word.partition(":")
        days = _DAYS.fullmatch(word)
        if days:
            chosen["days"] = days[1]
        elif word == "today":
            chosen["days"] = "1"
        elif word in STATE_WORDS:
            chosen["state"] = STATE_WORDS[word]
        elif colon and name in ("amount", "client", "currency", "invoice") and value:
            chosen[name] = value
        else:
            return None
    return f"/payments?{urlencode(chosen)}" if chosen else None

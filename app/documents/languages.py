"""Languages of documents: their words, and how each writes numbers, amounts and days."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from app.rules import money

_FOLDER = Path(__file__).with_name("languages")
LANGUAGES = tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))
DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Language:
    """A language's words by their keys, its separators and its pattern of a day."""

    code: str
    words: Mapping[str, str]
    decimal: str
    group: str
    day_pattern: str
    short_day_pattern: str
    money_pattern: str

    def number(self, value: Decimal) -> str:
        """The exact number, without trailing zeros: `1,234.5`."""
        return self._separated(money.plain(value))

    def amount(self, value: Decimal, currency: str) -> str:
        """The amount with its currency's decimals: `1,234.50`."""
        return self._separated(money.text(value, currency))

    def money(self, value: Decimal, currency: str) -> str:
        """The amount with its ISO code, `EUR 1,234.50`; no line is broken between them."""
        shown = self.amount(value, currency)
        return self.money_pattern.format(amount=shown, currency=currency.upper())

    def price(self, value: Decimal, currency: str) -> str:
        """A price with at least its currency's decimals, and with all that it has."""
        places = money.exponent(currency)
        is_short = value == value.quantize(Decimal(1).scaleb(-places))
        return self.amount(value, currency) if is_short else self.number(value)

    def percent(self, value: Decimal) -> str:
        return f"{self.number(value)}\u00a0%"

    def day(self, value: date) -> str:
        name = self.words[f"month_{value.month}"]
        return self.day_pattern.format(day=value.day, name=name, year=value.year)

    def short_day(self, value: date) -> str:
        return self.short_day_pattern.format(day=value.day, month=value.month, year=value.year)

    def period(self, value: tuple[date, date]) -> str:
        first, last = map(self.short_day, value)
        return first if first == last else f"{first} \u2013 {last}"

    def _separated(self, plain: str) -> str:
        whole, _, decimals = plain.partition(".")
        sign, digits = ("\u2212", whole[1:]) if whole.startswith("-") else ("", whole)
        grouped = f"{int(digits):,}".replace(",", self.group)
        return f"{sign}{grouped}{self.decimal}{decimals}" if decimals else f"{sign}{grouped}"


def language_of(*wanted: str) -> Language:
    """The first of the wanted languages that there is: `de` for `de-AT`; English otherwise."""
    codes = (one.replace("_", "-").split("-")[0].lower() for one in wanted)
    return _language(next((one for one in codes if one in LANGUAGES), DEFAULT))


@cache
def _language(code: str) -> Language:
    found = json.loads((_FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    return Language(
        code,
        found["words"],
        found["decimal"],
        found["group"],
        found["day"],
        found["short_day"],
        found["money"],
    )

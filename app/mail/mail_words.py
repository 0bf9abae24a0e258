"""The words of mail in each language, and how each writes amounts and days."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from babel.dates import format_date
from babel.numbers import format_currency

from app.errors import Unavailable

_FOLDER = Path(__file__).with_name("words")
MAIL_LANGUAGES = tuple(sorted(one.stem for one in _FOLDER.glob("*.json")))
DEFAULT = "en"
_WORDS_MAX = 256 * 1024


class BrokenMailFolder(Unavailable):
    """A file of the folder of mail cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class MailWords:
    """Texts by their keys; `$amount` and the like in a text stand for values."""

    language: str
    texts: Mapping[str, str]

    def has(self, key: str) -> bool:
        return key in self.texts

    def text(self, key: str, **values: str) -> str:
        """The text with its values; a name that has none is a fault of the words."""
        try:
            return Template(self.texts[key]).substitute(values)
        except (KeyError, ValueError) as error:
            raise BrokenMailFolder(f"the words of {key} in {self.language}: {error!r}") from None

    def money(self, amount: Decimal, currency: str) -> str:
        """`€1,234.50`, with every decimal that the amount has."""
        return format_currency(
            amount, currency.upper(), locale=self.language, decimal_quantization=False
        )

    def day(self, day: date) -> str:
        return format_date(day, "long", locale=self.language)

    def month(self, day: date) -> str:
        return format_date(day, "MMMM y", locale=self.language)


def mail_words(folder: str, *wanted: str | None) -> MailWords:
    """The words of the first wanted language that there is; the user's own stand before ours."""
    codes = ((one or "").replace("_", "-").split("-")[0].lower() for one in wanted)
    language = next((one for one in codes if one in MAIL_LANGUAGES), DEFAULT)
    texts = dict(_built_in(language))
    own = Path(folder) / f"{language}.json" if folder else None
    if own is not None and own.is_file():
        texts |= _texts_of(own)
    return MailWords(language, texts)


@cache
def _built_in(language: str) -> Mapping[str, str]:
    return _texts_of(_FOLDER / f"{language}.json")


def _texts_of(file: Path) -> dict[str, str]:
    try:
        with file.open("rb") as opened:
            found: Any = json.loads(opened.read(_WORDS_MAX))
    except (OSError, ValueError) as error:
        raise BrokenMailFolder(f"{file}: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise BrokenMailFolder(f"{file}: is no object whose values are texts")
    return found

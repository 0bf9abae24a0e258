"""The language of a page: its messages by gettext, its numbers and days as its readers write them.

Messages stand in the code in English. `_` and `ngettext` translate them where a page is made; a
message of a constant is marked by `N_` and is translated when it is shown. CONTRIBUTING.md says how
the catalogue is renewed.
"""

import re
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from babel import dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from markupsafe import Markup, escape

from app.control_characters import escape_controls

LOCALE = Path(__file__).with_name("locale")
# Languages that a person may choose, each by its own name.
LANGUAGES = {"en": "English", "de": "Deutsch"}
# What a person chooses who leaves it to the browser.
BY_BROWSER = "auto"
# Characters of Accept-Language that are read, and languages of them.
_HEADER_MAX = 200
_PLAIN = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_DIGITS_MAX = 40

_current: ContextVar[str] = ContextVar("language", default="en")


class DayPatterns(NamedTuple):
    """How a language writes a day, in CLDR's letters; `year` follows where it is another one."""

    short: str
    long: str
    month: str
    year: str = " y"


_PATTERNS = {
    "en": DayPatterns("EEE d MMM", "EEEE d MMMM", "d MMM"),
    "de": DayPatterns("EEE, d. MMM", "EEEE, d. MMMM", "d. MMM"),
}


# --- the language of a request -----------------------------------------------------------------


def use_language(chosen: str, accept_language: str) -> None:
    """The page of this request is in the language chosen, else in the first that is accepted."""
    _current.set(chosen if chosen in LANGUAGES else preferred_language(accept_language))


def current_language() -> str:
    """The code of the page's language, as `lang` of its HTML."""
    return _current.get()


def preferred_language(accept_language: str) -> str:
    """The language that Accept-Language prefers among ours; English where it names none."""
    wanted: list[tuple[float, str]] = []
    for part in accept_language[:_HEADER_MAX].split(","):
        tag, _, parameter = part.strip().partition(";")
        language = tag.partition("-")[0].lower()
        weight = _weight(parameter)
        if language in LANGUAGES and weight > 0:
            wanted.append((weight, language))
    # The first of those that weigh the same.
    return max(wanted, key=lambda one: one[0], default=(0, "en"))[1]


def _weight(parameter: str) -> float:
    """The part behind the semicolon, `q=0.8`; one without it weighs 1, one that is no weight 0."""
    name, _, given = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        weight = float(given)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


# --- messages ----------------------------------------------------------------------------------


@cache
def catalogue(language: str) -> NullTranslations:
    """The messages of a language, read from its .po file once; of English those of the code."""
    path = LOCALE / language / "LC_MESSAGES" / "console.po"
    if not path.exists():
        return NullTranslations()
    with path.open("rb") as file:
        messages = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)


def load_catalogues() -> None:
    """Reads the catalogues before the first page asks for one, which takes a moment."""
    for language in LANGUAGES:
        catalogue(language)


def _(message: str, **values: object) -> str:
    """The message in the page's language, with `%(name)s` for each value."""
    text = _translated(message)
    return text % values if values else text


def ngettext(singular: str, plural: str, number: int, **values: object) -> str:
    """The message for one or for many; `%(num)s` is the number as the language writes it."""
    text: str = catalogue(_current.get()).ngettext(singular, plural, number)
    return text % {"num": number_text(number), **values}


class LazyText(str):
    """A message that is translated when it is shown; compared and sliced it is as in the code."""

    __slots__ = ()

    def __str__(self) -> str:
        return _translated(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def N_(message: str) -> LazyText:  # noqa: N802 - gettext's own name for a mark of extraction
    """A message of a constant, which outlives the request that shows it."""
    return LazyText(message)


class Plural(NamedTuple):
    """A message for one and for many, of a constant: `%(num)s payment`, `%(num)s payments`."""

    singular: str
    plural: str

    def of(self, number: int) -> str:
        return ngettext(self.singular, self.plural, number)


def plural_(singular: str, plural: str) -> Plural:
    """A message of a constant, with its plural, marked for extraction as by `N_`."""
    return Plural(singular, plural)


def _translated(message: str) -> str:
    plain = str.__str__(message)
    # The empty message is the catalogue's own header.
    text: str = catalogue(_current.get()).gettext(plain) if plain else ""
    return text


# --- messages in templates ---------------------------------------------------------------------


def visible(value: object) -> object:
    """Text of others on one line, in which no character steers: none turns a name around."""
    if type(value) is str:
        return escape_controls(value)
    return str(value) if isinstance(value, LazyText) else value


def template_gettext(message: str, **values: object) -> Markup:
    """The message as markup; its values are escaped as those that a template shows by itself."""
    return _as_markup(_translated(message), values)


def template_ngettext(singular: str, plural: str, num: int, **values: object) -> Markup:
    text: str = catalogue(_current.get()).ngettext(singular, plural, num)
    return _as_markup(text, {**values, "num": number_text(num)})


def _as_markup(text: str, values: dict[str, Any]) -> Markup:
    shown = {name: escape(visible(value)) for name, value in values.items()}
    return Markup(text % shown if shown else text)  # noqa: S704 - each value is escaped above


# --- numbers and days --------------------------------------------------------------------------


@cache
def separators(language: str) -> tuple[str, str]:
    """The marks between thousands, and before decimals."""
    return numbers.get_group_symbol(language), numbers.get_decimal_symbol(language)


def number_text(number: int) -> str:
    """`1,204`, and `1.204` in German."""
    return f"{number:,}".replace(",", separators(_current.get())[0])


def decimal_text(plain: str) -> str:
    """A plain decimal number such as `1204.50` as the language writes it."""
    whole, point, fraction = plain.partition(".")
    mark = separators(_current.get())[1] if point else ""
    return f"{number_text(int(whole))}{mark}{fraction}"


def read_decimal(text: str) -> Decimal | None:
    """The number that the page's language writes so; None for one that it could not mean.

    `1.204` is a thousand and more in German and little more than one in English: what the language
    would write otherwise is refused, so that no amount is read as another.
    """
    if len(text) > _DIGITS_MAX:
        return None
    try:
        return numbers.parse_decimal(text.strip(), locale=_current.get(), strict=True)
    except numbers.NumberFormatError:
        return None


def find_decimal(text: str) -> Decimal | None:
    """The number to look for: as the language writes it, else as a program does, in an address.

    For money that moves it is too kind: use `read_decimal`.
    """
    found = read_decimal(text)
    if found is None and _PLAIN.fullmatch(text):
        return Decimal(text)
    return found


def day_text(day: date) -> str:
    """`Sat 28 Nov`"""
    return _day(day, _patterns().short)


def day_text_with_year(day: date) -> str:
    return _day(day, _patterns().short + _patterns().year)


def long_day_text(day: date) -> str:
    """`Thursday 26 November`"""
    return _day(day, _patterns().long)


def long_day_text_with_year(day: date) -> str:
    return _day(day, _patterns().long + _patterns().year)


def month_day_text(day: date) -> str:
    """`26 Nov`"""
    return _day(day, _patterns().month)


def month_day_text_with_year(day: date) -> str:
    return _day(day, _patterns().month + _patterns().year)


def _patterns() -> DayPatterns:
    return _PATTERNS[_current.get()]


def _day(day: date, pattern: str) -> str:
    plain = day.date() if isinstance(day, datetime) else day
    return dates.format_date(plain, pattern, locale=_current.get())

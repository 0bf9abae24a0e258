"""Names of companies and people as they are written in two systems, compared word by word.

Two names agree when each word of one has its word in the other. How alike two spellings are is
RapidFuzz's ratio (edit distance without substitutions, 0 to 100).
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz import fuzz

# Two spellings of one word: `Stanhope` and `Stanhop` have 93, `North` and `South` 60.
WORD_ALIKE_MIN = 85
# A typing error in a word of up to four letters makes it another word: `Acme` and `Acne`.
_SHORT_WORD = 4

# Legal forms by their spellings, without dots. Two forms are two companies: an Acme GmbH is often
# owned by an Acme AG.
_FORMS = {
    "ag": "ag", "aktiengesellschaft": "ag", "gmbh": "gmbh", "mbh": "gmbh", "ug": "ug", "kg": "kg",
    "kgaa": "kgaa", "ohg": "ohg", "gbr": "gbr", "eg": "eg", "ev": "ev", "ek": "ek", "se": "se",
    "ltd": "ltd", "limited": "ltd", "pty": "pty", "plc": "plc", "llp": "llp", "lp": "lp",
    "llc": "llc", "inc": "inc", "incorporated": "inc", "corp": "corp", "corporation": "corp",
    "co": "co", "company": "co", "cie": "co", "sarl": "sarl", "sas": "sas", "sasu": "sas",
    "sa": "sa", "eurl": "eurl", "sl": "sl", "slu": "sl", "srl": "srl", "spa": "spa", "bv": "bv",
    "nv": "nv", "bvba": "bv", "vof": "vof", "ab": "ab", "as": "as", "asa": "asa", "aps": "aps",
    "oy": "oy", "oyj": "oyj", "zoo": "zoo", "sp": "zoo", "kft": "kft", "sro": "sro", "doo": "doo",
    "lda": "lda", "pc": "pc", "pllc": "pllc",
}  # fmt: skip
_JOINING = frozenset("the and und et y e en of von de der des di da".split())
# Letters that have no mark to take off. The umlauts are spelt with an e where marks are missing.
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ł": "l",
        "\u0131": "i",
    }
)
_DIGRAPHS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_INITIALS = re.compile(r"\b(?:\w[./]\s?){1,4}\w\b\.?")
_WORD = re.compile(r"\w+")


class CompanyName(NamedTuple):
    """A name's words in order, its legal forms, and whether one word mixes alphabets."""

    words: tuple[str, ...]
    forms: frozenset[str]
    mixes_scripts: bool


@lru_cache(maxsize=200_000)
def spellings(name: str) -> tuple[CompanyName, ...]:
    """The name without marks, and, where it has umlauts, with them spelt out. None has no words."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
    text = "".join(one for one in text if unicodedata.category(one) != "Cf")
    plain, spelt = _parsed(text), _parsed(text.translate(_DIGRAPHS))
    return tuple(one for one in dict.fromkeys((plain, spelt)) if one.words)


def is_same(one: str, other: str) -> bool:
    """Whether both names have the same words in the same order, and the same legal forms."""
    return any(
        (a.words, a.forms) == (b.words, b.forms) and not a.mixes_scripts and not b.mixes_scripts
        for a in spellings(one)
        for b in spellings(other)
    )


def agree(one: str, other: str) -> bool:
    """Whether both may be spellings of one name; a legal form that only one has says nothing."""
    return any(_agree(a, b) for a in spellings(one) for b in spellings(other))


def likeness(one: str, other: str) -> int:
    """How alike two names are, in percent, whatever the order of their words."""
    scores = (
        fuzz.token_sort_ratio(" ".join(a.words), " ".join(b.words))
        for a in spellings(one)
        for b in spellings(other)
    )
    return int(max(scores, default=0))


def _parsed(text: str) -> CompanyName:
    bare = "".join(
        one
        for one in unicodedata.normalize("NFKD", text.translate(_LETTERS))
        if not unicodedata.combining(one)
    )
    joined = _INITIALS.sub(lambda found: re.sub(r"[./\s]", "", found[0]), bare.replace("’", "'"))
    words = [one for one in _WORD.findall(joined.replace("'", "")) if one not in _JOINING]
    forms = set()
    # Only behind a name: `AG Solutions` begins with its name, and `Limited` alone is one.
    while len(words) > 1 and words[-1] in _FORMS:
        forms.add(_FORMS[words.pop()])
    return CompanyName(tuple(words), frozenset(forms), any(map(_mixes_scripts, words)))


def _mixes_scripts(word: str) -> bool:
    """A Latin word with a Cyrillic letter in it looks like another one and is not."""
    scripts = {unicodedata.name(one, "").partition(" ")[0] for one in word if one.isalpha()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}) > 1


def _agree(one: CompanyName, other: CompanyName) -> bool:
    if one.mixes_scripts or other.mixes_scripts or len(one.words) != len(other.words):
        return False
    if one.forms and other.forms and one.forms != other.forms:
        return False
    return all(map(_is_one_word, sorted(one.words), sorted(other.words)))


def _is_one_word(one: str, other: str) -> bool:
    if one == other:
        return True
    if min(len(one), len(other)) <= _SHORT_WORD or _digits(one) != _digits(other):
        return False
    return fuzz.ratio(one, other) >= WORD_ALIKE_MIN


def _digits(word: str) -> str:
    return "".join(one for one in word if one.isdigit())

"""The catalogue of messages: all that the console says, and all of it in each language.

    python -m tests.console.test_catalogue      brings the catalogue in line with the code

New messages then stand there without a text, and the test names them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

from app.console.language import LANGUAGES, LOCALE

CONSOLE = LOCALE.parent
KEYWORDS = {**DEFAULT_KEYWORDS, "plural_": (1, 2), "N_": None, "_": None}
TRANSLATED = [one for one in LANGUAGES if one != "en"]
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_MARKUP = re.compile(r"</?\w+>")
_WIDTH = 100


def _path(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "console.po"


def _extracted() -> Catalog:
    with (LOCALE / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found = Catalog(project="Paydue", charset="utf-8", fuzzy=False)
    for _, _, message, comments, context in extract_from_dir(
        CONSOLE, methods, options, KEYWORDS, strip_comment_tags=True
    ):
        found.add(message, context=context, auto_comments=comments)
    return found


def _stored(language: str) -> Catalog:
    with _path(language).open("rb") as file:
        return read_po(file, locale=language)


def _messages(catalogue: Catalog) -> Iterator[Message]:
    return (one for one in catalogue if one.id)


def _texts(one: Message) -> list[str]:
    return [one.string] if isinstance(one.string, str) else list(one.string)


def _sources(one: Message) -> list[str]:
    return [one.id] if isinstance(one.id, str) else list(one.id)


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_catalogue_has_what_the_code_says_and_nothing_else(language: str) -> None:
    said = {one.id for one in _messages(_extracted())}
    stored = {one.id for one in _messages(_stored(language))}

    assert len(said) > 500, "the extraction reads the code"
    assert said - stored == set(), "python -m tests.console.test_catalogue, then translate"
    assert stored - said == set(), "python -m tests.console.test_catalogue"


@pytest.mark.parametrize("language", TRANSLATED)
def test_each_message_has_a_text_in_each_language(language: str) -> None:
    catalogue = _stored(language)
    without = [one.id for one in _messages(catalogue) if one.fuzzy or not all(_texts(one))]

    assert without == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_keeps_placeholders_markup_and_the_blanks_at_its_ends(language: str) -> None:
    wrong = []
    for one in _messages(_stored(language)):
        source = _sources(one)[-1]
        for text in _texts(one):
            is_like = (
                set(_PLACEHOLDER.findall(text)) == set(_PLACEHOLDER.findall(source))
                and sorted(_MARKUP.findall(text)) == sorted(_MARKUP.findall(source))
                and text[:1].isspace() == source[:1].isspace()
                and text[-1:].isspace() == source[-1:].isspace()
            )
            if not is_like:
                wrong.append((source, text))

    assert wrong == []


def renew() -> None:
    """Messages that are new are added without a text; those that are gone go."""
    said = _extracted()
    for language in TRANSLATED:
        catalogue = _stored(language)
        said.creation_date = catalogue.creation_date
        catalogue.update(said, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        with _path(language).open("wb") as file:
            write_po(file, catalogue, width=_WIDTH, no_location=True, sort_output=True,
                     omit_header=False, ignore_obsolete=True)  # fmt: skip


if __name__ == "__main__":
    renew()

"""Scripts whose letters would be printed as boxes are named."""

import pytest

from app.documents.printer import typst_process
from app.documents.script_fonts import scripts_without_font

NOTO = ["Noto Sans CJK JP", "Noto Sans Thai", "Noto Sans Devanagari UI", "Noto Color Emoji"]


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        (NOTO, []),
        (NOTO[1:], ["Chinese, Japanese and Korean"]),
        (NOTO[:1], ["Thai", "Devanagari", "emoji"]),
        (["Loma", "Mangal", "IPAGothic", "Noto Emoji"], []),
        ([], ["Chinese, Japanese and Korean", "Thai", "Devanagari", "emoji"]),
        (["My Noto Sans Thai"], ["Chinese, Japanese and Korean", "Thai", "Devanagari", "emoji"]),
    ],
)
def test_scripts_without_a_known_font_are_named(families: list[str], expected: list[str]) -> None:
    assert scripts_without_font(families) == expected


def test_the_fonts_of_the_wheel_are_among_those_that_print() -> None:
    assert "Paydue Sans" in typst_process().families()

"""Every script is seen in a picture of its line, and read back as text in the right order.

A picture is kept as text, a character for the ink of a block, so that a person sees a letter that
is lost and a review sees what changed. After a change that is meant, PAYDUE_KEEP_PICTURES=1 writes
the kept ones anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pypdfium2
import pytest

from app.documents.printer import typst_process
from app.documents.script_fonts import scripts_without_font
from tests.documents.samples import invoice, line, printed

KEPT = Path(__file__).parent / "pictures"
# Scripts of the wheel's own fonts. Those that are written to the left stand in their order of
# reading, whatever the page does with them.
OURS = {
    "latin": "Größe naïve Łódź ßẞ",
    "greek": "Καλημέρα κόσμε",
    "cyrillic": "Привет, їжак",
    "arabic": "مرحبا بالعالم",
    "hebrew": "שלום עולם",
    "symbols": "12 € → ✓ □",
}
# Scripts that need a font of the machine's: their names in doctor's line, and some letters.
OTHERS = {
    "Chinese, Japanese and Korean": "請求書 カナ 한국어",
    "Thai": "สวัสดี",
    "Devanagari": "नमस्ते",
    "emoji": "🎉🚀",
}
BOX = "□"
INK = " .:-=+*#%@"
# Blocks of a picture, and the pixels of one; a page is rendered at four times its points.
COLUMNS, ROWS, SCALE = 60, 8, 4
# The mean difference of two pictures, in steps of INK. Another letter makes a whole one.
TOLERATED = 0.35

CharBox = tuple[float, float, float, float]


def picture_of(content: bytes, text: str) -> str:
    """The ink of the place on the first page where this text stands."""
    document = pypdfium2.PdfDocument(content)
    try:
        page = document[0]
        left, bottom, right, top = box_of(page.get_textpage(), text)
        bitmap = page.render(scale=SCALE, grayscale=True)
        height = bitmap.height
        rows = range(int(height - top * SCALE), int(height - bottom * SCALE))
        columns = range(int(left * SCALE), int(right * SCALE))
        pixels, stride = bytes(bitmap.buffer), bitmap.stride
        return "\n".join(
            "".join(
                INK[min(9, int(10 * ink(pixels, stride, down, across)))]
                for across in parts(columns, COLUMNS)
            )
            for down in parts(rows, ROWS)
        )
    finally:
        document.close()


def box_of(page: pypdfium2.PdfTextPage, text: str) -> CharBox:
    found = page.search(text).get_next()
    assert found is not None, f"{text!r} is not on the page, or not in this order"
    first, count = found
    boxes = [page.get_charbox(at) for at in range(first, first + count)]
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def parts(whole: range, count: int) -> Iterator[range]:
    """The range in so many parts, none of which is empty."""
    for at in range(count):
        first = whole.start + len(whole) * at // count
        yield range(first, max(first + 1, whole.start + len(whole) * (at + 1) // count))


def ink(pixels: bytes, stride: int, rows: range, columns: range) -> float:
    return mean(1 - pixels[row * stride + column] / 255 for row in rows for column in columns)


def difference(one: str, other: str) -> float:
    if len(one) != len(other):
        return len(INK)
    levels = [abs(INK.find(a) - INK.find(b)) for a, b in zip(one, other, strict=True)]
    return mean(levels)


@pytest.mark.parametrize("script", OURS)
def test_a_script_looks_as_it_is_kept_and_reads_as_it_was_written(script: str) -> None:
    text = OURS[script]

    shown = picture_of(printed(invoice([line("1.00", text)])), text)

    kept = KEPT / f"{script}.txt"
    if os.environ.get("PAYDUE_KEEP_PICTURES"):
        KEPT.mkdir(exist_ok=True)
        kept.write_text(f"{shown}\n")
    assert shown.strip(), "nothing is printed"
    assert difference(shown, kept.read_text().removesuffix("\n")) <= TOLERATED, f"\n{shown}"


def test_another_letter_makes_another_picture() -> None:
    """The pictures can tell: a lost accent's neighbour would not pass for the word."""
    written = picture_of(printed(invoice([line("1.00", "Привет, їжак")])), "Привет, їжак")
    others = {name: (KEPT / f"{name}.txt").read_text().removesuffix("\n") for name in OURS}

    close = [name for name, kept in others.items() if difference(written, kept) <= TOLERATED]

    assert close == ["cyrillic"]


@pytest.mark.parametrize("script", OTHERS)
def test_a_letter_without_a_font_is_a_box_that_is_seen_and_named(script: str) -> None:
    text = OTHERS[script]
    lacks_font = script in scripts_without_font(typst_process().families())

    content = printed(invoice([line("1.00", f"A {text} Z")]))

    shown = "".join(BOX if lacks_font and not letter.isspace() else letter for letter in text)
    picture = picture_of(content, f"A {shown} Z")
    columns = ["".join(column) for column in zip(*picture.split("\n"), strict=True)]
    seen = sum(1 for column in columns if column.strip())
    assert seen > COLUMNS / 2, f"\n{picture}"
    missing = typst_process().missing
    assert lacks_font == all(letter in missing for letter in text if not letter.isspace())

"""The scripts that the wheel's own fonts lack, and font families that are known to have them."""

from collections.abc import Collection

# Beginnings of families: Noto, and those that Debian's and other systems' packages bring besides.
_FAMILIES = {
    "Chinese, Japanese and Korean": (
        "Noto Sans CJK", "Noto Serif CJK", "Noto Sans SC", "Noto Sans JP", "WenQuanYi",
        "Droid Sans Fallback", "IPA", "Source Han", "PingFang", "Microsoft YaHei",
    ),
    "Thai": ("Noto Sans Thai", "Noto Serif Thai", "Loma", "Garuda", "Thonburi", "Leelawadee"),
    "Devanagari": (
        "Noto Sans Devanagari", "Noto Serif Devanagari", "Lohit Devanagari", "Kohinoor Devanagari",
        "Mangal", "Nirmala",
    ),
    "emoji": ("Noto Color Emoji", "Noto Emoji", "Apple Color Emoji", "Segoe UI Emoji"),
}  # fmt: skip


def scripts_without_font(families: Collection[str]) -> list[str]:
    """The scripts of which no known font is there; their letters are printed as boxes."""
    return [
        script
        for script, known in _FAMILIES.items()
        if not any(family.startswith(known) for family in families)
    ]

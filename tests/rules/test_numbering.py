"""Invoice numbers by their pattern."""

import pytest
from pydantic import ValidationError

from app.rules.numbering import NumberPattern, candidate
from app.settings import Settings


@pytest.mark.parametrize(
    ("pattern", "series", "number"),
    [
        ("INV-{year}-{number:5}", "INV-2026-{number}", "INV-2026-00042"),
        ("{number}", "{number}", "42"),
        ("R{number:2}/A", "R{number}/A", "R42/A"),
        ("{year}{number:18}", "2026{number}", "2026000000000000000042"),
    ],
)
def test_a_number_is_written_by_its_pattern(pattern: str, series: str, number: str) -> None:
    assert Settings(_env_file=None, PAYDUE_INVOICE_NUMBER=pattern).invoice_number == pattern
    assert NumberPattern(pattern).series(2026) == series
    assert NumberPattern(pattern).number(2026, 42) == number


@pytest.mark.parametrize(
    "pattern",
    ["INV-", "{year}", "{number}{number}", "{number:0}", "{number:19}", "{NUMBER}", "{number",
     "{number}{year}", "{year}{year}{number}", "{{number}}", f"{'x' * 41}{{number}}"],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="PAYDUE_INVOICE_NUMBER"):
        Settings(_env_file=None, PAYDUE_INVOICE_NUMBER=pattern)


def test_an_id_that_somebody_has_typed_gets_a_count() -> None:
    assert [candidate(7, attempt) for attempt in range(3)] == ["7", "7-1", "7-2"]

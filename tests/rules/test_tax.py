"""Which tax applies."""

import pytest

from app.rules.tax import Condition, Fact, Rule, chosen, tax_id

BOOKS = Condition(Fact.ITEM_CODE, frozenset({"book", "map"}))
ADA = Condition(Fact.CLIENT, frozenset({"7"}))
FACTS = {Fact.CLIENT: "7", Fact.ITEM_CODE: "book"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([Rule(1, 0, 5)], 5),
        ([Rule(1, 2, 5), Rule(2, 1, 6)], 6),
        ([Rule(2, 1, 6), Rule(1, 1, 5)], 5),
        ([Rule(1, 0, 5, (BOOKS,))], 5),
        ([Rule(1, 0, 5, (BOOKS, ADA))], 5),
        ([Rule(1, 0, 5, (BOOKS, Condition(Fact.CLIENT, frozenset({"8"})))), Rule(2, 9, 6)], 6),
        ([Rule(1, 0, 5, (Condition(99, frozenset({"7"})),))], None),
        ([Rule(1, 0, 5, (Condition(None, frozenset({"7"})),))], None),
        ([Rule(1, 0, 5, (Condition(Fact.CLIENT, frozenset()),))], None),
        ([Rule(1, 0, 5, (Condition(Fact.SITE, frozenset({"7"})),))], None),
    ],
)
def test_the_first_rule_whose_conditions_all_hold_applies(
    rules: list[Rule], expected: int | None
) -> None:
    assert chosen(rules, FACTS) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [("5", 5), (" 5 ", 5), ("", None), (None, None), ("GST", None), ("-5", None), ("5.0", None),
     ("9" * 19, None), ("\u0665", None)],
)  # fmt: skip
def test_a_tax_code_is_an_id_or_somebody_elses_code(code: str | None, expected: int | None) -> None:
    assert tax_id(code) == expected

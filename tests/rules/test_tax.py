"""Which tax applies."""

import pytest

from app.rules.tax import TaxCondition, TaxFact, TaxRuleTerms, explanation, matching_rule, tax_id

BOOKS = TaxCondition(TaxFact.ITEM_CODE, frozenset({"book", "map"}))
ADA = TaxCondition(TaxFact.CLIENT, frozenset({"7"}))
FACTS = {TaxFact.CLIENT: "7", TaxFact.ITEM_CODE: "book"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([TaxRuleTerms(1, 0, 5)], 5),
        ([TaxRuleTerms(1, 2, 5), TaxRuleTerms(2, 1, 6)], 6),
        ([TaxRuleTerms(2, 1, 6), TaxRuleTerms(1, 1, 5)], 5),
        ([TaxRuleTerms(1, 0, 5, (BOOKS,))], 5),
        # Of one sequence the more specific wins, however old the general one is.
        ([TaxRuleTerms(1, 1, 5), TaxRuleTerms(2, 1, 6, (BOOKS,))], 6),
        ([TaxRuleTerms(1, 1, 5, (BOOKS,)), TaxRuleTerms(2, 1, 6, (BOOKS, ADA))], 6),
        ([TaxRuleTerms(1, 0, 5), TaxRuleTerms(2, 1, 6, (BOOKS, ADA))], 5),
        ([TaxRuleTerms(1, 0, 5, (BOOKS, ADA))], 5),
        (
            [
                TaxRuleTerms(1, 0, 5, (BOOKS, TaxCondition(TaxFact.CLIENT, frozenset({"8"})))),
                TaxRuleTerms(2, 9, 6),
            ],
            6,
        ),
        ([TaxRuleTerms(1, 0, 5, (TaxCondition(99, frozenset({"7"})),))], None),
        ([TaxRuleTerms(1, 0, 5, (TaxCondition(None, frozenset({"7"})),))], None),
        ([TaxRuleTerms(1, 0, 5, (TaxCondition(TaxFact.CLIENT, frozenset()),))], None),
        ([TaxRuleTerms(1, 0, 5, (TaxCondition(TaxFact.SITE, frozenset({"7"})),))], None),
    ],
)
def test_the_first_rule_whose_conditions_all_hold_applies(
    rules: list[TaxRuleTerms], expected: int | None
) -> None:
    found = matching_rule(rules, FACTS)

    assert (found.tax_id if found else None) == expected


def test_the_reason_of_a_tax_names_the_rule_and_the_facts_that_it_tests() -> None:
    assert explanation(TaxRuleTerms(3, 1, 5, (BOOKS, ADA)), FACTS) == (
        "rule 3, sequence 1: client 7, item_code book"
    )
    assert explanation(TaxRuleTerms(3, 0, 5), FACTS) == "rule 3, sequence 0: no condition"


def test_a_condition_is_stored_with_the_documented_number_of_its_subject() -> None:
    numbers = {one.name: one.value for one in TaxFact}

    assert numbers == {"CLIENT": 1, "SITE": 2, "ITEM_CODE": 3, "NOMINAL_CODE": 4, "CURRENCY": 5}


@pytest.mark.parametrize(
    ("code", "expected"),
    [("5", 5), (" 5 ", 5), ("", None), (None, None), ("GST", None), ("-5", None), ("5.0", None),
     ("9" * 18, 10**18 - 1), ("9" * 19, None), ("\u0665", None)],
)  # fmt: skip
def test_a_tax_code_is_an_id_or_somebody_elses_code(code: str | None, expected: int | None) -> None:
    assert tax_id(code) == expected

"""Which tax applies."""

import pytest

from app.rules.tax import (
    TaxCondition,
    TaxFact,
    TaxRuleTerms,
    explanation,
    is_within,
    matching_rule,
    tax_id,
)

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

    assert numbers == {"CLIENT": 1, "SITE": 2, "ITEM_CODE": 3, "NOMINAL_CODE": 4, "CURRENCY": 5,
                       "COUNTRY": 6, "VAT_NUMBER": 7, "TAX_POINT": 8}  # fmt: skip


# Germany's standard rate was 16 percent from July to December 2020 and 19 percent before and after
# (section 28 of its Umsatzsteuergesetz).
GERMANY = [
    TaxRuleTerms(1, 1, 19),
    TaxRuleTerms(
        2, 1, 16, (TaxCondition(TaxFact.TAX_POINT, frozenset({"2020-07-01/2020-12-31"})),)
    ),
]


@pytest.mark.parametrize(
    ("day", "rate"),
    [("2020-06-30", 19), ("2020-07-01", 16), ("2020-12-31", 16), ("2021-01-01", 19), ("", 19)],
)
def test_a_rate_is_that_of_its_tax_point(day: str, rate: int) -> None:
    found = matching_rule(GERMANY, {TaxFact.TAX_POINT: day} if day else {})

    assert found is not None
    assert found.tax_id == rate


@pytest.mark.parametrize(
    ("day", "interval", "expected"),
    [
        ("2027-01-01", "2027-01-01/", True),
        ("2026-12-31", "2027-01-01/", False),
        ("2027-01-01", "/2027-01-01", True),
        ("2027-01-02", "/2027-01-01", False),
        ("2027-01-01", " 2027-01-01/2027-01-01 ", True),
        ("2027-01-01", "/", False),
        ("2027-01-01", "2027-01-01", False),
        ("2027-01-01", "2026-02-30/", False),
        ("2027-01-01", "20260101/", False),
        ("2027-01-01", "2026-01-01/2028-01-01/", False),
        ("", "2026-01-01/", False),
    ],
)
def test_a_day_lies_between_two_others(day: str, interval: str, expected: bool) -> None:
    assert is_within(day, interval) == expected


# Articles 138, 146 and 196 of Directive 2006/112/EC: goods to a business of another member state,
# goods that leave the Union, services to a business of another member state.
UNION = frozenset({"at", "be", "fr"})
HOME_RATE, REVERSED, EXPORTED = 1, 2, 3
GERMAN_SELLER = [
    TaxRuleTerms(1, 9, HOME_RATE),
    TaxRuleTerms(2, 2, REVERSED, (TaxCondition(TaxFact.COUNTRY, UNION),
                                  TaxCondition(TaxFact.VAT_NUMBER, frozenset({"yes"})))),
    TaxRuleTerms(3, 1, HOME_RATE, (TaxCondition(TaxFact.COUNTRY, frozenset({"de"})),)),
    TaxRuleTerms(4, 3, HOME_RATE, (TaxCondition(TaxFact.COUNTRY, UNION),)),
    TaxRuleTerms(5, 4, EXPORTED, (TaxCondition(TaxFact.VAT_NUMBER, frozenset({"yes", "no"})),)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("country", "number", "tax"),
    [("de", "yes", HOME_RATE), ("fr", "yes", REVERSED), ("fr", "no", HOME_RATE),
     ("us", "no", EXPORTED), (None, None, HOME_RATE)],
)  # fmt: skip
def test_the_buyers_country_and_number_decide_who_owes_the_tax(
    country: str | None, number: str | None, tax: int
) -> None:
    facts = {TaxFact.COUNTRY: country, TaxFact.VAT_NUMBER: number}
    found = matching_rule(GERMAN_SELLER, {name: one for name, one in facts.items() if one})

    assert found is not None
    assert found.tax_id == tax


@pytest.mark.parametrize(
    ("code", "expected"),
    [("5", 5), (" 5 ", 5), ("", None), (None, None), ("GST", None), ("-5", None), ("5.0", None),
     ("9" * 18, 10**18 - 1), ("9" * 19, None), ("\u0665", None)],
)  # fmt: skip
def test_a_tax_code_is_an_id_or_somebody_elses_code(code: str | None, expected: int | None) -> None:
    assert tax_id(code) == expected

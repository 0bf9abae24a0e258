"""The tax of a line that names none: that of the first rule all of whose conditions hold.

Of rules with one sequence the more specific, which has more conditions, is the first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import IntEnum


class TaxFact(IntEnum):
    """TaxRuleConditions.value_type: the fact a condition tests. HaloPSA's codes are unknown."""

    CLIENT = 1
    SITE = 2
    ITEM_CODE = 3
    NOMINAL_CODE = 4
    CURRENCY = 5
    COUNTRY = 6
    VAT_NUMBER = 7
    TAX_POINT = 8


@dataclass(frozen=True, slots=True)
class TaxCondition:
    """A condition holds when the fact it tests is one of its values, compared in lower case.

    The values of a tax point are intervals of days, `2027-01-01/2027-12-31`; an end may be empty.
    """

    tested: int | None
    values: frozenset[str]

    def holds(self, facts: Mapping[TaxFact, str]) -> bool:
        if self.tested == TaxFact.TAX_POINT:
            day = facts.get(TaxFact.TAX_POINT, "")
            return any(is_within(day, interval) for interval in self.values)
        return any(self.tested == one and fact in self.values for one, fact in facts.items())


@dataclass(frozen=True, slots=True)
class TaxRuleTerms:
    id: int
    sequence: int
    tax_id: int
    conditions: tuple[TaxCondition, ...] = ()


def matching_rule(
    rules: Iterable[TaxRuleTerms], facts: Mapping[TaxFact, str]
) -> TaxRuleTerms | None:
    """The first rule that fits: by sequence, by the number of conditions, by age."""
    for rule in sorted(rules, key=lambda one: (one.sequence, -len(one.conditions), one.id)):
        if all(condition.holds(facts) for condition in rule.conditions):
            return rule
    return None


def is_interval(value: str) -> bool:
    """Whether it is two days of ISO 8601, `2027-01-01/2027-12-31`; one of them may be empty."""
    days = value.strip().split("/")
    return len(days) == 2 and any(days) and all(not one or _is_day(one) for one in days)


def is_within(day: str, interval: str) -> bool:
    """Whether a day of ISO 8601 lies in such an interval, whose ends belong to it."""
    if not day or not is_interval(interval):
        return False
    first, last = interval.strip().split("/")
    return first <= day and (not last or day <= last)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def explanation(rule: TaxRuleTerms, facts: Mapping[TaxFact, str]) -> str:
    """The reason why a rule fits, for whoever asks later which tax a line has."""
    held = [
        f"{fact.name.lower()} {facts[fact]}"
        for fact in TaxFact
        if any(condition.tested == fact for condition in rule.conditions)
    ]
    return f"rule {rule.id}, sequence {rule.sequence}: {', '.join(held) or 'no condition'}"


def tax_id(code: str | None) -> int | None:
    """A line's `tax_code` is the id of a tax as text; other systems' codes are none of ours."""
    digits = (code or "").strip()
    is_id = digits.isascii() and digits.isdigit() and len(digits) < 19
    return int(digits) if is_id else None

"""Which tax applies to a line that names none: the first rule all of whose conditions hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum


class TaxFact(IntEnum):
    """TaxRuleConditions.value_type: what a condition looks at. Nobody publishes HaloPSA's codes."""

    CLIENT = 1
    SITE = 2
    ITEM_CODE = 3
    NOMINAL_CODE = 4
    CURRENCY = 5


@dataclass(frozen=True, slots=True)
class TaxCondition:
    """Holds when what it looks at is one of the values, in any case of letters."""

    tested: int | None
    values: frozenset[str]

    def holds(self, facts: Mapping[TaxFact, str]) -> bool:
        return any(self.tested == one and fact in self.values for one, fact in facts.items())


@dataclass(frozen=True, slots=True)
class TaxRuleTerms:
    id: int
    sequence: int
    tax_id: int
    conditions: tuple[TaxCondition, ...] = ()


def matching_rule(rules: Iterable[TaxRuleTerms], facts: Mapping[TaxFact, str]) -> int | None:
    """The tax of the first rule that fits, by sequence and then by age. None fits: no tax."""
    for rule in sorted(rules, key=lambda one: (one.sequence, one.id)):
        if all(condition.holds(facts) for condition in rule.conditions):
            return rule.tax_id
    return None


def tax_id(code: str | None) -> int | None:
    """A line's `tax_code` is the id of a tax as text; other systems' codes are none of ours."""
    said = (code or "").strip()
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None

"""Autopay rules: the first that an invoice meets says whether, when and by what it is charged.

Every condition that a rule names must hold; one that it does not name always does. An invoice that
meets no rule is charged as it is without rules: on its due day, if it is flagged.
"""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from app.errors import InvalidField
from app.rules.bank_holidays import CLOSED_IN_A_ROW_MAX, DayMove, holidays_of, open_day

ValueT = TypeVar("ValueT")
EndT = TypeVar("EndT", int, Decimal)

# A year on either side: what lies further away is a mistake.
DAYS_MAX = 366
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# The end of an order number or an item code that stands for any text.
_ANY_TEXT = "*"


class RuleAction(StrEnum):
    CHARGE = "charge"
    NEVER = "never"
    ASK = "ask"  # a person approves it first


class DayBase(StrEnum):
    """The day that a rule counts from."""

    DUE = "due"
    INVOICE = "invoice"


class MethodChoice(StrEnum):
    CLIENT = "client"  # the client's own, or the default at Stripe
    BANK = "bank"  # a bank debit that is saved at Stripe, else the client's
    NAMED = "named"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConditions:
    """The conditions of a rule; None is any. Texts are compared in any case.

    Amounts are of what is due and include both ends, as do ages, which are days since the invoice
    date. An order number or an item code may end in `*`, which stands for any text.
    """

    client_id: int | None = None
    toplevel_id: int | None = None
    contract_id: int | None = None
    recurring_invoice_id: int | None = None
    sitenumber: int | None = None
    billingcategory: int | None = None
    currency: str | None = None
    order_number: str | None = None
    item_code: str | None = None
    property_name: str | None = None
    property_value: str | None = None
    age_from: int | None = None
    age_to: int | None = None
    amount_from: Decimal | None = None
    amount_to: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeDay:
    """The day of a charge: counted from the base, then the next such day of a month, then the next
    such weekday, then moved to where banks are open."""

    base: DayBase = DayBase.DUE
    days: int = 0
    day_of_month: int | None = None
    weekdays: frozenset[int] = frozenset()
    move: DayMove | None = None
    holidays: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRule:
    """The payment method that a rule charges. A card is charged `card_max` at most, in the
    invoice's currency; a larger invoice needs a bank debit."""

    choice: MethodChoice = MethodChoice.CLIENT
    payment_method_id: str | None = None
    card_max: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One autopay rule. `unflagged` takes invoices too that carry no flag of autopay."""

    id: int
    name: str
    action: RuleAction
    conditions: RuleConditions = field(default_factory=RuleConditions)
    day: ChargeDay = field(default_factory=ChargeDay)
    method: MethodRule = field(default_factory=MethodRule)
    consolidate: bool | None = None
    unflagged: bool = False


class RuleFacts(NamedTuple):
    """All of an invoice that rules look at. Item codes and the names and values of properties are
    case-folded."""

    invoice_id: int
    amount: Decimal
    currency: str
    total: Decimal = Decimal(0)
    is_flagged: bool = True
    duedate: date | None = None
    invoice_date: date | None = None
    client_id: int | None = None
    toplevel_id: int | None = None
    contract_id: int | None = None
    recurring_invoice_id: int | None = None
    sitenumber: int | None = None
    billingcategory: int | None = None
    order_number: str | None = None
    item_codes: frozenset[str] = frozenset()
    properties: Mapping[str, str] = {}


class Decision(NamedTuple):
    """The answer of the rules. `charge_on` is None where the day it counts from is missing;
    `rule` is None where no rule is met."""

    action: RuleAction
    charge_on: date | None
    rule: Rule | None = None

    @property
    def rule_name(self) -> str | None:
        return self.rule.name if self.rule else None


def charge_day(day: ChargeDay, duedate: date | None, invoice_date: date | None) -> date | None:
    """The day on which a rule charges an invoice; None without the day that it counts from."""
    base = duedate if day.base == DayBase.DUE else invoice_date
    if base is None:
        return None
    try:
        return _counted(day, base)
    except OverflowError:  # the calendar ends
        return base


def _counted(day: ChargeDay, base: date) -> date:
    found = base + timedelta(days=day.days)
    if day.day_of_month is not None:
        found = _next_day_of_month(found, day.day_of_month)
    while day.weekdays and found.weekday() not in day.weekdays:
        found += timedelta(days=1)
    return open_day(found, day.move, day.holidays)


def _next_day_of_month(start: date, wanted: int) -> date:
    """The first such day from `start` on; the last day of a shorter month."""
    found = start.replace(day=min(wanted, monthrange(start.year, start.month)[1]))
    if found >= start:
        return found
    following = start.replace(day=1) + timedelta(days=31)
    return following.replace(day=min(wanted, monthrange(following.year, following.month)[1]))


def days_ahead(rules: Iterable[Rule]) -> int | None:
    """By how many days a charge may come before the due day; None where nothing bounds it."""
    most = 0
    for rule in rules:
        if rule.day.base == DayBase.INVOICE:
            return None
        moved = CLOSED_IN_A_ROW_MAX if rule.day.move == DayMove.BACK else 0
        most = max(most, moved - rule.day.days)
    return most


def weekdays_of(text: str | None, name: str = "weekdays") -> frozenset[int]:
    """`mon,thu` as the numbers of weekdays, Monday being 0; or InvalidField."""
    words = [word.strip().lower()[:3] for word in (text or "").split(",") if word.strip()]
    unknown = [word for word in words if word not in WEEKDAYS]
    if unknown:
        raise InvalidField(name, f"{unknown[0]!r} is none of {', '.join(WEEKDAYS)}")
    return frozenset(WEEKDAYS.index(word) for word in words)


def assert_rule_makes_sense(rule: Rule) -> None:
    """Whatever of a rule contradicts itself, as InvalidField."""
    given = rule.conditions
    if not rule.name.strip():
        raise InvalidField("name", "is required")
    _assert_ordered("amount", given.amount_from, given.amount_to)
    _assert_ordered("age", given.age_from, given.age_to)
    if (given.property_name is None) != (given.property_value is None):
        raise InvalidField("property_name", "and property_value go together")
    _assert_day(rule.day)
    _assert_method(rule.method)


def _assert_day(day: ChargeDay) -> None:
    if abs(day.days) > DAYS_MAX:
        raise InvalidField("days", f"is more than {DAYS_MAX} days away")
    if day.day_of_month is not None and not 1 <= day.day_of_month <= 31:
        raise InvalidField("day_of_month", "is not from 1 to 31")
    if day.holidays is not None:
        holidays_of(day.holidays)
        if day.move is None:
            raise InvalidField("holidays", "needs move_days: forward or back")


def _assert_method(method: MethodRule) -> None:
    if (method.choice == MethodChoice.NAMED) != (method.payment_method_id is not None):
        raise InvalidField("payment_method_id", "belongs to charge_method `named`, and only there")
    if method.card_max is not None and method.card_max < 0:
        raise InvalidField("card_max", "is less than nothing")


def _assert_ordered(name: str, first: EndT | None, last: EndT | None) -> None:
    if first is not None and last is not None and first > last:
        raise InvalidField(f"{name}_to", f"is less than {name}_from")


# --- all rules at once -----------------------------------------------------------------------

# A set of rules is the bits of an integer, the first rule being the lowest bit: so an invoice is
# compared with all rules in as many steps as there are conditions, however many rules there are.
Bits = int
_Match = Callable[[RuleFacts, date], Bits]

_EQUALITIES = (
    "client_id",
    "toplevel_id",
    "contract_id",
    "recurring_invoice_id",
    "sitenumber",
    "billingcategory",
    "currency",
)


class RuleBook:
    """The rules in their order. It answers for one invoice at a time and changes never."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._all = (1 << len(self.rules)) - 1
        self._matches = list(self._compiled())

    def __bool__(self) -> bool:
        return bool(self.rules)

    def decide(self, facts: RuleFacts, today: date) -> Decision:
        """The first rule that the invoice meets on a day, and what it says."""
        met = self._all
        for match in self._matches:
            met &= match(facts, today)
            if not met:
                break
        if not met:
            action = RuleAction.CHARGE if facts.is_flagged else RuleAction.NEVER
            return Decision(action, facts.duedate)
        rule = self.rules[(met & -met).bit_length() - 1]
        return Decision(rule.action, charge_day(rule.day, facts.duedate, facts.invoice_date), rule)

    @property
    def looks_at_lines(self) -> bool:
        return any(one.conditions.item_code is not None for one in self.rules)

    @property
    def property_names(self) -> frozenset[str]:
        """The case-folded names of properties that rules look at."""
        names = (one.conditions.property_name for one in self.rules)
        return frozenset(name.casefold() for name in names if name is not None)

    @property
    def takes_unflagged(self) -> bool:
        return any(one.unflagged for one in self.rules)

    @property
    def says_consolidation(self) -> bool:
        return any(one.consolidate is not None for one in self.rules)

    def _compiled(self) -> Iterable[_Match]:
        for name in _EQUALITIES:
            values = self._values(attrgetter(name))
            if any(value is not None for value in values):
                yield _equal(name, values)
        orders = self._values(lambda one: one.order_number)
        items = self._values(lambda one: one.item_code)
        if any(orders):
            yield _order_match(_TextBits(orders))
        if any(items):
            yield _item_match(_TextBits(items))
        if self.property_names:
            yield _property_match([one.conditions for one in self.rules])
        amounts = _RangeBits[Decimal](
            self._values(lambda one: one.amount_from), self._values(lambda one: one.amount_to)
        )
        if amounts.has_ends:
            yield _amount_match(amounts)
        ages = _RangeBits[int](
            self._values(lambda one: one.age_from), self._values(lambda one: one.age_to)
        )
        if ages.has_ends:
            yield _age_match(ages)

    def _values(self, condition: Callable[[RuleConditions], ValueT]) -> list[ValueT]:
        return [condition(one.conditions) for one in self.rules]


def _bits(holds: Iterable[bool]) -> Bits:
    return sum(1 << place for place, one in enumerate(holds) if one)


def _equal(name: str, values: Sequence[int | str | None]) -> _Match:
    any_value = _bits(value is None for value in values)
    bits = {
        value: any_value | _bits(one == value for one in values)
        for value in values
        if value is not None
    }
    value_of = attrgetter(name)
    return lambda facts, _: bits.get(value_of(facts), any_value)


class _TextBits:
    """Rules by a text that they name, whole or up to a `*`."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        folded = [None if text is None else text.casefold() for text in texts]
        self.unsaid = _bits(text is None for text in folded)
        self._whole: dict[str, Bits] = {}
        self._beginnings: list[tuple[str, Bits]] = []
        for place, text in enumerate(folded):
            if text is None:
                continue
            if text.endswith(_ANY_TEXT):
                self._beginnings.append((text.removesuffix(_ANY_TEXT), 1 << place))
            else:
                self._whole[text] = self._whole.get(text, 0) | 1 << place

    def of(self, text: str) -> Bits:
        found = self._whole.get(text, 0)
        for beginning, bit in self._beginnings:
            if text.startswith(beginning):
                found |= bit
        return found


def _order_match(bits: _TextBits) -> _Match:
    def match(facts: RuleFacts, _: date) -> Bits:
        given = facts.order_number
        return bits.unsaid | bits.of(given.casefold()) if given else bits.unsaid

    return match


def _item_match(bits: _TextBits) -> _Match:
    def match(facts: RuleFacts, _: date) -> Bits:
        found = bits.unsaid
        for code in facts.item_codes:
            found |= bits.of(code)
        return found

    return match


def _property_match(conditions: Sequence[RuleConditions]) -> _Match:
    unsaid = _bits(one.property_name is None for one in conditions)
    bits: dict[tuple[str, str], Bits] = {}
    for place, one in enumerate(conditions):
        if one.property_name is not None and one.property_value is not None:
            key = one.property_name.casefold(), one.property_value.casefold()
            bits[key] = bits.get(key, 0) | 1 << place

    def match(facts: RuleFacts, _: date) -> Bits:
        found = unsaid
        for named in facts.properties.items():
            found |= bits.get(named, 0)
        return found

    return match


class _RangeBits(Generic[EndT]):
    """Rules by the ends of a range, both included; None is no end."""

    def __init__(self, firsts: Sequence[EndT | None], lasts: Sequence[EndT | None]) -> None:
        self.unsaid = _bits(
            one is None and other is None for one, other in zip(firsts, lasts, strict=True)
        )
        self._firsts: list[EndT] = sorted({one for one in firsts if one is not None})
        self._lasts: list[EndT] = sorted({one for one in lasts if one is not None})
        # How many of the ends an amount has passed chooses among these.
        self._from = [
            _bits(one is None or one in self._firsts[:count] for one in firsts)
            for count in range(len(self._firsts) + 1)
        ]
        self._to = [
            _bits(one is None or one in self._lasts[count:] for one in lasts)
            for count in range(len(self._lasts) + 1)
        ]

    @property
    def has_ends(self) -> bool:
        return bool(self._firsts or self._lasts)

    def of(self, value: EndT) -> Bits:
        begun = self._from[bisect_right(self._firsts, value)]
        return begun & self._to[bisect_left(self._lasts, value)]


def _amount_match(bits: _RangeBits[Decimal]) -> _Match:
    return lambda facts, _: bits.of(facts.amount)


def _age_match(bits: _RangeBits[int]) -> _Match:
    def match(facts: RuleFacts, today: date) -> Bits:
        given = facts.invoice_date
        return bits.unsaid if given is None else bits.of((today - given).days)

    return match

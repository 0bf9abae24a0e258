"""Whether, when and by what an invoice is charged: the first rule that it meets says so."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from app.errors import InvalidField
from app.rules.autopay_rule import (
    ChargeDay,
    DayBase,
    Decision,
    MethodChoice,
    MethodRule,
    Rule,
    RuleAction,
    RuleBook,
    RuleConditions,
    RuleFacts,
    assert_rule_makes_sense,
    charge_day,
    days_ahead,
    weekdays_of,
)
from app.rules.bank_holidays import DayMove

TODAY = date(2026, 11, 27)
DUE = date(2026, 11, 30)
ISSUED = date(2026, 11, 16)
FACTS = RuleFacts(
    invoice_id=7,
    amount=Decimal("9999.99"),
    currency="usd",
    duedate=DUE,
    invoice_date=ISSUED,
    client_id=11,
    toplevel_id=3,
    contract_id=40,
    recurring_invoice_id=-5,
    sitenumber=9,
    billingcategory=2,
    order_number="PO-2026-17",
    item_codes=frozenset({"managed-server", "o365-e3"}),
    properties={"paymentterms": "14", "cfautopay": "yes"},
)
CONNECTBOOSTER, ALTERNATIVE, FLEXPOINT = "ConnectBooster", "Alternative Payments", "FlexPoint"
ZOMENTUM, WISE_PAY, BILL_COM, BILL_AND_PAY = "Zomentum", "Wise-Pay", "Bill.com", "Bill & Pay"


def _rule(action: RuleAction = RuleAction.CHARGE, **more: Any) -> Rule:
    return Rule(id=1, name="rule", action=action, **more)


def _met(facts: RuleFacts, **conditions: Any) -> bool:
    rule = _rule(RuleAction.ASK, conditions=RuleConditions(**conditions))
    return RuleBook([rule]).decide(facts, TODAY).rule is rule


PREDICATES: Sequence[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    # product, its predicate, the condition, and an invoice that does not meet it
    (CONNECTBOOSTER, "invoices under an amount", {"amount_to": 10000}, {"amount": 10001}),
    (CONNECTBOOSTER, "invoices over an amount", {"amount_from": 5000}, {"amount": 4999}),
    (CONNECTBOOSTER, "one customer", {"client_id": 11}, {"client_id": 12}),
    (CONNECTBOOSTER, "agreement", {"contract_id": 40}, {"contract_id": None}),
    (CONNECTBOOSTER, "line item", {"item_code": "O365-E3"}, {"item_codes": frozenset({"o365"})}),
    (ALTERNATIVE, "agreement type", {"billingcategory": 2}, {"billingcategory": 1}),
    (ALTERNATIVE, "recurring invoices", {"recurring_invoice_id": -5}, {"recurring_invoice_id": 0}),
    (ALTERNATIVE, "custom field", {"property_name": "CFautopay", "property_value": "Yes"},
     {"properties": {"cfautopay": "no"}}),
    (ALTERNATIVE, "purchase order", {"order_number": "po-2026-17"}, {"order_number": None}),
    (FLEXPOINT, "item id", {"item_code": "managed-*"}, {"item_codes": frozenset({"labour"})}),
    (FLEXPOINT, "gross total between", {"amount_from": 100, "amount_to": 10000}, {"amount": 99}),
    (FLEXPOINT, "parent account", {"toplevel_id": 3}, {"toplevel_id": None}),
    (ZOMENTUM, "auto collect limit", {"amount_to": Decimal("9999.99")},
     {"amount": Decimal("10000.00")}),
    (ZOMENTUM, "currency", {"currency": "usd"}, {"currency": "eur"}),
    (WISE_PAY, "billing term", {"property_name": "paymentterms", "property_value": "14"},
     {"properties": {}}),
    (WISE_PAY, "location", {"sitenumber": 9}, {"sitenumber": 8}),
    (BILL_COM, "age of the bill", {"age_from": 11, "age_to": 30}, {"invoice_date": TODAY}),
    (BILL_AND_PAY, "order series", {"order_number": "PO-2026-*"}, {"order_number": "PO-2025-1"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("product", "predicate", "condition", "other"),
    PREDICATES,
    ids=[f"{product}, {predicate}" for product, predicate, *_ in PREDICATES],
)
def test_each_predicate_of_the_products_is_a_condition(
    product: str, predicate: str, condition: dict[str, Any], other: dict[str, Any]
) -> None:
    assert _met(FACTS, **condition)
    assert not _met(FACTS._replace(**other), **condition)


ONE, TWO = Decimal(1), Decimal(2)
ACTIONS: Sequence[tuple[str, str, dict[str, Any], Any]] = [
    # product, its action, the rule, and the decision's action or day
    (CONNECTBOOSTER, "approval needed", {"action": RuleAction.ASK}, RuleAction.ASK),
    (CONNECTBOOSTER, "days after the due date", {"day": ChargeDay(days=5)}, date(2026, 12, 5)),
    (CONNECTBOOSTER, "days before the due date", {"day": ChargeDay(days=-3)}, date(2026, 11, 27)),
    (CONNECTBOOSTER, "days after the invoice date",
     {"day": ChargeDay(base=DayBase.INVOICE, days=10)}, date(2026, 11, 26)),
    (ALTERNATIVE, "on the invoice date", {"day": ChargeDay(base=DayBase.INVOICE)}, ISSUED),
    (ALTERNATIVE, "day of the month", {"day": ChargeDay(day_of_month=15)}, date(2026, 12, 15)),
    (BILL_AND_PAY, "last day of the month", {"day": ChargeDay(day_of_month=31)}, DUE),
    (BILL_AND_PAY, "weekly", {"day": ChargeDay(weekdays=weekdays_of("fri"))}, date(2026, 12, 4)),
    (WISE_PAY, "after a holiday",
     {"day": ChargeDay(days=25, move=DayMove.FORWARD, holidays="DE")}, date(2026, 12, 28)),
    (WISE_PAY, "before a weekend",
     {"day": ChargeDay(days=5, move=DayMove.BACK)}, date(2026, 12, 4)),
    (BILL_COM, "not this vendor", {"action": RuleAction.NEVER}, RuleAction.NEVER),
    (ZOMENTUM, "collect on the due date", {}, DUE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("product", "named", "rule", "expected"),
    ACTIONS,
    ids=[f"{product}, {named}" for product, named, *_ in ACTIONS],
)
def test_each_action_of_the_products_is_a_decision(
    product: str, named: str, rule: dict[str, Any], expected: RuleAction | date
) -> None:
    found = RuleBook([_rule(**rule)]).decide(FACTS, TODAY)

    assert expected in (found.action, found.charge_on)
    assert found.rule_name == "rule"


def test_the_first_rule_that_is_met_decides() -> None:
    small = replace(_rule(), name="small", conditions=RuleConditions(amount_to=Decimal(100)))
    client = replace(_rule(RuleAction.ASK), name="one", conditions=RuleConditions(client_id=11))
    book = RuleBook([small, client, replace(_rule(RuleAction.NEVER), name="rest")])

    assert book.decide(FACTS, TODAY).rule_name == "one"
    assert book.decide(FACTS._replace(amount=Decimal(100)), TODAY).rule_name == "small"
    assert book.decide(FACTS._replace(client_id=12), TODAY).action == RuleAction.NEVER


def test_without_a_rule_the_flag_and_the_due_day_decide() -> None:
    for book in (RuleBook(), RuleBook([_rule(conditions=RuleConditions(client_id=99))])):
        assert book.decide(FACTS, TODAY) == Decision(RuleAction.CHARGE, DUE)
        unflagged = book.decide(FACTS._replace(is_flagged=False), TODAY)
        assert unflagged == Decision(RuleAction.NEVER, DUE)


def test_an_age_is_unknown_without_the_day_that_it_is_counted_from() -> None:
    assert not _met(FACTS._replace(invoice_date=None), age_to=1000)


@pytest.mark.parametrize(
    ("day", "due", "expected"),
    [
        (ChargeDay(), "2026-11-30", "2026-11-30"),
        (ChargeDay(day_of_month=31), "2026-02-01", "2026-02-28"),
        (ChargeDay(day_of_month=31), "2028-02-29", "2028-02-29"),
        (ChargeDay(day_of_month=1), "2026-12-02", "2027-01-01"),
        (ChargeDay(day_of_month=30), "2027-01-31", "2027-02-28"),
        # A day of the month that is none of the weekdays: the next weekday after it.
        (ChargeDay(day_of_month=1, weekdays=weekdays_of("mon,tue")), "2026-12-02", "2027-01-04"),
        # New Year's Day, a Friday, and a weekend after it.
        (ChargeDay(move=DayMove.FORWARD, holidays="DE"), "2027-01-01", "2027-01-04"),
        (ChargeDay(move=DayMove.BACK, holidays="DE"), "2027-01-01", "2026-12-31"),
        # Epiphany is a holiday of Bavaria, not of Berlin.
        (ChargeDay(move=DayMove.FORWARD, holidays="DE-BY"), "2027-01-06", "2027-01-07"),
        (ChargeDay(move=DayMove.FORWARD, holidays="DE-BE"), "2027-01-06", "2027-01-06"),
        # The calendar ends.
        (ChargeDay(days=1), "9999-12-31", "9999-12-31"),
    ],
)
def test_the_day_of_a_charge(day: ChargeDay, due: str, expected: str) -> None:
    assert charge_day(day, date.fromisoformat(due), None) == date.fromisoformat(expected)


def test_no_day_follows_from_a_day_that_is_missing() -> None:
    assert charge_day(ChargeDay(base=DayBase.INVOICE), DUE, None) is None


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("name", _rule()),
        ("amount_to", _rule(conditions=RuleConditions(amount_from=TWO, amount_to=ONE))),
        ("age_to", _rule(conditions=RuleConditions(age_from=2, age_to=1))),
        ("property_name", _rule(conditions=RuleConditions(property_name="a"))),
        ("days", _rule(day=ChargeDay(days=367))),
        ("day_of_month", _rule(day=ChargeDay(day_of_month=32))),
        ("holidays", _rule(day=ChargeDay(holidays="DE"))),
        ("holidays", _rule(day=ChargeDay(holidays="ZZ", move=DayMove.BACK))),
        ("payment_method_id", _rule(method=MethodRule(choice=MethodChoice.NAMED))),
        ("payment_method_id", _rule(method=MethodRule(payment_method_id="pm_1"))),
        ("card_max", _rule(method=MethodRule(card_max=Decimal(-1)))),
    ],
)  # fmt: skip
def test_a_rule_that_contradicts_itself_is_refused(field: str, rule: Rule) -> None:
    given = replace(rule, name=" ") if field == "name" else rule

    with pytest.raises(InvalidField) as refused:
        assert_rule_makes_sense(given)

    assert refused.value.field == field


def test_weekdays_are_written_by_their_names() -> None:
    assert weekdays_of("Monday, thu") == {0, 3}
    assert weekdays_of(None) == weekdays_of(" ") == frozenset()
    with pytest.raises(InvalidField):
        weekdays_of("mon,someday")


# --- all rules at once -----------------------------------------------------------------------

FEW = st.one_of(st.none(), st.integers(1, 3))
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "A*", "ab", "*", "b"]))
AMOUNTS = st.one_of(st.none(), st.integers(0, 5).map(Decimal))
CONDITIONS = st.builds(
    RuleConditions, client_id=FEW, toplevel_id=FEW, currency=st.sampled_from([None, "usd", "eur"]),
    order_number=TEXTS, item_code=TEXTS, age_from=FEW, age_to=FEW, amount_from=AMOUNTS,
    amount_to=AMOUNTS, property_name=st.sampled_from([None, "x", "Y"]),
    property_value=st.sampled_from(["1", "one"]),
)  # fmt: skip
INVOICES = st.builds(
    RuleFacts, invoice_id=st.just(1), amount=st.integers(0, 6).map(Decimal),
    currency=st.sampled_from(["usd", "eur"]), client_id=FEW, toplevel_id=FEW,
    invoice_date=st.one_of(st.none(), st.integers(0, 4).map(lambda n: TODAY - timedelta(days=n))),
    order_number=st.sampled_from([None, "", "a", "AB", "c"]),
    item_codes=st.frozensets(st.sampled_from(["a", "ab", "c"])),
    properties=st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "one", "2"])),
)  # fmt: skip


def _fits(wanted: str | None, given: str | None) -> bool:
    if not given or wanted is None:
        return wanted is None
    whole = wanted.casefold()
    return (
        given.casefold().startswith(whole[:-1]) if whole[-1] == "*" else given.casefold() == whole
    )


def _within(first: Any, value: Any, last: Any) -> bool:
    if first is None and last is None:
        return True
    return (
        value is not None and (first is None or first <= value) and (last is None or value <= last)
    )


def _meets(wanted: RuleConditions, one: RuleFacts) -> bool:
    """The conditions, one after the other, as they are described."""
    age = None if one.invoice_date is None else (TODAY - one.invoice_date).days
    name = wanted.property_name
    return (
        wanted.client_id in (None, one.client_id)
        and wanted.toplevel_id in (None, one.toplevel_id)
        and wanted.currency in (None, one.currency)
        and _fits(wanted.order_number, one.order_number)
        and (wanted.item_code is None or any(_fits(wanted.item_code, c) for c in one.item_codes))
        and (name is None or one.properties.get(name.casefold()) == wanted.property_value)
        and _within(wanted.amount_from, one.amount, wanted.amount_to)
        and _within(wanted.age_from, age, wanted.age_to)
    )


@settings(max_examples=300)
@given(rules=st.lists(CONDITIONS, max_size=12), one=INVOICES)
def test_all_rules_at_once_answer_as_one_after_the_other(
    rules: list[RuleConditions], one: RuleFacts
) -> None:
    numbered = [
        Rule(id=number, name=str(number), action=RuleAction.ASK, conditions=conditions)
        for number, conditions in enumerate(rules)
    ]
    first = next((rule for rule in numbered if _meets(rule.conditions, one)), None)

    assert RuleBook(numbered).decide(one, TODAY).rule is first


DAYS = st.builds(
    ChargeDay, days=st.integers(-40, 40), day_of_month=st.one_of(st.none(), st.integers(1, 31)),
    weekdays=st.frozensets(st.integers(0, 6)), move=st.sampled_from([None, *DayMove]),
)  # fmt: skip


@settings(max_examples=300)
@given(day=DAYS, due=st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_no_charge_comes_further_ahead_than_is_looked_for(day: ChargeDay, due: date) -> None:
    found, ahead = charge_day(day, due, None), days_ahead([_rule(day=day)])

    assert found is not None
    assert ahead is not None
    assert (due - found).days <= ahead


def test_a_charge_that_is_counted_from_the_invoice_date_may_come_at_any_time() -> None:
    assert days_ahead([_rule(day=ChargeDay(base=DayBase.INVOICE))]) is None
    assert days_ahead([]) == 0

"""A preview of rules and a run decide alike, whatever the rules and the invoices are.

Both are asked without a database here, so that a hundred thousand invoices are quick;
tests/test_autopay_rules.py asks both through it.
"""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings as hypothesis_settings, strategies as st

from app.ledger.rule_preview import moved_by, standing_of
from app.payments.autopay.candidates import Candidate, Ruling
from app.payments.autopay.eligibility import skip_reason
from app.rules.autopay_rule import (
    ChargeDay,
    DayBase,
    Decision,
    Rule,
    RuleAction,
    RuleBook,
    RuleConditions,
    RuleFacts,
)
from app.rules.bank_holidays import DayMove
from tests.harness import NO_STRIPE, settings_for

TODAY = date(2026, 11, 27)
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SETTINGS = settings_for("sqlite:///none.db", NO_STRIPE)
EXAMPLES, INVOICES = 50, 2_000

FEW = st.one_of(st.none(), st.integers(1, 3))
CONDITIONS = st.builds(
    RuleConditions, client_id=FEW, contract_id=FEW, billingcategory=FEW,
    currency=st.sampled_from([None, "usd"]), item_code=st.sampled_from([None, "a*", "b"]),
    amount_from=st.one_of(st.none(), st.integers(0, 50).map(Decimal)),
    age_from=st.one_of(st.none(), st.integers(0, 20)),
)  # fmt: skip
DAYS = st.builds(
    ChargeDay, base=st.sampled_from(DayBase), days=st.integers(-20, 20),
    day_of_month=st.sampled_from([None, 1, 31]), weekdays=st.sampled_from([frozenset(), {1, 4}]),
    move=st.sampled_from([None, *DayMove]), holidays=st.sampled_from([None, "US"]),
)  # fmt: skip
RULES = st.lists(
    st.builds(
        Rule, id=st.just(1), name=st.sampled_from(["a", "b"]), action=st.sampled_from(RuleAction),
        conditions=CONDITIONS, day=DAYS, unflagged=st.booleans(),
    ),
    max_size=6,
)  # fmt: skip


@hypothesis_settings(max_examples=EXAMPLES, deadline=None)
@given(before=RULES, after=RULES, seed=st.integers(0, 10**6))
def test_a_preview_and_a_run_decide_alike(before: list[Rule], after: list[Rule], seed: int) -> None:
    first, second = RuleBook(before), RuleBook(after)
    for facts in _invoices(random.Random(seed)):
        was, will = _fare(facts, first), _fare(facts, second)
        moved = moved_by(facts, first, second, TODAY)
        assert standing_of(facts, first.decide(facts, TODAY)) == was[0]
        assert (moved is None) == (was == will), (facts, was, will)
        if moved is not None and will[0] != RuleAction.NEVER:
            assert moved.charge_on == will[1]


def _fare(facts: RuleFacts, book: RuleBook) -> tuple[RuleAction, date | None]:
    """How a run would have it: charged or held, and the first day on which it is."""
    decision = book.decide(facts, TODAY)
    candidate = _candidate(facts, decision)
    day = decision.charge_on or date(2100, 1, 1)
    skip = skip_reason(candidate, day, NOW, SETTINGS)
    if skip is not None and not skip.needs_approval:
        return RuleAction.NEVER, None
    early = skip_reason(candidate, day - timedelta(days=1), NOW, SETTINGS)
    assert early is not None
    assert early.next_try == day
    return RuleAction.CHARGE if skip is None else RuleAction.ASK, day


def _candidate(facts: RuleFacts, decision: Decision) -> Candidate:
    ruling = Ruling(decision, (), None, None, facts.amount, facts.invoice_date)
    return Candidate(
        invoice_id=facts.invoice_id, invoicenumber=None, duedate=facts.duedate,
        amount=facts.amount, currency=facts.currency, voided=False, posted=True, held_back=None,
        pending=0, reversed=0, client_id=facts.client_id, client_inactive=False, timezone=None,
        customer_id="cus_1", payment_method_id="pm_1", saved_method_id=None, last=None,
        is_flagged=facts.is_flagged, policy_revision=1, ruling=ruling,
    )  # fmt: skip


def _invoices(chance: random.Random) -> Iterator[RuleFacts]:
    for number in range(INVOICES):
        yield RuleFacts(
            invoice_id=number,
            amount=Decimal(chance.randrange(1, 6000)).scaleb(-2),
            currency=chance.choice(("usd", "eur")),
            is_flagged=chance.random() < 0.8,
            duedate=TODAY + timedelta(days=chance.randrange(-40, 40)),
            invoice_date=chance.choice((None, TODAY - timedelta(days=chance.randrange(40)))),
            client_id=chance.randrange(1, 5),
            contract_id=chance.choice((None, 1, 2, 3)),
            billingcategory=chance.choice((None, 1, 2, 3)),
            item_codes=frozenset(chance.sample(("a", "ab", "b", "c"), 2)),
        )

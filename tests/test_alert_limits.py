"""The alerts by mail and those of Prometheus judge one fact by one limit, or say why not."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.payments.alert_conditions import PERIODS_MAX, UNKNOWN_MAX
from app.rules.alert import AlertCondition

RULES = Path(__file__).parents[1] / "ops/prometheus-rules.yml"

# The rule of a condition, its comparison, and the limit as the application has it.
SHARED: Mapping[AlertCondition, tuple[str, str, float]] = {
    AlertCondition.ATTEMPT_UNKNOWN: ("PaydueAttemptUnresolved", ">", UNKNOWN_MAX.total_seconds()),
    AlertCondition.MONEY_UNAPPLIED: ("PaydueMoneyUnapplied", ">", 0),
    AlertCondition.RUN_STOPPED: ("PaydueAutopayHeld", "==", 1),
    AlertCondition.KEY_REFUSED: ("PaydueStripeRefusesTheKey", ">", 0),
}
# The others, and why no number is shared.
UNSHARED = {
    AlertCondition.RECONCILIATION_OLD: "its limit is a multiple of a setting, see below",
    AlertCondition.DISPUTE_OPEN: "mail tells of each dispute; Prometheus of evidence that is due",
    AlertCondition.WEBHOOKS_SILENT: "Prometheus compares the rates of both ways",
    AlertCondition.ENDPOINT_DISABLED: "only Stripe knows it, so there is no metric",
    AlertCondition.ENDPOINT_LACKS_EVENTS: "only Stripe knows it, so there is no metric",
}


@pytest.fixture(scope="module")
def expressions() -> Mapping[str, str]:
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def test_each_condition_is_compared_or_says_why_not() -> None:
    assert {*SHARED, *UNSHARED} == set(AlertCondition)
    assert not SHARED.keys() & UNSHARED.keys()


@pytest.mark.parametrize("condition", SHARED)
def test_a_limit_is_the_same_in_both_places(
    expressions: Mapping[str, str], condition: AlertCondition
) -> None:
    name, comparison, limit = SHARED[condition]

    found = re.fullmatch(r"(.+) (>|==) ([\d* ]+)", expressions[name])

    assert found is not None
    assert (found[2], math.prod(map(int, found[3].split("*")))) == (comparison, limit)


def test_a_reconciliation_is_old_after_as_many_periods_in_both_places(
    expressions: Mapping[str, str],
) -> None:
    found = re.search(
        r"> clamp_min\((\d+) \* max\(paydue_reconciliation_period_seconds\), 3600\)$",
        expressions["PaydueReconciliationOld"],
    )

    assert found is not None
    assert int(found[1]) == PERIODS_MAX

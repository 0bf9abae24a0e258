"""The hours that are charged for work, and the rate that prices them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal


@dataclass(frozen=True, slots=True)
class HourlyRate:
    """A ChargeRate as the rule sees it. `contract_id` 0 and no client mean all of them."""

    id: int
    rate: Decimal
    client_id: int | None = None
    contract_id: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    minimum: Decimal | None = None
    increment: Decimal | None = None


def rate_for(
    rates: Iterable[HourlyRate], *, client_id: int | None, contract_id: int, at: datetime
) -> HourlyRate | None:
    """The rate that is current then: the contract's before the client's before everybody's.

    Of two that are alike, the one that began later.
    """
    fitting = [
        one
        for one in rates
        if one.client_id in (None, client_id)
        and one.contract_id in (0, contract_id)
        and (one.starts_at is None or one.starts_at <= at)
        and (one.ends_at is None or at < one.ends_at)
    ]
    return max(fitting, key=_precedence, default=None)


def _precedence(one: HourlyRate) -> tuple[bool, bool, float, int]:
    began = 0.0 if one.starts_at is None else one.starts_at.timestamp()
    return (one.contract_id > 0, one.client_id is not None, began, -one.id)


def charged_hours(worked: Decimal, rate: HourlyRate) -> Decimal:
    """Hours in whole steps of the rate's `increment`, and no less than its `minimum`.

    Hours that are given back (below zero) are given back as they are.
    """
    if worked <= 0:
        return worked
    hours = worked
    if rate.increment is not None and rate.increment > 0:
        steps = (worked / rate.increment).to_integral_value(ROUND_CEILING)
        hours = steps * rate.increment
    return max(hours, rate.minimum or Decimal(0))

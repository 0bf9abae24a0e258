"""The hours that are charged, and the rate that prices them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from app.rules.time_charge import HourlyRate, charged_hours, rate_for

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def rate(number: int, **fields: object) -> HourlyRate:
    # Any of its fields, each of its own type: a checker sees one type for all.
    return HourlyRate(number, Decimal(100), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("worked", "minimum", "increment", "expected"),
    [
        ("0.1", None, None, "0.1"), ("0.1", "0.5", None, "0.5"), ("0.6", "0.5", None, "0.6"),
        ("0.1", None, "0.25", "0.25"), ("0.25", None, "0.25", "0.25"),
        ("0.26", None, "0.25", "0.50"), ("1.1", "2", "0.25", "2"), ("2.01", "2", "0.25", "2.25"),
        ("0.1", None, "0", "0.1"), ("0", "1", "0.25", "0"), ("-1.1", "2", "0.25", "-1.1"),
    ],
)  # fmt: skip
def test_hours_are_charged_in_steps_and_no_fewer_than_the_least(
    worked: str, minimum: str | None, increment: str | None, expected: str
) -> None:
    one = HourlyRate(
        1,
        Decimal(100),
        minimum=None if minimum is None else Decimal(minimum),
        increment=None if increment is None else Decimal(increment),
    )

    assert charged_hours(Decimal(worked), one) == Decimal(expected)


@given(st.decimals("0.01", "100", places=2), st.sampled_from(["0.1", "0.25", "0.5", "1"]))
def test_no_hour_that_was_worked_is_lost_and_less_than_a_step_is_added(
    worked: Decimal, increment: str
) -> None:
    step = Decimal(increment)

    hours = charged_hours(worked, HourlyRate(1, Decimal(1), increment=step))

    assert worked <= hours < worked + step
    assert hours % step == 0


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([], None),
        ([rate(1)], 1),
        ([rate(1), rate(2, client_id=7)], 2),
        ([rate(1), rate(2, client_id=8)], 1),
        ([rate(1, client_id=8)], None),
        ([rate(1, client_id=7), rate(2, contract_id=3)], 2),
        ([rate(1, contract_id=3), rate(2, contract_id=3, client_id=7)], 2),
        ([rate(1, contract_id=4)], None),
        ([rate(1), rate(2, starts_at=EARLIER)], 2),
        ([rate(1), rate(2, starts_at=LATER)], 1),
        ([rate(1, ends_at=LATER), rate(2, ends_at=EARLIER)], 1),
        ([rate(1, starts_at=NOON)], 1),
        ([rate(1, ends_at=NOON)], None),
        ([rate(2), rate(1)], 1),
        ([rate(1, starts_at=datetime(2026, 2, 1, tzinfo=UTC)), rate(2, starts_at=EARLIER)], 1),
    ],
)
def test_the_nearest_rate_that_is_current_counts(
    rates: list[HourlyRate], expected: int | None
) -> None:
    found = rate_for(rates, client_id=7, contract_id=3, at=NOON)

    assert (found.id if found else None) == expected


def test_the_first_contracts_rate_comes_before_the_clients_own() -> None:
    rates = [rate(1, client_id=7), rate(2, contract_id=1)]

    found = rate_for(rates, client_id=7, contract_id=1, at=NOON)

    assert found is not None
    assert found.id == 2

"""One mutation at a time per Stripe customer: whose turn it is, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from app.payments.autopay.attempts import LEASE
from app.payments.autopay.leases import LeaseHolder, acquire_customer_lease, release_customer_lease
from app.storage.engines import Database

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS, THEIRS = LeaseHolder("ours"), LeaseHolder("theirs")


async def test_a_customers_turn_is_one_holders_until_it_is_given_back_or_over(
    database_url: str,
) -> None:
    database = Database(database_url)

    async def taken(holder: LeaseHolder, now: datetime, customer: str = "cus_1") -> bool:
        async with database.transaction() as tx:
            return await acquire_customer_lease(tx, customer, holder, now=now)

    async def given_back(holder: LeaseHolder, now: datetime) -> None:
        async with database.transaction() as tx:
            await release_customer_lease(tx, "cus_1", holder, now=now)

    assert await taken(OURS, NOW)
    assert not await taken(THEIRS, NOW)
    assert await taken(THEIRS, NOW, "cus_2")
    assert await taken(OURS, NOW + timedelta(seconds=1))  # ours again, and longer

    await given_back(THEIRS, NOW)  # what is not theirs they cannot give back
    assert not await taken(THEIRS, NOW + LEASE)

    await given_back(OURS, NOW + timedelta(seconds=2))
    assert await taken(THEIRS, NOW + timedelta(seconds=2))
    assert not await taken(OURS, NOW + timedelta(seconds=3))
    assert await taken(OURS, NOW + timedelta(seconds=2) + LEASE)  # as after a crash
    await database.close()

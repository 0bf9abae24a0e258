"""Nodes share Stripe's pace through the database: together never faster, and little is wasted."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator

import pytest

from app.payments.stripe import rate_limiter
from app.payments.stripe.rate_limiter import StripeRateLimiter
from app.storage.engines import Database

pytestmark = pytest.mark.anyio

PER_SECOND = 40
# A moment may be used up to a quarter of a second late, next to those of the second after it.
BURST = PER_SECOND * rate_limiter._LATE_S + 2


@pytest.fixture
async def nodes(database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    one, other = Database(database_url), Database(database_url)
    yield one, other
    await one.close()
    await other.close()


async def _used(node: StripeRateLimiter, endpoint: str, until: float) -> list[float]:
    moments = []
    while time.monotonic() < until:
        await node.acquire(endpoint)
        moments.append(time.monotonic())
    return moments


def _most_in_a_second(moments: list[float]) -> int:
    return max(sum(first <= one < first + 1 for one in moments) for first in moments)


async def test_nodes_together_keep_the_pace_and_waste_little(
    nodes: tuple[Database, Database],
) -> None:
    paces = [StripeRateLimiter(node, PER_SECOND) for node in (nodes[0], nodes[0], nodes[1])]
    until = time.monotonic() + 2.5

    used = await asyncio.gather(*(_used(each, rate_limiter.CONFIRM, until) for each in paces))

    moments = sorted(itertools.chain.from_iterable(used))
    assert _most_in_a_second(moments) <= PER_SECOND + BURST
    assert len(moments) >= PER_SECOND * 2.5 / 2
    assert all(used)


async def test_each_endpoint_has_a_pace_of_its_own(nodes: tuple[Database, Database]) -> None:
    node = StripeRateLimiter(nodes[0], 1)

    first = [
        await node._moment(one)
        for one in (rate_limiter.CREATE, rate_limiter.CONFIRM, rate_limiter.LIST)
    ]

    assert max(first) - min(first) < 1


async def test_reserved_moments_follow_each_other_over_all_nodes(
    nodes: tuple[Database, Database],
) -> None:
    one, other = (StripeRateLimiter(node, 20) for node in nodes)

    mine = [await one._moment(rate_limiter.CREATE) for _ in range(10)]
    others = [await other._moment(rate_limiter.CREATE) for _ in range(10)]

    moments = sorted(mine + others)
    steps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert min(steps) > 0.5 / 20
    assert min(others) > max(mine)


async def test_a_node_that_sleeps_loses_only_its_own_moments(
    nodes: tuple[Database, Database],
) -> None:
    sleepy, awake = (StripeRateLimiter(node, 20) for node in nodes)
    first = await sleepy._moment(rate_limiter.CREATE)

    await asyncio.sleep(1.5)  # longer than all its reserved moments are good for
    now = time.monotonic()
    mine = await awake._moment(rate_limiter.CREATE)
    again = await sleepy._moment(rate_limiter.CREATE)

    assert first < now - 1
    assert mine < now + 1
    assert again > now - rate_limiter._LATE_S

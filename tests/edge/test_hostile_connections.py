"""Hundreds of hostile connections hold little, are soon gone, and keep nothing from Stripe."""

from pathlib import Path
from typing import Any

import pytest

from app.connection_guard import ConnectionLimits
from app.settings import Settings
from tests.edge.hostile_connections import GONE_S_MAX, HELD_KIB_MAX, attacked, served

pytestmark = pytest.mark.anyio

CONNECTIONS = 300
# A third of those that `python -m tests.edge.hostile_connections` makes, and of the bodies, sooner.
FEWER: dict[str, Any] = {
    "PAYDUE_CONNECTIONS_MAX": "280",
    "PAYDUE_UNFINISHED_BODIES_MAX": str(2500 * 1024),
    "PAYDUE_HEAD_TIMEOUT": "2",
    "PAYDUE_BODY_TIMEOUT": "2",
}


@pytest.mark.slow
async def test_hostile_connections_hold_little_and_keep_nothing_from_stripe(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, **FEWER) as serving:
        found = await attacked(serving, CONNECTIONS, seconds=2)

    assert found.most_sockets > CONNECTIONS // 2
    assert found.held_kib < HELD_KIB_MAX
    assert found.gone_after_s < GONE_S_MAX
    assert set(found.statuses) == {200}


def test_by_the_shipped_settings_every_hostile_connection_is_gone_in_time() -> None:
    limits = ConnectionLimits.of(Settings.model_construct())

    # A deadline is a tick later than its setting, and an answer is seen unread a tick late.
    assert max(limits.head_s, limits.body_s) + 2 < GONE_S_MAX

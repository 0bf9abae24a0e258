"""A minute of the soak on each engine: whatever fault there is, nothing is lost or doubled."""

import pytest

from tests.conftest import absent
from tests.postgres import binaries
from tests.soak.running import Plan, soak

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

MINUTE = 60.0


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_minute_of_faults_under_load_loses_and_doubles_nothing(engine: str) -> None:
    if engine == "postgresql" and binaries() is None:
        absent("no PostgreSQL binaries on this machine")

    verdict = await soak(
        Plan(engine, MINUTE, rate=10, gap=(2, 5), run_every=10, invoices_a_run=5, seed=14)
    )

    assert verdict.wrong == []
    assert len(verdict.faults) >= 4
    assert verdict.figures["acknowledged"] == verdict.figures["events sent by the load"] > 0
    assert verdict.figures["charged by autopay"] > 0

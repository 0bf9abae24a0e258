"""A few templates over years, on both engines; `recurring_years` plays a thousand over five."""

import pytest

from app.storage.engines import Database
from tests.simulation import recurring_years

pytestmark = pytest.mark.anyio


async def test_every_period_and_every_one_time_charge_is_billed_once(database: Database) -> None:
    played = await recurring_years.play(database, templates=8, years=2, seed=5)

    assert played.acts["invoices"] > 50
    assert {"overlapping", "killed", "_delete", "_set_back", "_process"} <= played.acts.keys()

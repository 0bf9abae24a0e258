"""Whether all of autopay stands still: by a person, or by a run that is unlike the others."""

from datetime import date
from typing import NamedTuple

from sqlalchemy import select

from app.ledger.autopay_pauses import load_pauses
from app.payments.autopay.run_history import RunState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.autopay_policies import AutopayRun

RUNS = table_of(AutopayRun)


class Brakes(NamedTuple):
    """`held_run_id` is the newest run where it charged nothing and asks for approval."""

    is_paused: bool
    held_run_id: int | None


async def load_brakes(tx: Tx, today: date) -> Brakes:
    pauses = await load_pauses(tx, (), ())
    newest = select(RUNS.c.id, RUNS.c.state).where(RUNS.c.is_dry.is_(False))
    row = (await tx.execute(newest.order_by(RUNS.c.id.desc()).limit(1))).one_or_none()
    is_paused = any(one.until is None or one.until > today for one in pauses)
    return Brakes(is_paused, row.id if row and row.state == RunState.HELD else None)

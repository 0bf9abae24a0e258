"""Acts by and on users: each is a row that the user can read, and a security event of the log."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Table, insert, select

from app.console.people.sessions import Device
from app.security_log import SecurityEvent, log_security_event
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.console_people import ConsoleUserEvent

USER_EVENTS: Table = table_of(ConsoleUserEvent)

_LISTED = 50


class Act(NamedTuple):
    """Who did something and when, and with which device if it was done in the console."""

    by: str
    now: datetime
    device: Device | None = None


class UserEventSummary(NamedTuple):
    """An act as the user it is about sees it."""

    at: datetime
    kind: str
    by: str
    peer: str | None
    user_agent: str | None
    detail: str | None


async def record_user_event(
    tx: Tx, kind: SecurityEvent, user_id: int, act: Act, detail: str | None = None
) -> None:
    """Write the act down. The log has it at once, so that it knows of tries that fail as well."""
    device = act.device
    await tx.execute(
        insert(USER_EVENTS).values(
            user_id=user_id, kind=str(kind), at=act.now, by=act.by, detail=detail,
            peer=device.peer if device else None,
            user_agent=device.user_agent if device else None,
        )
    )  # fmt: skip
    log_security_event(
        kind, user_id=user_id, by=act.by, peer=device.peer if device else None, detail=detail
    )


async def list_user_events(tx: Tx, user_id: int) -> list[UserEventSummary]:
    """The newest acts by and on a user, the newest first."""
    columns = (USER_EVENTS.c[name] for name in UserEventSummary._fields)
    found = await tx.execute(
        select(*columns)
        .where(USER_EVENTS.c.user_id == user_id)
        .order_by(USER_EVENTS.c.id.desc())
        .limit(_LISTED)
    )
    return [UserEventSummary(*row) for row in found]

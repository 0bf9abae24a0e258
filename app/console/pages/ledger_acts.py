"""An action that writes to the ledger: who acts, when and where, and the note that it leaves."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from starlette.requests import Request

from app.console.routing import Viewer
from app.ledger import audit
from app.rules.home import Home, home_of
from app.storage.engines import Database, Tx


class LedgerContext(TypedDict):
    """The arguments that every write of the ledger takes."""

    now: datetime
    who: str
    home: Home


def ledger_context(request: Request, viewer: Viewer) -> LedgerContext:
    state = request.app.state
    return LedgerContext(now=state.clock(), who=who(viewer), home=home_of(state.settings))


def who(viewer: Viewer) -> str:
    """The name under which the console's acts stand in the history."""
    return viewer.login


def database_of(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def write_notes(
    tx: Tx, invoice_ids: Sequence[int], text: str, *, now: datetime, who: str, home: Home
) -> None:
    """A note stands in an invoice's history, as one that the API reports does."""
    records = [{"invoice_id": one, "field_name": "note", "new_value": text} for one in invoice_ids]
    await audit.save(tx, records, now=now, who=who, home=home)

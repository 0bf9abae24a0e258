"""Messages of the outbox, as people and programs look at them."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from app.errors import NotFound
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.outbox_messages import OutboxMessage

OUTBOX = table_of(OutboxMessage)
LISTED_MAX = 1000


class ListedMessage(NamedTuple):
    """A message without its texts."""

    id: int
    channel: str
    kind: str
    state: str
    client_id: int | None
    invoice_id: int | None
    recipient: str | None
    subject: str | None
    created_at: datetime
    sent_at: datetime | None
    tries: int
    next_try_at: datetime
    error: str | None
    message_id: str | None

    def as_dict(self) -> dict[str, Any]:
        """The message as JSON."""
        found = self._asdict()
        for name in ("created_at", "sent_at", "next_try_at"):
            found[name] = found[name].isoformat() if found[name] else None
        return found


async def list_messages(
    tx: Tx, *, state: str = "", kind: str = "", client_id: int | None = None, limit: int = 50
) -> list[ListedMessage]:
    """The newest messages first."""
    statement = select(*projection(OUTBOX, ListedMessage)).order_by(OUTBOX.c.id.desc())
    if state:
        statement = statement.where(OUTBOX.c.state == state)
    if kind:
        statement = statement.where(OUTBOX.c.kind == kind)
    if client_id is not None:
        statement = statement.where(OUTBOX.c.client_id == client_id)
    return [ListedMessage._make(row) for row in await tx.execute(statement.limit(limit))]


class MessageTexts(NamedTuple):
    """A message's texts as they were sent; None before."""

    text_body: str | None
    html_body: str | None


async def load_message(tx: Tx, message_id: int) -> tuple[ListedMessage, MessageTexts]:
    """The message with its texts, or NotFound."""
    columns = [*projection(OUTBOX, ListedMessage), *projection(OUTBOX, MessageTexts)]
    found = await tx.execute(select(*columns).where(OUTBOX.c.id == message_id))
    row = found.one_or_none()
    if row is None:
        raise NotFound("message", message_id)
    return ListedMessage._make(row[:-2]), MessageTexts._make(row[-2:])

"""GET /inbox/replaying/{at}/{of}: how far is the worker with the events that were made due at once?

Their moment, in microseconds, tells them from all others: what has been tried is due at another.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.chrome import id_in_path, reading, show
from app.console.routing import Viewer
from app.errors import NotFound
from app.storage.column_types import table_of
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, StripeEvent

EVENTS = table_of(StripeEvent)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Of a moment that a date can have.
_DIGITS_MAX = 17


def replaying_path(at: datetime, number: int) -> str:
    """The page of so many events that were made due at this moment."""
    return f"/inbox/replaying/{(at - _EPOCH) // _MICROSECOND}/{number}"


async def replaying_page(request: Request, viewer: Viewer) -> Response:
    given, number = id_in_path(request, "at", "replay"), id_in_path(request, "of", "replay")
    if len(str(given)) > _DIGITS_MAX:
        raise NotFound("replay", given)
    at = _EPOCH + given * _MICROSECOND
    async with reading(request) as tx:
        waiting = await tx.scalar(
            select(func.count()).where(IS_PARKED_OR_DEAD, EVENTS.c.next_try_at == at)
        )
        left = min(waiting or 0, number)
        return await show(
            request, viewer, tx, "replaying.html", number=number, tried=number - left, left=left
        )

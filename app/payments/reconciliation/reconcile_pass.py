"""One pass of a reconciliation: from when it asks, what it has found, what it could not read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from app.errors import AppError
from app.payments.stripe.gateway import Gateway
from app.payments.stripe.stripe_objects import instant_of, reference
from app.storage.engines import Database

log = structlog.get_logger("paydue.reconcile")
T = TypeVar("T")

BATCH = 100
# So many unreadable objects are named; the rest is a number.
NAMED_MAX = 10


@dataclass(slots=True)
class ReconcileResult:
    """Counts of one reconciliation: objects read, those new to us, and those we cannot read."""

    events: int = 0
    events_new: int = 0
    intents: int = 0
    intents_new: int = 0
    reversals: int = 0
    asked: int = 0
    orphans_canceled: int = 0
    attempts_restored: int = 0
    unreadable: int = 0
    unreadable_ids: list[str] = field(default_factory=list)

    def log_fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class ReconcilePass:
    """A pass under way, handed from part to part."""

    database: Database
    gateway: Gateway
    installation: str
    stop: asyncio.Event
    since: datetime
    found: ReconcileResult = field(default_factory=ReconcileResult)
    # The latest `created` of what was read: Stripe's clock, which ours need not agree with.
    newest: datetime | None = None
    # Intents that were asked about by their id without an answer.
    unanswered: int = 0
    # Attempts of ours that events name and this database does not know.
    attempts_unknown: int = 0
    # False once something was passed over that the next pass has to read.
    is_complete: bool = True

    async def pages(
        self, listed: AsyncIterator[Mapping[str, Any]]
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        """The objects of a list in batches, until the pass is told to stop."""
        page: list[Mapping[str, Any]] = []
        async for one in listed:
            self._note_time(one)
            page.append(one)
            if len(page) == BATCH:
                if self.stop.is_set():
                    return
                yield page
                page = []
        if page and not self.stop.is_set():
            yield page

    def readable(
        self, objects: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], T]
    ) -> list[T]:
        """Each object as `read` answers it. The unreadable ones are reported and passed over."""
        return [report for one in objects for report in self._read_one(one, read)]

    def report_unreadable(self, object_id: str | None, why: str) -> None:
        """Count an object, once although it was met in a list and by its id; name the first few."""
        if object_id in self.found.unreadable_ids:
            return
        self.found.unreadable += 1
        if len(self.found.unreadable_ids) < NAMED_MAX:
            self.found.unreadable_ids.append(object_id or "without an id")
            log.warning("object not readable", object=object_id, why=why)

    def _read_one(self, one: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T]) -> list[T]:
        try:
            return [read(one)]
        except AppError as error:
            self.report_unreadable(reference(one), error.message)
        except Exception as error:  # a shape nobody foresaw must not hide the objects beside it
            self.report_unreadable(reference(one), repr(error))
        return []

    def _note_time(self, one: Mapping[str, Any]) -> None:
        """Nothing is newer than now: a wrong `created` must not move the cursor past the rest."""
        created = instant_of(one, "created")
        if created is not None and created <= datetime.now(UTC):
            self.newest = max(self.newest or created, created)

"""The surroundings of charges: the process, its run, its customers' turns, and a person's wish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from weakref import WeakValueDictionary

from app.payments.autopay.leases import LeaseHolder
from app.payments.autopay.other_ways import GuestSessions
from app.payments.autopay.ruling import Policies
from app.payments.stripe.gateway import Gateway
from app.rules import calendar
from app.settings import Settings
from app.storage.engines import Database


class CustomerTurns:
    """A lock for each Stripe customer that is being charged; it goes with its last user.

    Invoices of one customer stand on several pages, and so with several workers of a run, which
    share its lease. Stripe locks the customer while it charges, and refuses who comes meanwhile.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, customer_id: str | None) -> AsyncIterator[None]:
        """Wait for the customer's other charges of this run, then keep them out."""
        lock = self._locks.setdefault(customer_id or "", asyncio.Lock())
        async with lock:
            yield


@dataclass(frozen=True, slots=True)
class Charging:
    """The surroundings of a run's or a worker's charges. `day` None: each client's own today."""

    database: Database
    gateway: Gateway
    settings: Settings
    installation: str
    holder: LeaseHolder
    guests: GuestSessions
    policies: Policies
    day: date | None = None
    # The key's account and mode, where Stripe told them.
    account: str | None = None
    turns: CustomerTurns = field(default_factory=CustomerTurns)
    epoch: int = 0
    # When the run began, for what it may take.
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def today(self, timezone: str | None) -> date:
        return self.day or calendar.business_day(
            datetime.now(UTC), timezone or self.settings.timezone
        )


@dataclass(frozen=True, slots=True)
class ManualRetry:
    """A person's wish to charge an invoice now, whatever its last verdict says of the day."""

    reason: str
    who: str

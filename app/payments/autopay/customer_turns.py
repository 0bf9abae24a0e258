"""One charge at a time per Stripe customer within a run; a lease keeps other runs out.

Invoices of one customer stand on several pages, and so with several workers of a run, which share
its lease. Stripe locks the customer while it charges, and refuses whoever comes meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class CustomerTurns:
    """A lock for each customer that is being charged; it goes with its last user."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, customer_id: str | None) -> AsyncIterator[None]:
        """Wait for the customer's other charges of this run, then keep them out."""
        lock = self._locks.setdefault(customer_id or "", asyncio.Lock())
        async with lock:
            yield

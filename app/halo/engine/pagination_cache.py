"""What is remembered of a long list while somebody walks through it: length, and places of pages.

To count a long list, or to skip to its ten-thousandth page, takes the database longer than the page
itself. So a long list's length is counted again only after some seconds, and a page in the order of
ids begins behind the last row that the page before it showed: whatever is inserted or deleted
meanwhile, the walk meets no row twice and skips none.
"""

import time
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

from app.storage.engines import Tx

# Fewer are counted in a millisecond, and then the number is always the present one.
LONG = 5_000
# How old a long list's length may be, and how long a client may take for a page.
COUNT_LASTS_S = 5.0
PLACE_LASTS_S = 60.0
# Lists and places remembered at once; without them only speed is lost.
REMEMBERED_MAX = 4096


class PaginationCache:
    """What one process remembers of one database."""

    def __init__(self) -> None:
        self._totals: dict[Hashable, tuple[float, int]] = {}
        self._places: dict[Hashable, tuple[float, int]] = {}

    def total(self, which: Hashable) -> int | None:
        return _fresh(self._totals, which)

    def counted(self, which: Hashable, total: int) -> None:
        if total >= LONG:
            _keep(self._totals, which, total, COUNT_LASTS_S)

    def place(self, which: Hashable, page: int) -> int | None:
        """The id behind which this page begins."""
        return _fresh(self._places, (which, page))

    def seen(self, which: Hashable, page: int, before: int, last: int) -> None:
        """A page was shown: the id before its first one, and its last one."""
        _keep(self._places, (which, page), before, PLACE_LASTS_S)
        _keep(self._places, (which, page + 1), last, PLACE_LASTS_S)


def cache_of(tx: Tx) -> PaginationCache:
    """What is remembered of the database of this transaction."""
    connection = tx.sync_connection
    assert connection is not None, "a transaction is open"
    return _of_database.setdefault(connection.engine, PaginationCache())


_of_database: WeakKeyDictionary[Any, PaginationCache] = WeakKeyDictionary()


def _fresh(known: dict[Hashable, tuple[float, int]], key: Hashable) -> int | None:
    until, value = known.get(key, (0.0, 0))
    return value if time.monotonic() < until else None


def _keep(
    known: dict[Hashable, tuple[float, int]], key: Hashable, value: int, lasts_s: float
) -> None:
    if len(known) >= REMEMBERED_MAX:
        known.clear()
    known[key] = (time.monotonic() + lasts_s, value)

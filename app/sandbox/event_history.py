"""The events of a sandbox as a sequence, for tests that read them all."""

from collections.abc import Iterator, Sequence
from typing import overload

from app.sandbox.account.account_state import AccountEvent, ObjectTable
from app.sandbox.account.event_rendering import render_event
from app.sandbox.account.object_templates import Obj


class EventHistory(Sequence[Obj]):
    """Every Event object, oldest first; each is rendered when it is read."""

    def __init__(self, table: ObjectTable[AccountEvent]) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, at: int) -> Obj: ...
    @overload
    def __getitem__(self, at: slice) -> list[Obj]: ...
    def __getitem__(self, at: int | slice) -> Obj | list[Obj]:
        if isinstance(at, slice):
            return [render_event(self._table.at(place)) for place in range(len(self))[at]]
        return render_event(self._table.at(range(len(self))[at]))

    def __iter__(self) -> Iterator[Obj]:
        return (render_event(event) for event in self._table.rows())

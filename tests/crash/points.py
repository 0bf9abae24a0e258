"""The moments at which a process may die: around every commit, and around every call to Stripe."""

import contextlib
import os
import re
import signal
from collections import Counter
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.storage.engines import Database

BEFORE, AFTER = "before", "after"
_WRITTEN = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "?(\w+)"?')
ARM = "/_crash/arm"


@dataclass
class Commits:
    """Counts the commits of a process, by what was written, and dies at the one it is told.

    Reservations of pace hang on the clock, so they are counted apart: every run has at least one
    for each endpoint it calls.
    """

    database: Database
    die_at: str | None
    seen: MutableSequence[str] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)

    def watch(self) -> None:
        engine = self.database._writer.sync_engine
        really_commit = engine.dialect.do_commit

        @event.listens_for(engine, "before_cursor_execute")
        def written(connection: Any, _: Any, statement: str, values: Any, *__: Any) -> None:
            _note(connection, statement, values)

        @event.listens_for(engine, "commit")
        def committing(connection: Any) -> None:
            connection.info["point"] = self._named(connection.info.pop("written", []))
            self._pass(connection.info["point"], BEFORE)

        def commit(connection: Any) -> None:
            really_commit(connection)
            self._pass(connection.info.pop("point", None), AFTER)

        engine.dialect.do_commit = commit

    def _named(self, written: list[tuple[str, Any]]) -> str | None:
        if not written:
            return None
        tables = sorted({table for table, _ in written})
        if "stripe_event" in tables:
            return f"commit of {_event_ids(written)}"
        kind = "pace" if tables == ["pace"] else "commit"
        self._counts[kind] += 1
        return f"{kind} {self._counts[kind]}: {', '.join(tables)}"

    def _pass(self, point: str | None, side: str) -> None:
        if point is None:
            return
        self.seen.append(f"{side} {point}")
        if self.die_at and is_point(self.die_at, f"{side} {point}"):
            os.kill(os.getpid(), signal.SIGKILL)


def _note(connection: Any, statement: str, values: Any) -> None:
    found = _WRITTEN.match(statement)
    if found:
        connection.info.setdefault("written", []).append((found[1], values))


def is_point(wanted: str, passed: str) -> bool:
    """`after commit of evt_3` is passed by the commit of a batch that evt_3 is in."""
    head, _, ids = passed.partition(" commit of ")
    if ids:
        side, _, wanted_ids = wanted.partition(" commit of ")
        return head == side and not set(wanted_ids.split()).isdisjoint(ids.split())
    return wanted == passed


def _event_ids(written: list[tuple[str, Any]]) -> str:
    """The ids of the events that a transaction stores, wherever they stand among its values."""
    text = repr([values for table, values in written if table == "stripe_event"])
    return " ".join(sorted(set(re.findall(r"'(evt_\w+)'", text))))


class Calls:
    """Stripe, whose nth request may be the last that the process gets to send.

    Killed before, the request was never carried out; killed after, its answer went nowhere.
    Guests' sessions are listed again when a second has passed, so a slow run asks for them more
    often than a fast one: these calls are counted apart.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.pid: int | None = None
        self.die_at: str | None = None
        self.every: int | None = None
        self.killed = 0
        self.seen: list[str] = []
        self._counts: Counter[str] = Counter()
        self._since = 0

    def aim(self, pid: int, die_at: str | None = None, every: int | None = None) -> None:
        """At the process whose requests are counted once it has called `ARM`."""
        self.pid, self.die_at, self.every = pid, die_at, every
        self.seen, self._since = [], 0
        self._counts.clear()
        self._is_armed = False

    _is_armed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == ARM:
            self._is_armed = True
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        elif scope["type"] == "http" and scope["path"].startswith("/v1/") and self._is_armed:
            await self._counted(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = "look for guests" if _lists_guests(scope) else "call"
        self._counts[kind] += 1
        point = f"{kind} {self._counts[kind]}"
        self.seen.append(f"{point}: {scope['method']} {_template(scope['path'])}")
        self._since += 1
        wanted = (self.die_at or "").partition(":")[0]
        if wanted == f"{BEFORE} {point}":
            self._kill()
            await _gone(receive)
        elif wanted == f"{AFTER} {point}" or self._since == self.every:
            await self._app(scope, receive, _nowhere)
            self._kill()
            await _gone(receive)
        else:
            await self._app(scope, receive, send)

    def _kill(self) -> None:
        assert self.pid is not None
        with contextlib.suppress(ProcessLookupError):  # it ended before Stripe had answered
            os.kill(self.pid, signal.SIGKILL)
            self.killed += 1


def _lists_guests(scope: Scope) -> bool:
    lists_sessions = scope["method"] == "GET" and scope["path"] == "/v1/checkout/sessions"
    return lists_sessions and b"customer=" not in scope["query_string"]


def _template(path: str) -> str:
    return re.sub(r"/(pi|cus|cs)_\w+", r"/{id}", path.removeprefix("/v1/"))


async def _nowhere(_: Message) -> None:
    """An answer whose reader is dead."""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

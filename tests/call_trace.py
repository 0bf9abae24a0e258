"""How many files, functions and moves between files a request takes; a table, or JSON.

    python -m tests.call_trace                    the five requests
    python -m tests.call_trace webhook --path     every call of one of them, in order
    python -m tests.call_trace charge --pairs     the moves between each pair of files, most first
    python -m tests.call_trace --json             the same for a program

Each request is served by a Paydue of its own, on SQLite in a file, with the sandbox as Stripe, all
in one process; it is sent once to fill the caches and then traced with `sys.setprofile`, in the
event loop's thread and in the database's threads.

Definitions. A call counts when its code stands in a file of `app`, `app/sandbox` left out: the
entry of a function, a method, a property or a lambda, and the resumption of a coroutine that had
waited. Comprehensions, generator expressions and class bodies are part of the function they stand
in. Constructors that `dataclass` or `NamedTuple` generate stand in no file and do not count.

    files       the distinct files of all calls
    functions   the distinct functions of all calls
    moves       the calls whose file is not that of the call before in the same thread

Behind these stand the files and moves with all of `app/storage` as one place, for who follows a
request stops at the statement and seldom goes on into the driver, the lock and the converters below
it; and, last, the moves of those without resumptions, which is the way that a reader reads.

A resumption counts because a reader meets it too: a coroutine that waits under six others takes
him through all seven once more. Returns do not count. Of several runs the one with the fewest moves
is given: a busy machine adds waits, which say nothing about the code.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import structlog

import app
from tests.harness import Paydue, Sandbox, event, intent, settings_for

ROOT = Path(app.__file__).parent
LEFT_OUT = "sandbox"
STORAGE = "storage/"
RUNS = 3
_PART_OF_A_FUNCTION = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<module>"}

Headers = dict[str, str]
Send = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the file below `app`, the function with its class, and who called."""

    file: str
    function: str
    thread: int
    is_resumption: bool = False


@dataclass(slots=True)
class Trace:
    """The calls of one request, in order."""

    calls: list[Call] = field(default_factory=list)
    codes: set[CodeType] = field(default_factory=set)
    # Kept alive, so that a frame met again is one that had waited.
    frames: set[FrameType] = field(default_factory=set)

    @property
    def files(self) -> list[str]:
        """Each file once, in the order of the first visit."""
        return list(dict.fromkeys(call.file for call in self.calls))

    @property
    def pairs(self) -> Counter[tuple[str, str]]:
        """The moves between each two files, in either direction."""
        of_thread: dict[int, list[str]] = defaultdict(list)
        for call in self.calls:
            of_thread[call.thread].append(call.file)
        steps = chain.from_iterable(pairwise(files) for files in of_thread.values())
        return Counter((min(step), max(step)) for step in steps if step[0] != step[1])

    @property
    def moves(self) -> int:
        return self.pairs.total()

    def above_storage(self) -> "Trace":
        """The same calls, with storage as one place."""
        calls = [replace(call, file=_place_of(call.file)) for call in self.calls]
        return Trace(calls, self.codes)

    def without_resumptions(self) -> "Trace":
        return Trace([call for call in self.calls if not call.is_resumption], self.codes)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Records the calls of this thread, and of threads started under `in_new_threads`."""
        _recorder.trace = self
        sys.setprofile(_recorder)
        try:
            yield
        finally:
            sys.setprofile(None)
            _recorder.trace = None


def _place_of(file: str) -> str:
    return "storage" if file.startswith(STORAGE) else file


class Recorder:
    """The profile function of every thread; it records while there is a trace."""

    trace: Trace | None = None

    def __call__(self, frame: FrameType, what: str, _: Any) -> None:
        if self.trace is None or what != "call":
            return
        code = frame.f_code
        file = _file_of(code)
        if file is not None:
            seen = frame in self.trace.frames
            self.trace.calls.append(Call(file, code.co_qualname, threading.get_ident(), seen))
            self.trace.codes.add(code)
            self.trace.frames.add(frame)


_recorder = Recorder()


def _file_of(code: CodeType) -> str | None:
    """The file of a call that counts, below `app`."""
    path = Path(code.co_filename)
    if code.co_name in _PART_OF_A_FUNCTION or not path.is_relative_to(ROOT):
        return None
    file = path.relative_to(ROOT)
    return None if file.parts[0] == LEFT_OUT else str(file)


@contextlib.contextmanager
def in_new_threads() -> Iterator[None]:
    """Threads that start meanwhile are recorded too: drivers of databases have theirs."""
    threading.setprofile(_recorder)
    try:
        yield
    finally:
        threading.setprofile(None)


# --- the requests ----------------------------------------------------------------------------


async def webhook(paydue: Paydue, _: Headers) -> Send:
    """One event that pays an invoice."""
    invoice = await paydue.an_invoice()
    delivered = event("payment_intent.succeeded", intent(invoice))

    async def send() -> None:
        assert await paydue.deliver(delivered) == [200]

    return send


async def charge(paydue: Paydue, _: Headers) -> Send:
    """An autopay run that charges one invoice."""
    invoice = await paydue.an_invoice()

    async def send() -> None:
        report = await paydue.autopay()
        assert [one["invoice_id"] for one in report["charged"]] == [invoice]

    return send


async def listing(paydue: Paydue, headers: Headers) -> Send:
    """A page of one client's invoices."""
    await paydue.an_invoice()
    wanted = {"client_id": "1", "pageinate": "true", "page_size": "10", "page_no": "1"}
    return _api(paydue, headers, "GET", "/api/Invoice", params=wanted)


async def create(paydue: Paydue, headers: Headers) -> Send:
    """A new invoice with one line."""
    client = await paydue.a_client()
    body = [{"client_id": client, "lines": [{"qty_order": 1, "unit_price": 10}]}]
    return _api(paydue, headers, "POST", "/api/Invoice", json=body)


async def details(paydue: Paydue, headers: Headers) -> Send:
    """One invoice with all that hangs on it."""
    await paydue.an_invoice()
    return _api(paydue, headers, "GET", "/api/Invoice/1", params={"includedetails": "true"})


def _api(paydue: Paydue, headers: Headers, method: str, path: str, **options: Any) -> Send:
    async def send() -> None:
        async with paydue.http.request(method, path, headers=headers, **options) as answer:
            assert answer.status in (200, 201), await answer.text()
            await answer.read()

    return send


REQUESTS: dict[str, Callable[[Paydue, Headers], Awaitable[Send]]] = {
    "webhook": webhook,
    "charge": charge,
    "list": listing,
    "create": create,
    "details": details,
}


async def traced(name: str) -> Trace:
    """The trace with the fewest moves of several runs, each on a Paydue of its own."""
    return min([await _run(name) for _ in range(RUNS)], key=lambda one: one.moves)


async def _run(name: str) -> Trace:
    sandbox, trace = Sandbox(seed=0), Trace()
    with tempfile.TemporaryDirectory() as folder, in_new_threads():
        async with sandbox.running() as stripe:
            settings = settings_for(f"sqlite:///{folder}/paydue.db", stripe)
            async with Paydue.running(settings, sandbox) as paydue:
                headers = await paydue.access()
                await (await REQUESTS[name](paydue, headers))()
                send = await REQUESTS[name](paydue, headers)
                with trace.recording():
                    await send()
    return trace


# --- the command -----------------------------------------------------------------------------


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("requests", nargs="*", metavar="request", help=", ".join(REQUESTS))
    options.add_argument("--path", action="store_true", help="every call, in order")
    options.add_argument("--pairs", action="store_true", help="the moves between each two files")
    options.add_argument("--json", action="store_true", help="everything, as JSON")
    given = options.parse_args()
    unknown = set(given.requests) - set(REQUESTS)
    if unknown:
        options.error(f"no such request: {', '.join(sorted(unknown))}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = {name: asyncio.run(traced(name)) for name in given.requests or REQUESTS}
    text = _as_json(found) if given.json else _as_text(found, path=given.path, pairs=given.pairs)
    sys.stdout.write(f"{text}\n")


def _as_json(found: dict[str, Trace]) -> str:
    return json.dumps(
        {
            name: {
                "files": len(trace.files),
                "functions": len(trace.codes),
                "moves": trace.moves,
                "visited": trace.files,
                "pairs": [[*pair, count] for pair, count in trace.pairs.most_common()],
                "path": [[call.file, call.function] for call in trace.calls],
            }
            for name, trace in found.items()
        },
        indent=1,
    )


def _as_text(found: dict[str, Trace], *, path: bool, pairs: bool) -> str:
    blocks = [_table(HEAD, [_counts(name, one) for name, one in found.items()])]
    for name, trace in found.items():
        if path:
            blocks.append(f"{name}\n{_table(('file', 'function'), _collapsed(trace))}")
        if pairs:
            rows = [(*pair, count) for pair, count in trace.pairs.most_common()]
            blocks.append(f"{name}\n{_table(('file', 'and file', 'moves'), rows)}")
    return "\n\n".join(blocks)


HEAD = (
    "request", "files", "functions", "moves",
    "above storage: files", "moves", "without resumptions",
)  # fmt: skip


def _counts(name: str, one: Trace) -> tuple[str, int, int, int, int, int, int]:
    above = one.above_storage()
    return (
        name, len(one.files), len(one.codes), one.moves,
        len(above.files), above.moves, above.without_resumptions().moves,
    )  # fmt: skip


def _collapsed(trace: Trace) -> list[tuple[str, str]]:
    """The calls with each file named once a visit."""
    rows, before = [], ""
    for call in trace.calls:
        rows.append(("" if call.file == before else call.file, call.function))
        before = call.file
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    numbers = [isinstance(cell, int) for cell in rows[0]] if rows else [False] * len(head)
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""HTTP/1.1 as Paydue reads it: uvicorn's protocol over httptools, held to the RFCs and to limits.

httptools leaves four things to its user, and uvicorn to nobody: the size of a head, the time that
anything takes, the body of a request whose upgrade is ignored, and the trailers of a chunked body.
"""

import asyncio
import re
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from app.connection_guard import NEVER, ConnectionGuard, WriteWatch
from app.socket_buffers import bound_unsent_bytes, discard_unsent_bytes, unacknowledged_bytes

# nginx takes 32 KiB of headers at most, and Stripe sends one. With its own objects, a connection
# that never sends more holds less than 64 KiB.
HEAD_MAX = 48 * 1024
HEADERS_MAX = 100
# Nobody who matters pipelines; each request that waits for its turn costs kilobytes.
PIPELINED_MAX = 8
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*[ \t]*")
_VERSIONS = ("1.0", "1.1")

Headers = list[tuple[bytes, bytes]]
_NOWHERE = cast(Headers, deque[tuple[bytes, bytes]](maxlen=0))


class MalformedRequest(Exception):
    """A request that is not understood or not wanted; the connection ends with it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class HeadTooLarge(MalformedRequest):
    """More bytes or headers than a head may have. Raised anew each time: an exception keeps the
    frames that it went through, and one that is raised again and again keeps all of them."""

    def __init__(self) -> None:
        super().__init__(431, "head too large")


def check_head(method: bytes, version: str, url: bytes, headers: Headers) -> None:
    """Passes a head whose meaning no other reader of HTTP can dispute, else MalformedRequest."""
    size, hosts = len(url), 0
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
            _check_host(value)
        elif name == b"transfer-encoding":
            _check_coding(value, version)
    if size > HEAD_MAX:
        raise HeadTooLarge
    if hosts > 1 or (not hosts and version == "1.1"):
        raise MalformedRequest(400, "not one Host")
    _check_request_line(method, version, url)


def _check_request_line(method: bytes, version: str, url: bytes) -> None:
    if version not in _VERSIONS:
        raise MalformedRequest(505, "version not supported")
    if method == b"CONNECT":
        raise MalformedRequest(405, "CONNECT is not offered")
    if b"#" in url:
        raise MalformedRequest(400, "fragment in the target")


def _check_host(host: bytes) -> None:
    if not _HOST.fullmatch(host):
        raise MalformedRequest(400, "malformed Host")


def _check_coding(coding: bytes, version: str) -> None:
    if version == "1.0":
        raise MalformedRequest(400, "Transfer-Encoding in HTTP/1.0")
    if coding.strip().lower() != b"chunked":
        raise MalformedRequest(501, "transfer coding not supported")


class LimitedProtocol(HttpToolsProtocol):
    """One connection within its limits; whatever breaks one ends the connection.

    A refusal is written only when it cannot be taken for the answer to an earlier request: where
    earlier ones wait for theirs, they get them, and then the connection is closed without a word.
    """

    def __init__(
        self,
        guard: ConnectionGuard,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # A strict one: uvicorn's own goes on reading after the last request of a connection.
        self.parser = httptools.HttpRequestParser(self)
        self.peer: str | None = None
        self._guard = guard
        self._limits = guard.limits
        self.deadline = NEVER
        self._writes = WriteWatch()
        self._is_deaf = False
        self._has_answered = False
        self._is_reading = False
        self._is_unfinished = False  # a request has begun and has not ended
        self._is_in_body = False
        self._is_upgrade = False
        self._awaited = ""  # of the unfinished request, "head" or "body" once it is timed
        self._pending_bytes = 0
        self._answering: RequestResponseCycle | None = None

    # --- the connection ----------------------------------------------------------------------

    # uvicorn narrows asyncio.Protocol's argument, and so does whoever overrides its method.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._socket = transport.get_extra_info("socket")
        bound_unsent_bytes(self._socket)
        self.peer = self.client[0] if self.client else None
        refusal = self._guard.refusal(self)
        if refusal:
            self._refuse(MalformedRequest(503, refusal))
        else:
            self._set_reading()
            self.deadline = self._guard.tick + self._limits.head_s + 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        size = len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(_malformed(error))
        else:
            if self._is_unfinished:
                self._expect_the_rest(size)

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                # Read again as an ordinary request, whose body the parser then sees.
                data = self._head_without_upgrade() + data[stop.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in _without_upgrade(self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    # --- what the parser finds ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_unfinished = True
        self._has_answered = False
        self._is_in_body = self._is_upgrade = False
        self._awaited = ""
        self._pending_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        # At once, for a segment of headers alone makes megabytes of objects.
        if len(self.headers) >= HEADERS_MAX:
            raise HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        parser = self.parser
        check_head(parser.get_method(), parser.get_http_version(), self.url, self.headers)
        if parser.should_upgrade():
            self._is_upgrade = True
            return
        if len(self.pipeline) >= PIPELINED_MAX:
            raise MalformedRequest(429, "too many pipelined requests")
        super().on_headers_complete()
        self._is_in_body = True
        self.headers = _NOWHERE  # trailers: whoever put them there was not asked to
        if not self.pipeline:
            self._answering = self.cycle
        if self.expect_100_continue:
            # Answered early, the client may or may not send the body: nothing after it is certain.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if self._is_upgrade:
            return
        self._is_unfinished = False
        super().on_message_complete()
        if self.cycle.response_complete:
            self._become_idle()
        else:
            self.deadline = NEVER
            if self._is_reading:
                self._is_reading = False
                self._guard.set_busy(self)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._answering, app = self.pipeline.pop()
            self._start_asgi_task(self._answering, app)
        elif self._is_unfinished:
            # The rest of its body, or of the next request.
            self._guard.release_body(self)
            self._set_reading()
        else:
            self._become_idle()

    # --- limits ------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Every request has been answered, and every answer sent."""
        return self._has_answered and not self.transport.get_write_buffer_size()

    @property
    def is_unread(self) -> bool:
        """More of an answer is there than the peer takes."""
        return bool(self.transport.get_write_buffer_size())

    @property
    def stalls_at(self) -> int:
        return self._writes.deadline

    def _set_reading(self) -> None:
        self._is_reading = True
        self._guard.set_reading(self)

    def _become_idle(self) -> None:
        self._has_answered = True
        if self._is_reading:
            self._is_reading = False
            self._guard.set_busy(self)
        self.deadline = self._guard.tick + self._limits.idle_s + 1

    def _expect_the_rest(self, size: int) -> None:
        """A request has not come whole: from here on it is timed and its bytes are counted."""
        self._pending_bytes += size
        awaited = "body" if self._is_in_body else "head"
        if awaited != self._awaited:
            self._awaited = awaited
            allowed_s = self._limits.body_s if self._is_in_body else self._limits.head_s
            self.deadline = self._guard.tick + allowed_s + 1
        if self._is_in_body and self._pending_bytes > self._limits.wire_max + HEAD_MAX:
            self._refuse(MalformedRequest(413, "body too large"))
        elif not self._is_in_body and self._pending_bytes > HEAD_MAX:
            self._refuse(HeadTooLarge())
        elif not self._owes_an_earlier_answer():
            self._set_reading()
            if self._is_in_body and not self.cycle.response_complete:
                self._guard.hold_body(self, self._pending_bytes)

    def check_deadlines(self, tick: int) -> None:
        unsent = self.transport.get_write_buffer_size() or unacknowledged_bytes(self._socket)
        if self._writes.is_stalled(unsent, tick, self._limits.body_s):
            self.give_way("answer not taken")
        elif tick >= self.deadline:
            self._expire(tick)

    def _expire(self, tick: int) -> None:
        if not self._is_unfinished:
            self.transport.close()
        elif self._is_in_body and self.flow.read_paused:
            self.deadline = tick + self._limits.body_s  # it is we who do not read
        else:
            self._refuse(MalformedRequest(408, f"{self._awaited} took too long"))

    def give_way(self, reason: str) -> None:
        self._is_deaf = True
        self._guard.report(reason, self.peer)
        if self.cycle is not None:
            # Now: before the transport tells of the end, others may bring as much again.
            self.cycle.body = bytearray()
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        discard_unsent_bytes(self._socket)
        self.transport.abort()

    # --- refusals ----------------------------------------------------------------------------

    def _refuse(self, found: MalformedRequest) -> None:
        self._is_deaf = True
        self.deadline = NEVER
        self._guard.release_body(self)
        earlier = self._earlier_request()
        if earlier is None:
            self._guard.report(found.reason, self.peer)
            self._answer_and_close(found)
        elif earlier.keep_alive:
            self._guard.report(found.reason, self.peer)
            earlier.keep_alive = False

    def _owes_an_earlier_answer(self) -> bool:
        waiting = self._answering
        is_its_own = self._is_in_body and waiting is self.cycle
        return waiting is not None and not waiting.response_complete and not is_its_own

    def _earlier_request(self) -> RequestResponseCycle | None:
        """The last request before the refused one that still waits for its answer."""
        if self._is_unfinished and self._is_in_body:
            if not self.pipeline:
                return None
            self.pipeline.popleft()  # the refused one itself
        last = self.pipeline[0][0] if self.pipeline else self._answering
        return None if last is None or last.response_complete else last

    def _answer_and_close(self, found: MalformedRequest) -> None:
        if self._is_unfinished and self._is_in_body:
            cycle = self.cycle
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(found.reason)),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[found.status] + lines + b"\r\n" + found.reason.encode())
        self.transport.close()


def _malformed(error: httptools.HttpParserError) -> MalformedRequest:
    cause = error.__context__
    if isinstance(cause, MalformedRequest):
        return cause
    return MalformedRequest(400, "malformed request")


def _without_upgrade(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """The headers of a request whose upgrade is ignored; its other connection options stay."""
    for name, value in headers:
        if name == b"connection":
            options = [one.strip() for one in value.split(b",")]
            others = [one for one in options if one.lower() != b"upgrade"]
            if others:
                yield name, b", ".join(others)
        elif name != b"upgrade":
            yield name, value

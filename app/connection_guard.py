"""The limits of a server process's connections: how many, from whom, how long, and their bodies.

`http_protocol` reads requests and asks here; nothing else decides when a connection must go.
"""

import asyncio
import sys
from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol

import prometheus_client
import structlog

from app.settings import Settings

REFUSED = prometheus_client.Counter(
    "paydue_connections_refused_total", "Connections closed by a limit or a fault.", ["reason"]
)
log = structlog.get_logger("paydue.connections")

NEVER = sys.maxsize
# One line a reason and minute: an anonymous flood must not fill the disk with its own refusals.
_LOG_EVERY_TICKS = 60
# Descriptors for the database, the log and Stripe that connections must leave over.
_DESCRIPTORS_KEPT = 64
# A host has a whole /64 of IPv6 addresses to itself.
_IPV6_HOST_BITS = 64
# An answer goes on while each time so many bytes of it are taken.
_WRITE_STEP = 64 * 1024

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The settings that bound connections; times are in seconds, sizes in bytes."""

    connections_max: int
    peer_connections_max: int
    proxies: tuple[Network, ...]
    head_s: int
    body_s: int
    idle_s: int
    body_max: int
    unfinished_bodies_max: int

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        return cls(
            connections_max=min(settings.connections_max, _descriptors_max()),
            peer_connections_max=settings.peer_connections_max,
            proxies=tuple(ip_network(one) for one in settings.proxy_networks),
            head_s=settings.head_timeout,
            body_s=settings.body_timeout,
            idle_s=settings.idle_timeout,
            body_max=settings.body_max,
            unfinished_bodies_max=max(settings.unfinished_bodies_max, settings.body_max),
        )

    @property
    def wire_max(self) -> int:
        """Bytes of a body with its framing: a chunk of one byte takes six on the wire."""
        return 8 * self.body_max


def _descriptors_max() -> int:
    """Beyond its open files a process accepts nobody, not even Stripe."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return NEVER
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return NEVER if soft == resource.RLIM_INFINITY else max(1, soft - _DESCRIPTORS_KEPT)


class Connection(Protocol):
    """A connection as the guard sees it."""

    peer: str | None
    deadline: int

    @property
    def is_idle(self) -> bool:
        """Nothing is owed to the peer."""

    @property
    def is_unread(self) -> bool:
        """The peer takes less than it is sent."""

    @property
    def stalls_at(self) -> int:
        """The tick by which it must have taken more; NEVER if it takes all, or for a tick at most
        has not."""

    def check_deadlines(self, tick: int) -> None:
        """Close what has waited for too long."""

    def give_way(self, reason: str) -> None:
        """Close at once, in favour of others."""


class ConnectionGuard:
    """Counts the connections of one process, and makes room where a limit is reached.

    Whoever waits longest for the rest of a request gives way first, then whoever is idle longest,
    then whoever takes no more of its answer; an answer that is being made gives way to nobody. So
    neither half requests nor answers that nobody reads keep Stripe out.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        # Deadlines count sweeps, not seconds: while the loop is stalled no client runs out of time.
        self.tick = 0
        self._connections: dict[Connection, None] = {}  # in the order in which they came
        self._peers: Counter[str] = Counter()
        self._reading: OrderedDict[Connection, None] = OrderedDict()
        self._bodies: OrderedDict[Connection, int] = OrderedDict()
        self._body_bytes = 0
        self._logged: dict[str, tuple[int, int]] = {}
        self._is_sweeping = False

    def refusal(self, connection: Connection) -> str | None:
        """The reason to refuse a new connection, or None once it has been counted."""
        key = self._peer_key(connection)
        if key is not None and self._peers[key] >= self.limits.peer_connections_max:
            return "peer connections"
        if len(self._connections) >= self.limits.connections_max and not self._make_room():
            return "connections"
        self._connections[connection] = None
        if key is not None:
            self._peers[key] += 1
        self._start_sweeping()
        return None

    def discard(self, connection: Connection) -> None:
        """The connection is gone; a second call changes nothing."""
        self.set_busy(connection)
        if connection not in self._connections:
            return
        del self._connections[connection]
        key = self._peer_key(connection)
        if key is None:
            return
        self._peers[key] -= 1
        if not self._peers[key]:
            del self._peers[key]

    # --- who gives way -----------------------------------------------------------------------

    def set_reading(self, connection: Connection) -> None:
        """The rest of a request is waited for, or a first one."""
        self._reading[connection] = None

    def set_busy(self, connection: Connection) -> None:
        """Nothing more is waited for, so the connection gives way to nobody on that account."""
        self._reading.pop(connection, None)
        self.release_body(connection)

    def hold_body(self, connection: Connection, size: int) -> None:
        """Count the bytes of an unfinished body; beyond the limit the oldest ones are given up."""
        self._body_bytes += size - self._bodies.get(connection, 0)
        self._bodies[connection] = size
        while self._body_bytes > self.limits.unfinished_bodies_max:
            self._evict(next(iter(self._bodies)), "unfinished bodies")

    def release_body(self, connection: Connection) -> None:
        self._body_bytes -= self._bodies.pop(connection, 0)

    def _make_room(self) -> bool:
        oldest = next(iter(self._reading), None) or self._longest_idle() or self._longest_unread()
        if oldest is None:
            return False
        self._evict(oldest, "connections")
        return True

    def _longest_idle(self) -> Connection | None:
        idle = (one for one in self._connections if one.is_idle)
        return min(idle, key=lambda one: one.deadline, default=None)

    def _longest_unread(self) -> Connection | None:
        unread = (one for one in self._connections if one.is_unread)
        return min(unread, key=lambda one: one.stalls_at, default=None)

    def _evict(self, connection: Connection, reason: str) -> None:
        # First, for the transport reports the end later, and the place is needed now.
        self.discard(connection)
        connection.give_way(reason)

    def _peer_key(self, connection: Connection) -> str | None:
        if connection.peer is None or not self.limits.peer_connections_max:
            return None
        return _peer_key(connection.peer, self.limits.proxies)

    # --- time --------------------------------------------------------------------------------

    def _start_sweeping(self) -> None:
        if not self._is_sweeping:
            self._is_sweeping = True
            asyncio.get_running_loop().call_later(1, self._sweep)

    def _sweep(self) -> None:
        self._is_sweeping = False
        self.tick += 1
        for connection in tuple(self._connections):
            connection.check_deadlines(self.tick)
        if self._connections:
            self._start_sweeping()

    # --- what is reported ---------------------------------------------------------------------

    def report(self, reason: str, peer: str | None) -> None:
        """Count a refusal, and log one of each reason a minute with the number it stands for."""
        REFUSED.labels(reason).inc()
        since, count = self._logged.get(reason, (-_LOG_EVERY_TICKS, 0))
        if self.tick - since < _LOG_EVERY_TICKS:
            self._logged[reason] = (since, count + 1)
            return
        self._logged[reason] = (self.tick, 0)
        log.warning("connection refused", reason=reason, peer=peer, more_since_the_last=count)


class WriteWatch:
    """Tells when a peer has stopped to take what is written to it."""

    __slots__ = ("_size", "deadline")

    def __init__(self) -> None:
        self._size = 0
        self.deadline = NEVER

    def is_stalled(self, size: int, tick: int, patience: int) -> bool:
        """Whether, of a buffer of this size, too little was taken for too long."""
        if not size:
            self._size, self.deadline = 0, NEVER
        elif self.deadline == NEVER or size > self._size or size <= self._size - _WRITE_STEP:
            self._size, self.deadline = size, tick + patience
        return tick >= self.deadline


@lru_cache(maxsize=1024)
def _peer_key(peer: str, proxies: tuple[Network, ...]) -> str | None:
    """The host that an address stands for; None for a proxy, whose connections are everybody's."""
    address = ip_address(peer.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in network for network in proxies):
        return None
    if address.version == 4:
        return str(address)
    return str(ip_network((int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS, 64)))

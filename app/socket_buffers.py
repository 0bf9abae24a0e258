"""Answers that the kernel keeps of a connection: how much there may be, and how much there is.

A client that reads nothing would have it keep megabytes, for minutes after the connection's end.
"""

import socket
import struct
from typing import Protocol

# Bytes that wait for their turn in the kernel; how many are under way at once is not limited.
_UNSENT_MAX = 32 * 1024
_AT_ONCE = struct.pack("ii", 1, 0)


class SocketOptions(Protocol):
    """The part of a socket that a transport lends to others."""

    def fileno(self) -> int: ...
    def setsockopt(self, level: int, name: int, value: int | bytes, /) -> None: ...


def bound_unsent_bytes(own: SocketOptions) -> None:
    """Let the kernel keep few bytes more than the peer takes; the rest stays in the process, where
    an answer that many ask for is there once."""
    lowest = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if lowest is not None:
        own.setsockopt(socket.IPPROTO_TCP, lowest, _UNSENT_MAX)


def unacknowledged_bytes(own: SocketOptions) -> int:
    """Bytes of answers that the peer has not taken; 0 where no kernel tells."""
    try:
        import fcntl
        import termios
    except ImportError:  # Windows
        return 0
    try:
        found = fcntl.ioctl(own.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:  # it has been closed
        return 0
    return int.from_bytes(found, "little")


def discard_unsent_bytes(own: SocketOptions) -> None:
    """Whatever closes the socket next resets the connection, and the kernel keeps nothing."""
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

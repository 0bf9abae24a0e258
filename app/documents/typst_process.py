"""Prints documents with Typst in a child process, which is killed when one takes too long.

A template or a text that would keep Typst busy for ever, or take all memory, ends the child and
not Paydue; the next document starts another one.
"""

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from app.errors import Refused

_CHILD = Path(__file__).with_name("typst_child.py")
FONTS = Path(__file__).with_name("fonts")
# Five hundred lines take a second; nobody waits longer for a document.
TIME_LIMIT_S = 30.0
# A child that starts on a busy machine reads the list of the fonts first.
START_LIMIT_S = 60.0
# Typst remembers parts of what it has printed; a new child begins with none of it.
DOCUMENTS_OF_A_CHILD = 500


class DocumentFailed(Refused):
    """The document could not be printed: its template has an error, or it takes too long."""


@dataclass(frozen=True, slots=True)
class PrintJob:
    """A template in its folder, which is all that it may read, and the data that it prints."""

    root: Path
    template: str
    data: Mapping[str, object]
    printed_at: datetime
    # Dots an inch of a picture of the first page; without it the whole document is a PDF.
    dots: int | None = None


class TypstProcess:
    """One child that prints one document at a time; threads wait for each other."""

    def __init__(self, fonts: Sequence[Path] = (), time_limit_s: float = TIME_LIMIT_S) -> None:
        self._fonts = (FONTS, *fonts)
        self._time_limit_s = time_limit_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._families: tuple[str, ...] = ()
        self._documents = 0
        self.missing = ""

    def print(self, job: PrintJob) -> bytes:
        """The document as PDF/A-3b, or its first page as PNG; or DocumentFailed."""
        request = {
            "root": str(job.root),
            "template": str(job.root / job.template),
            "data": json.dumps(job.data, ensure_ascii=False),
            "timestamp": int(job.printed_at.timestamp()),
            "dots": job.dots,
        }
        with self._lock:
            head, document = self._ask(json.dumps(request).encode())
        if "error" in head:
            raise DocumentFailed(f"the template {job.template} has an error: {head['error']}")
        self.missing = str(head["missing"])
        return document

    def families(self) -> tuple[str, ...]:
        """The fonts that documents are printed with: ours, the folder's and the system's."""
        with self._lock:
            self._running_child()
            return self._families

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _ask(self, request: bytes) -> tuple[dict[str, object], bytes]:
        child = self._running_child()
        try:
            message = struct.pack(">I", len(request)) + request
            return self._exchange(child, message, self._time_limit_s)
        except (EOFError, BrokenPipeError):
            self._stop()
            raise DocumentFailed(
                f"the document took more than {self._time_limit_s:.0f} s or too much memory"
            ) from None

    def _running_child(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._documents < DOCUMENTS_OF_A_CHILD:
            self._documents += 1
            return self._child
        self._stop()
        # No secret of ours is in its environment. One thread, so that memory is bounded on machines
        # with many processors. A package of Typst's registry would be fetched through this proxy,
        # where nobody listens.
        self._child = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
            [sys.executable, "-I", str(_CHILD), *map(str, self._fonts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"RAYON_NUM_THREADS": "1", "HTTPS_PROXY": "http://127.0.0.1:9", **_locale()},
        )
        self._documents = 1
        try:
            head, _ = self._exchange(self._child, b"", START_LIMIT_S)
        except (EOFError, BrokenPipeError):
            self._stop()
            raise DocumentFailed(
                "Typst cannot be started; is the package typst installed?"
            ) from None
        families = head["families"]
        assert isinstance(families, list), "the child names its fonts first"
        self._families = tuple(map(str, families))
        return self._child

    def _exchange(
        self, child: subprocess.Popen[bytes], message: bytes, limit_s: float
    ) -> tuple[dict[str, object], bytes]:
        """The answer to a message; a child that takes too long is killed, which ends its answer."""
        assert child.stdin is not None, "it was opened as a pipe"
        assert child.stdout is not None, "it was opened as a pipe"
        timer = threading.Timer(limit_s, child.kill)
        timer.start()
        try:
            child.stdin.write(message)
            child.stdin.flush()
            head: dict[str, object] = json.loads(_read(child.stdout, _length(child.stdout)))
            size = head["size"]
            assert isinstance(size, int), "the child says how long its document is"
            return head, _read(child.stdout, size)
        finally:
            timer.cancel()

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.communicate()


def _locale() -> dict[str, str]:
    """Paths with letters beyond ASCII are read as this process reads them."""
    return {name: os.environ[name] for name in ("LANG", "LC_ALL", "LC_CTYPE") if name in os.environ}


def _length(answers: IO[bytes]) -> int:
    return int.from_bytes(_read(answers, 4), "big")


def _read(answers: IO[bytes], size: int) -> bytes:
    content = answers.read(size)
    if len(content) < size:
        raise EOFError
    return content

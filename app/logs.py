"""Logs on stderr, one line per outcome: words for people, JSON on request. Never bodies or keys.

Lines of every library take the same form, and a library that repeats itself is cut short. Messages
of exceptions that a database or a validator raises are left out: they quote values.
"""

import logging
import sys
import time
import traceback
from collections.abc import Hashable, Iterator, MutableMapping
from types import TracebackType
from typing import Any

import structlog

from app.control_characters import escape_controls, escape_lines
from app.settings import Settings

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# Whoever causes a line without being known gets so many at once, and then one in so many seconds.
SAMPLE_BURST = 20
SAMPLE_EVERY_S = 10.0
_SAMPLED_MAX = 1024
# Packages whose messages quote the values that they refuse.
_QUOTING = ("asyncpg", "sqlite3", "aiosqlite", "sqlalchemy", "pydantic", "pydantic_core", "orjson")


class LogSampler:
    """Lets some lines of each kind through, and counts those that it holds back."""

    def __init__(self, burst: int = SAMPLE_BURST, every_s: float = SAMPLE_EVERY_S) -> None:
        self._burst = burst
        self._every_s = every_s
        # The lines that are left, when that was reckoned, and how many were held back since.
        self._kinds: dict[Hashable, tuple[float, float, int]] = {}

    def take(self, kind: Hashable, at: float) -> int | None:
        """How many lines of this kind were held back before this one; None holds it back too."""
        left, then, held_back = self._kinds.pop(kind, (float(self._burst), at, 0))
        left = min(self._burst, left + (at - then) / self._every_s)
        if len(self._kinds) >= _SAMPLED_MAX:
            self._kinds.pop(next(iter(self._kinds)))
        if left < 1:
            self._kinds[kind] = left, at, held_back + 1
            return None
        self._kinds[kind] = left - 1, at, 0
        return held_back


# structlog makes the class at run time, so a type checker sees no class to inherit from.
class LeveledLogger(structlog.make_filtering_bound_logger(logging.DEBUG)):  # type: ignore[misc]
    """The logger of every module. Its class has the level, which cached loggers follow."""


def set_level(name: str) -> None:
    """Write lines of this level and above from now on: `debug`, `info`, `warning` or `error`."""
    level = _LEVELS[name]
    for method, found in vars(structlog.make_filtering_bound_logger(level)).items():
        if not method.startswith("__"):
            setattr(LeveledLogger, method, found)
    logging.getLogger().setLevel(max(level, logging.WARNING))


def configure(settings: Settings) -> None:
    """Set up logging for this process, once. `set_level` may change its level later."""
    as_json = settings.log_format == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_without_values,
            structlog.processors.JSONRenderer() if as_json else _line,
        ],
        wrapper_class=LeveledLogger,
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[LibraryHandler()], force=True)
    set_level(settings.log_level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    # At DEBUG the SDK prints request and response bodies.
    logging.getLogger("stripe").setLevel(logging.WARNING)


class LibraryHandler(logging.Handler):
    """Writes what libraries log as lines of ours, sampled by the place in their code."""

    def __init__(self) -> None:
        super().__init__()
        self._sampler = LogSampler()
        self._log = structlog.get_logger("paydue.library")

    def emit(self, record: logging.LogRecord) -> None:
        place = (record.name, record.pathname, record.lineno)
        held_back = self._sampler.take(place, time.monotonic())
        if held_back is None:
            return
        more: dict[str, object] = {"held_back": held_back} if held_back else {}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            more["exc_info"] = error
        self._log.log(record.levelno, record.getMessage(), library=record.name, **more)


def _log_crash(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    structlog.get_logger("paydue").critical("ended by an error", exc_info=error)


def _exception_without_values(
    _: Any, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(_trace(error))
    return event


def _trace(error: BaseException) -> Iterator[str]:
    """The lines of a traceback, causes first, as Python prints them but for quoted values."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    for one in reversed(chain):
        yield "Traceback (most recent call last):"
        yield from "".join(traceback.format_tb(one.__traceback__)).splitlines()
        yield _said(one)
        if isinstance(one, BaseExceptionGroup):
            for inner in one.exceptions:
                yield from _trace(inner)


def _said(error: BaseException) -> str:
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    if kind.__module__.partition(".")[0] in _QUOTING:
        return f"{name} (its message may quote values)"
    return f"{name}: {escape_controls(str(error))}"


def _line(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """`2026-11-22T09:30:00Z info  invoice charged  invoice=12 intent=pi_1`"""
    at, level, said = event.pop("timestamp"), event.pop("level"), event.pop("event")
    trace = event.pop("exception", None)
    known = " ".join(f"{name}={_plain(value)}" for name, value in event.items())
    line = f"{at[:23]}Z {level:<7} {escape_controls(str(said))}  {known}".rstrip()
    return f"{line}\n{_indented(trace)}" if trace else line


def _indented(trace: str) -> str:
    """No line of a trace, whose messages may be others' words, looks like one of the log."""
    return "\n".join(f"    {line}" for line in escape_lines(trace).split("\n"))


def _plain(value: Any) -> str:
    text = escape_controls(str(value))
    return f'"{text}"' if " " in text or not text else text

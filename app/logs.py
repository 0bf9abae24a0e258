"""Logs on stderr, one line per outcome: words for people, JSON on request. Never bodies or keys."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from app.control_characters import escape_controls, escape_lines
from app.settings import Settings

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(settings: Settings) -> None:
    """Set up logging for this process, once."""
    level = _LEVELS[settings.log_level]
    as_json = settings.log_format == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if as_json else _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, force=True)
    # At DEBUG the SDK prints request and response bodies.
    logging.getLogger("stripe").setLevel(logging.WARNING)


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

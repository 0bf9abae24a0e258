"""A template's `schedule`: HaloPSA's object with the dates of its calendar."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.halo.engine import parsing
from app.halo.engine.parsing import Parser
from app.halo.engine.resource import Field
from app.ledger.invoice_input import ScheduleData
from app.rules.notation import moment
from app.storage.engines import Record

# The object's properties, the columns that they are, and how they are read.
_COLUMNS: Mapping[str, tuple[str, Parser]] = {
    "period": ("period", parsing.small),
    "startdate": ("startdate", parsing.instant),
    "end_date": ("enddate", parsing.instant),
    "lastcreated": ("lastcreated", parsing.instant),
    "nextcreationdate": ("nextcreationdate", parsing.instant),
}


def _schedule(name: str, value: Any) -> ScheduleData:
    written = parsing.nested(name, value)
    given = value if isinstance(value, Mapping) else {}
    by_name = {str(key).lower(): one for key, one in given.items()}
    columns = {
        column: parsed
        for key, (column, parse) in _COLUMNS.items()
        if (parsed := parse(f"{name}.{key}", by_name.get(key))) is not None
    }
    return ScheduleData(written, columns)


SCHEDULE = Field(
    "Of a template: HaloPSA's object with the dates of its calendar. Its `period`, `startdate`, "
    "`end_date`, `lastcreated` and `nextcreationdate` count where the template's own fields of "
    "these names say nothing new; the rest is kept and given back.",
    _schedule,
)


def shown_schedule(row: Record) -> dict[str, Any]:
    """The object as it was given, its dates as they are now."""
    kept = (row.extra or {}).get("schedule")
    if not row.is_recurring_invoice or not isinstance(kept, dict):
        return {}
    present = {key: getattr(row, column) for key, (column, _) in _COLUMNS.items()}
    dates = {
        key: moment(value) if isinstance(value, datetime) else value
        for key, value in present.items()
        if key in kept and value is not None
    }
    return {"schedule": {**kept, **dates}}

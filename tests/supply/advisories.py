"""Known advisories on locked versions, by records in the format of OSV (osv.dev)."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from packaging.version import Version

Record = Mapping[str, Any]
# The event "introduced: 0" means the first version there is.
_FIRST = Version("0.dev0")


class NoRecords(Exception):
    """The records hold no advisory on any Python package, so they prove nothing."""


@dataclass(frozen=True, slots=True)
class Advisory:
    package: str
    version: str
    id: str
    summary: str


def found_in(path: Path, locked: Mapping[str, str]) -> list[Advisory]:
    """The advisories of a folder or zip of records that a locked version is affected by."""
    is_empty, found = True, []
    for record in _records(path):
        for affected in _of_python(record):
            is_empty = False
            name = _normalized(affected["package"]["name"])
            version = locked.get(name)
            if version and "withdrawn" not in record and is_affected(affected, version):
                found.append(Advisory(name, version, record["id"], record.get("summary", "")))
    if is_empty:
        raise NoRecords(path)
    return found


def is_affected(affected: Record, version: str) -> bool:
    """Whether a version is listed, or lies within a range of versions."""
    ranges = (one for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM")
    return version in affected.get("versions", ()) or any(
        _contains(one["events"], Version(version)) for one in ranges
    )


def _contains(events: Iterable[Mapping[str, str]], version: Version) -> bool:
    is_inside = False
    for kind, at in sorted(_moments(events), key=lambda one: one[1]):
        if at > version or (at == version and kind == "last_affected"):
            break
        is_inside = kind == "introduced"
    return is_inside


def _moments(events: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, Version]]:
    for event in events:
        for kind, version in event.items():
            if kind in ("introduced", "fixed", "last_affected"):
                yield kind, _FIRST if version == "0" else Version(version)


def _records(path: Path) -> Iterator[Record]:
    if path.is_dir():
        for one in sorted(path.rglob("*.json")):
            yield json.loads(one.read_text())
        return
    with ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def _of_python(record: Record) -> Iterator[Record]:
    for affected in record.get("affected", ()):
        if affected.get("package", {}).get("ecosystem") == "PyPI":
            yield affected


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""The published tables as data: fixtures/halo/contract.json."""

import json
from pathlib import Path
from typing import Any, NamedTuple

_CONTRACT = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "halo" / "contract.json").read_text()
)


class Parameter(NamedTuple):
    endpoint: str
    name: str


SCHEMAS: dict[str, dict[str, Any]] = _CONTRACT["schemas"]
ENDPOINTS: dict[str, dict[str, Any]] = {
    f"{one['method']} {one['path']}": one for one in _CONTRACT["endpoints"]
}
PARAMETERS = [
    Parameter(endpoint, one["name"])
    for endpoint, row in ENDPOINTS.items()
    for one in row["parameters"]
]
ALWAYS: list[str] = SCHEMAS["InvoiceHeader"]["always"]


def properties(schema: str) -> dict[str, str]:
    """Names and types of the published table."""
    found: dict[str, str] = SCHEMAS[schema]["properties"]
    return found


def wider(schema: str) -> dict[str, str]:
    """Names and types that are published elsewhere, or known from clients."""
    found: dict[str, str] = SCHEMAS[schema]["wider"]
    return found

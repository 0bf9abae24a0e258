"""One place opens the parts of a process, so that a new dependency is wired once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import app

ROOT = Path(app.__file__).parent
COMPOSITION_ROOT = Path("node.py")
PARTS = {
    "Database", "Gateway", "Inbox", "StripeRateLimiter", "Unlimited", "WebhookEndpoint", "Autopay",
    "Reconciliation",
}  # fmt: skip


def constructed(source: str) -> set[str]:
    """The parts that a module constructs, called by their name or through their module."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {one.id for one in calls if isinstance(one, ast.Name)}
    return PARTS & (names | {one.attr for one in calls if isinstance(one, ast.Attribute)})


def modules() -> Iterator[Path]:
    """All of `app` but the sandbox, which has no part in it."""
    for path in ROOT.rglob("*.py"):
        where = path.relative_to(ROOT)
        if where.parts[0] != "sandbox":
            yield where


def test_only_the_composition_root_constructs_the_parts_of_a_process() -> None:
    found = {path: constructed((ROOT / path).read_text()) for path in modules()}

    assert found.pop(COMPOSITION_ROOT) == PARTS
    assert {path: parts for path, parts in found.items() if parts} == {}

"""Rules and ledger are typed to the last value: a misspelt column there is a type error."""

import ast
from pathlib import Path

import pytest

import app.ledger
import app.rules

FOLDERS = [Path(one.__file__).parent for one in (app.rules, app.ledger) if one.__file__]


def _names_any(file: Path) -> list[int]:
    """The lines in which a file imports or names Any."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom() if any(alias.name == "Any" for alias in node.names):
                found.append(node.lineno)
            case ast.Name(id="Any") | ast.Attribute(attr="Any"):
                found.append(node.lineno)
            case ast.Constant(value=str(text)) if text == "Any":
                found.append(node.lineno)
    return found


FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.py"))]


@pytest.mark.parametrize("file", FILES, ids=[f"{one.parent.name}/{one.name}" for one in FILES])
def test_rules_and_ledger_name_a_type_for_every_value(file: Path) -> None:
    lines = _names_any(file)

    assert lines == []

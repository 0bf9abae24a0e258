"""README and the runbook say what there is: each setting with its default, no other commands."""

import re
import shlex
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import SecretStr

from app.cli.command_group import paydue
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
AUTOPAY = (ROOT / "docs" / "autopay.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (\S+) \| (.+) \|$", re.MULTILINE)


def _shown(default: Any) -> str:
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case time():
            return f"`{default:%H:%M}`"
        case float():
            return f"`{default:g}`"
        case SecretStr():
            return _shown(default.get_secret_value())
        case "" | None:
            return "-"
        case _:
            return f"`{default}`"


def test_every_setting_is_told_with_its_default_and_meaning() -> None:
    fields = Settings.model_fields.values()

    told = ROW.findall(README)

    assert told == [(one.alias, _shown(one.default), one.description) for one in fields]


def test_the_page_on_autopay_explains_each_field_of_a_rule() -> None:
    rows = re.findall(r"^\| (`.+?`) \| .+ \|$", AUTOPAY, re.MULTILINE)

    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert told == AUTOPAY_RULES.fields.keys() - {"id", "date_created", "last_modified"}


def _said() -> Iterator[str]:
    """The commands of both pages: lines of their blocks, and those within their sentences."""
    for page in (README, RUNBOOK, AUTOPAY):
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                for part in line.split("&&"):
                    yield part.strip()
        yield from re.findall(r"`((?:\w+=\S+ )?paydue [^`]+)`", page)


def _calls() -> list[list[str]]:
    words = [shlex.split(one, comments=True) for one in _said()]
    found = [one for one in words if one and one[0].split("/")[-1] == "paydue"]
    return [one[1:] for one in found]


def test_the_pages_show_the_commands_that_matter() -> None:
    shown = {call[0] for call in _calls()}

    assert shown >= {"demo", "serve", "worker", "doctor", "autopay", "payment", "status", "db"}


@pytest.mark.parametrize("call", [pytest.param(one, id=" ".join(one)) for one in _calls()])
def test_every_command_on_the_pages_exists(call: list[str]) -> None:
    command: click.Command = paydue
    words = list(call)

    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words
        command, words = found, words[1:]

    command.make_context(command.name, words)

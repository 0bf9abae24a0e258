"""docs/api.md tells the truth: its commands and its Python run, and answer what stands there."""

import asyncio
import doctest
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from tests.conftest import absent
from tests.patience import wait_limit
from tests.service import Service

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
_BLOCK = re.compile(r"^```(sh|json|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ANSWERS = json.JSONDecoder(parse_float=Decimal)


def examples() -> Iterator[tuple[str, list[Any]]]:
    """Each block of commands, with the answers that stand behind it."""
    commands, answers = "", list[Any]()
    for kind, text in _BLOCK.findall(PAGE):
        if kind == "json":
            answers += decoded(text)
        elif kind == "sh":
            if commands:
                yield commands, answers
            commands, answers = text, []
    yield commands, answers


def decoded(text: str) -> list[Any]:
    """One JSON value after the other, as several commands print them."""
    found = []
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = _ANSWERS.raw_decode(text, at)
        found.append(value)
    return found


def shows(answer: Any, told: Any) -> bool:
    """Whether all that the page tells is in the answer."""
    match told:
        case dict():
            return isinstance(answer, dict) and all(
                name in answer and shows(answer[name], value) for name, value in told.items()
            )
        case list():
            return (
                isinstance(answer, list)
                and len(answer) == len(told)
                and all(itertools.starmap(shows, zip(answer, told, strict=True)))
            )
        case _:
            return bool(answer == told)


@pytest.fixture
def environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    client_id, secret = service.credentials
    told = {"PAYDUE": service.url, "CLIENT_ID": client_id, "CLIENT_SECRET": secret}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return told


async def test_the_page_is_true(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test, for every example goes on where the one before it ended."""
    if shutil.which("curl") is None:
        absent("no curl")
    for commands, told in examples():
        printed = await _run(commands, environment, tmp_path)
        answers = decoded(printed) if told else []
        assert len(answers) == len(told), commands
        for answer, one in zip(answers, told, strict=True):
            assert shows(answer, one), f"{commands}\n{json.dumps(answer, default=str, indent=1)}"

    monkeypatch.setattr(requests.Session, "request", requests.Session.request)
    [python] = [text for kind, text in _BLOCK.findall(PAGE) if kind == "python"]
    await asyncio.to_thread(_run_python, python)


async def _run(commands: str, environment: dict[str, str], folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", commands, cwd=folder, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(), wait_limit(30))
    assert process.returncode == 0, commands
    return printed.decode()


def _run_python(text: str) -> None:
    examples = doctest.DocTestParser().get_doctest(text, {}, "docs/api.md", "docs/api.md", 0)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    told: list[str] = []
    with capture_logs():  # the service is in this process, and its lines are no answers
        failed, tried = doctest.DocTestRunner(optionflags=options).run(examples, out=told.append)
    examples.globs.clear()
    assert (failed, tried > 5) == (0, True), "".join(told)

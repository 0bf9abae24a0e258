"""The commands of each section of the runbook are run as they stand, in the order they stand in.

Replaced are only the names of a machine that is not here: its folder of backups, ports, hosts.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from sqlalchemy import make_url

from app.halo.access.api_credentials import create_credential
from app.sandbox.server import Sandbox
from app.storage.engines import Database
from tests.harness import CLIENTS, KEY, SECRET
from tests.patience import wait_limit
from tests.postgres import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[1]
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
# The work of an operator, each a section with commands.
REQUIRED = {
    "Install", "Configure", "Back up", "Restore", "Fail over", "Upgrade", "Roll back",
    "Scale from one to many", "Rotate secrets", "Purge", "Be alerted", "Stop, drain and reload",
    "Personal data of a client",
}  # fmt: skip
STAYING = ("paydue serve", "paydue worker")
# A fresh machine has no worker and no address, which the doctor says.
MAY_FAIL = {"paydue doctor"}
ANSWERS = [KEY, SECRET, "", "", "", ""]  # of `paydue init`: the defaults, but for the secrets
BACKUPS = "/var/backups/paydue"


def _sections() -> Mapping[str, list[str]]:
    """By title, the lines of a section's blocks of commands."""
    found: dict[str, list[str]] = {}
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", RUNBOOK, re.M | re.S):
        blocks = re.findall(r"^```sh\n(.*?)^```", body, re.M | re.S)
        lines = [re.sub(r"\s+# .*", "", line) for one in blocks for line in one.splitlines()]
        if lines:
            found[title] = [line for line in lines if line]
    return found


SECTIONS = _sections()


@dataclass
class Host:
    """A machine with Paydue on its PATH, a database, and Stripe to reach."""

    folder: Path
    environment: dict[str, str]
    names: dict[str, str]
    staying: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def run(self, line: str) -> None:
        """One line of the runbook. A server is waited for, and goes on to the section's end."""
        here = line
        for name, meant in self.names.items():
            here = here.replace(name, meant)
        if found := re.match(r"export (\w+)='?([^']*)'?$", here):
            self.environment[found[1]] = found[2]
            return
        if line.startswith(STAYING):
            await self._stay(here)
            return
        process = await self._start(here)
        answers = "\n".join([*ANSWERS, ""]).encode() if line.startswith("paydue init") else b""
        async with asyncio.timeout(wait_limit(90)):
            out, err = await process.communicate(answers)
        said = (out + err).decode()
        assert "Traceback" not in said, said
        assert process.returncode in ({0, 1} if line in MAY_FAIL else {0}), f"{line}: {said}"

    async def _stay(self, here: str) -> None:
        self.staying.append(await self._start(here))
        port = re.findall(r"--(?:health-)?port (\d+)", here)[0]
        deadline = time.monotonic() + wait_limit(60)
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
        raise AssertionError(f"{here} did not get ready")

    async def stop(self) -> list[int]:
        """The exit codes of those that stayed, after SIGTERM."""
        for one in self.staying:
            one.send_signal(signal.SIGTERM)
        async with asyncio.timeout(wait_limit(60)):
            for one in self.staying:
                await one.communicate()
        return [int(one.returncode or 0) for one in self.staying]

    async def _start(self, command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "bash", "-c", f"exec {command}", cwd=self.folder, env=self.environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH, with this `paydue` in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "paydue"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m app "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture
async def host(
    tmp_path: Path, programs: Path, sqlite_template: Path, sandbox: Sandbox, stripe_url: str
) -> AsyncIterator[Host]:
    folder, backups = tmp_path / "paydue", tmp_path / "backups"
    folder.mkdir()
    backups.mkdir()
    (folder / "ops").symlink_to(ROOT / "ops")
    url = f"sqlite:///{shutil.copy(sqlite_template, folder / 'paydue.db')}"
    await _fill(url)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "PAYDUE_DATABASE_URL": url,
        "PAYDUE_STRIPE_API_BASE": stripe_url,
        "STRIPE_API_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    names = {BACKUPS: str(backups), "8000": str(free_port()), "8001": str(free_port())}
    found = Host(folder, environment, names)
    yield found
    for one in found.staying:
        if one.returncode is None:
            one.kill()
            await one.wait()


async def _fill(url: str) -> None:
    """The client and the program that the runbook names."""
    database = Database(url)
    async with database.transaction() as tx:
        await tx.execute(CLIENTS.insert().values(id=42, name="Northwind", inactive=False))
        await create_credential(tx, "halo-old", ["all"], datetime.now(UTC))
    await database.close()


def test_each_work_of_an_operator_has_a_section_with_its_commands() -> None:
    assert SECTIONS.keys() >= REQUIRED


@pytest.mark.parametrize("title", [one for one in SECTIONS if one != "Fail over"])
async def test_the_commands_of_a_section_run_as_they_stand(host: Host, title: str) -> None:
    if title in {"Install", "Configure"}:
        (host.folder / "paydue.db").unlink()
    if title == "Restore":
        await host.run(f"paydue db backup {BACKUPS}")
        _lose_all_but_the_backup(host)

    for line in SECTIONS[title]:
        await host.run(line)

    assert set(await host.stop()) <= {0}


def _lose_all_but_the_backup(host: Host) -> None:
    """The backup has the name that the runbook shows."""
    (made,) = Path(host.names[BACKUPS]).iterdir()
    named = re.findall(rf"{BACKUPS}/(\S+)", SECTIONS["Restore"][0])[0]
    made.rename(made.with_name(named))
    for one in host.folder.glob("paydue.db*"):
        one.unlink()


async def test_the_commands_of_a_failover_reach_the_server_that_takes_writes(
    host: Host, database_url: str
) -> None:
    if database_url.startswith("sqlite"):
        return
    url = make_url(database_url)
    hosts = f"{url.host}:{url.port},{url.host}:{url.port}"
    host.names["paydue@db1,db2/paydue"] = f"{url.username}@{hosts}/{url.database}"

    for line in SECTIONS["Fail over"]:
        await host.run(line)

    connection = await asyncpg.connect(database_url)
    standby = await connection.fetchval("SELECT pg_is_in_recovery()")
    await connection.close()
    assert standby is False
    assert "target_session_attrs=read-write" in host.environment["PAYDUE_DATABASE_URL"]

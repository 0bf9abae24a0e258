"""SIGTERM drains before the port closes; SIGHUP takes new secrets over without losing a request."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.harness import KEY, SECRET, event, intent, signed
from tests.patience import wait_limit
from tests.place.programs import Program, program, server
from tests.postgres import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

NEW_SECRET = "whsec_" + "9876543210abcdefghij"
# Both processes must be asked within it, however busy the machine is.
DRAIN_S = wait_limit(5)
# A process that is started has Python to import; several start at once.
START_S = wait_limit(60)
ANSWER_S = wait_limit(5)


async def status_of(url: str) -> int | None:
    """The status of a page, or None where nobody answers."""
    patience = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with aiohttp.ClientSession(timeout=patience) as http, http.get(url) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return None


async def delivered(url: str, secret: str) -> int:
    body = orjson.dumps(event("payment_intent.succeeded", intent(None)))
    headers = {"Stripe-Signature": signed(body, secret)}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/stripe/webhook", data=body, headers=headers) as answer,
    ):
        return answer.status


async def until_status(url: str, wanted: int | None) -> None:
    async with asyncio.timeout(START_S):
        while await status_of(url) != wanted:  # noqa: ASYNC110  another process has no event
            await asyncio.sleep(0.05)


async def until_all_say(url: str, wanted: int) -> None:
    """Until ten answers in a row are the one wanted: whichever process gave them."""
    in_a_row = 0
    async with asyncio.timeout(START_S):
        while in_a_row < 10:
            in_a_row = in_a_row + 1 if await status_of(url) == wanted else 0


async def until_logged(running: Program, words: str, times: int = 1) -> None:
    async with asyncio.timeout(START_S):
        while running.log().count(words) < times:  # noqa: ASYNC110  a log has no event
            await asyncio.sleep(0.05)


@pytest.fixture
def where(sqlite_template: Path, stripe_url: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "database_url": f"sqlite:///{tmp_path / 'paydue.db'}",
        "stripe_url": stripe_url,
        "folder": tmp_path,
    }


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_server_is_not_ready_before_its_port_closes(
    where: dict[str, Any], processes: int
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("serve", "--port", str(port), "--workers", str(processes))
    async with program(*command, **where, PAYDUE_DRAIN=str(DRAIN_S)) as serving:
        await until_status(f"{url}/readyz", 200)
        await until_logged(serving, "node open", times=processes)

        began = time.monotonic()
        serving.process.send_signal(signal.SIGTERM)
        await until_all_say(f"{url}/readyz", 503)

        assert await delivered(url, SECRET) == 200, "it serves on, and says that it will end"
        assert await serving.end() == 0
        assert time.monotonic() - began >= DRAIN_S


async def test_a_second_sigterm_ends_the_drain(where: dict[str, Any]) -> None:
    async with server(**where, PAYDUE_DRAIN="300") as serving:
        serving.process.send_signal(signal.SIGTERM)
        await until_status(f"{serving.url}/readyz", 503)

        code, _ = await serving.terminated()

    assert code == 0


async def test_sighup_takes_a_new_signing_secret_and_log_level_over(where: dict[str, Any]) -> None:
    folder: Path = where["folder"]
    write_env(folder, SECRET, "info")
    # The file is where they stand: the environment of a running process cannot change.
    async with server(**where, STRIPE_WEBHOOK_SECRET=None, STRIPE_API_KEY=None) as serving:
        assert await delivered(serving.url, NEW_SECRET) == 400

        write_env(folder, NEW_SECRET, "debug")
        serving.process.send_signal(signal.SIGHUP)
        await until_logged(serving, "settings reloaded")

        assert await delivered(serving.url, NEW_SECRET) == 200
        assert await delivered(serving.url, SECRET) == 400
        await until_logged(serving, " debug ")
        changed = next(line for line in serving.log().splitlines() if "settings reloaded" in line)
        assert "STRIPE_WEBHOOK_SECRET" in changed
        assert "PAYDUE_LOG_LEVEL" in changed
        assert NEW_SECRET not in serving.log()


WRONG = {
    "STRIPE_API_KEY=sk_live_1234567890": "other mode",
    "STRIPE_WEBHOOK_SECRET=whsec_...": "placeholder",
    "PAYDUE_LOG_LEVEL=loud": "none of debug",
}


async def test_a_wrong_setting_is_not_taken_over(where: dict[str, Any]) -> None:
    folder: Path = where["folder"]
    write_env(folder, SECRET, "info")
    async with server(**where, STRIPE_WEBHOOK_SECRET=None, STRIPE_API_KEY=None) as serving:
        for line, words in WRONG.items():
            write_env(folder, SECRET, "info", line)
            serving.process.send_signal(signal.SIGHUP)
            await until_logged(serving, words)

        assert serving.log().count("settings not reloaded") == len(WRONG)
        assert await delivered(serving.url, SECRET) == 200


async def test_a_worker_shows_its_health_and_takes_a_new_key_over(where: dict[str, Any]) -> None:
    folder: Path = where["folder"]
    write_env(folder, SECRET, "info")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("worker", "--health-port", str(port))
    own = {"STRIPE_WEBHOOK_SECRET": None, "STRIPE_API_KEY": None, "PAYDUE_RECONCILE_EVERY": "1"}
    async with program(*command, **where, **own) as working:
        await until_status(f"{url}/readyz", 200)
        assert await status_of(f"{url}/healthz") == 200
        assert await status_of(f"{url}/metrics") == 200
        await until_logged(working, "job finished")

        write_env(folder, SECRET, "info", "PAYDUE_INTERNAL_TOKEN=0123456789abcdef")
        os.kill(working.pid, signal.SIGHUP)
        await until_status(f"{url}/metrics", 401)

        assert (await working.terminated())[0] == 0


def write_env(folder: Path, secret: str, level: str, *more: str) -> None:
    lines = [
        f"STRIPE_WEBHOOK_SECRET={secret}",
        f"STRIPE_API_KEY={KEY}",
        f"PAYDUE_LOG_LEVEL={level}",
    ]
    file = folder / ".env"
    file.write_text("\n".join([*lines, *more, ""]))
    file.chmod(0o600)

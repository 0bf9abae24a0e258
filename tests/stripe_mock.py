"""Stripe's own mock server for tests: found, started on a free port, stopped at the end.

It checks every request against Stripe's published description of its API and answers with made-up
objects. It remembers nothing; for behaviour there is the sandbox.
"""

import contextlib
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.patience import wait_limit
from tests.postgres import free_port

# The same version in docker-compose.yml and .ci/run. The images' tags carry the `v` as well.
# When it changes, `python -m tests.sandbox.stripe_fixtures` makes the sandbox's objects again.
VERSION = "v0.203.0"
IMAGE = f"stripe/stripe-mock:{VERSION}"
KEY = "sk_test_mock"  # any test key will do; without one it answers 401

MISSING = (
    "no stripe-mock: STRIPE_MOCK_URL is not set, there is no such program on PATH or in Go's bin "
    "folder, and no Docker engine answers"
)


@contextlib.contextmanager
def running() -> Iterator[str | None]:
    """The URL of one that answers; None where there is none to be had."""
    given = os.environ.get("STRIPE_MOCK_URL")
    port = free_port()
    command = _command(port)
    if given:
        yield given.rstrip("/")
    elif command is None:
        yield None
    else:
        with _started(command, f"http://127.0.0.1:{port}") as url:
            yield url


def _command(port: int) -> Sequence[str] | None:
    """The command that starts one on this port of loopback, in the foreground."""
    binary = _binary()
    if binary:
        # It opens its port for TLS in any case; left alone, 12112, that only one process gets.
        unused = f"127.0.0.1:{free_port()}"
        return [binary, "-http-addr", f"127.0.0.1:{port}", "-https-addr", unused]
    if _docker_answers():
        return ["docker", "run", "--rm", "-p", f"127.0.0.1:{port}:12111", IMAGE]
    return None


def _binary() -> str | None:
    go_bin = Path(printed_by("go", "env", "GOPATH") or Path.home() / "go") / "bin"
    return shutil.which("stripe-mock") or shutil.which("stripe-mock", path=str(go_bin))


def _docker_answers() -> bool:
    return bool(printed_by("docker", "version", "--format", "{{.Server.Version}}"))


def printed_by(*command: str) -> str:
    """The output of a program; empty if it is missing, fails or hangs."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=wait_limit(10)
        )
        return done.stdout.strip()
    return ""


@contextlib.contextmanager
def _started(command: Sequence[str], url: str) -> Iterator[str]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + wait_limit(60)  # Docker may have to fetch the image
        while not _answers(url):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer at {url}"
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(wait_limit(30))


def _answers(url: str) -> bool:
    asking = urllib.request.Request(f"{url}/v1/account", headers={"Authorization": f"Bearer {KEY}"})
    try:
        with urllib.request.urlopen(asking, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False

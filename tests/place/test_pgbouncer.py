"""pgbouncer in front of PostgreSQL: session mode works whole, transaction mode is refused."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from app.errors import ConfigurationError
from app.node import open_node
from app.sandbox.server import Sandbox
from app.storage.engines import Database
from tests.conftest import absent
from tests.harness import NO_STRIPE, Paydue, event, settings_for
from tests.patience import wait_limit
from tests.postgres import USER, free_port

pytestmark = pytest.mark.anyio

PROGRAM = Path("/usr/sbin/pgbouncer")


@pytest.fixture(params=["postgres"])
def database_url(database_url: str) -> str:
    """As everywhere, but on PostgreSQL alone."""
    return database_url


@contextlib.contextmanager
def pooled(url: str, mode: str, folder: Path) -> Iterator[str]:
    """The same database through a pgbouncer."""
    if not PROGRAM.exists():
        absent("no pgbouncer: Debian's package of that name has it")
    behind, port = make_url(url), free_port()
    file = folder / "pgbouncer.ini"
    file.write_text(
        f"[databases]\n* = host={behind.host} port={behind.port} user={USER}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        f"pool_mode = {mode}\ndefault_pool_size = 40\nunix_socket_dir =\n"
    )
    as_user: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root
        as_user = ["runuser", "-u", USER, "--"]
        readable = Path(shutil.copy(file, f"/dev/shm/paydue-pgbouncer-{port}.ini"))
        readable.chmod(0o644)
        file = readable
    process = subprocess.Popen(
        [*as_user, str(PROGRAM), str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield behind.set(port=port).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait()
        file.unlink()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + wait_limit(10)
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("pgbouncer did not start")


async def test_in_session_mode_everything_holds(
    database_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    with pooled(database_url, "session", tmp_path) as url:
        async with Paydue.running(settings_for(url, stripe_url), sandbox) as paydue:
            invoice = await paydue.an_invoice(take_auto_payment=False)
            paid = event("payment_intent.succeeded", await paydue.own_intent(invoice))
            assert await paydue.deliver(paid) == [200]
            charged = await paydue.an_invoice()
            await paydue.autopay()

            assert (await paydue.invoice(invoice)).amountdue == 0
            assert (await paydue.invoice(charged)).amountdue == 0
            assert sandbox.ledger.double_charges() == {}


async def test_the_limits_of_a_session_reach_the_server_through_it(
    database_url: str, tmp_path: Path
) -> None:
    with pooled(database_url, "session", tmp_path) as url:
        database = Database(url)
        async with database.snapshot() as tx:
            reader = [
                await tx.scalar(text(f"SHOW {name}"))
                for name in ("default_transaction_read_only", "statement_timeout", "lock_timeout")
            ]
        async with database.transaction() as tx:
            writer = await tx.scalar(text("SHOW idle_in_transaction_session_timeout"))
        await database.close()

    assert reader == ["on", "3500ms", "3s"]
    assert writer == "10s"


async def test_transaction_mode_is_refused_with_its_mend(database_url: str, tmp_path: Path) -> None:
    with (
        pooled(database_url, "transaction", tmp_path) as url,
        pytest.raises(ConfigurationError, match="pool_mode = session"),
    ):
        async with open_node(settings_for(url, NO_STRIPE)):
            pass

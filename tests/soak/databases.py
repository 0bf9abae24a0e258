"""The database under the soak: a disk that can be full, or two servers behind a pool."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from app.storage import schema
from app.storage.engines import Database
from tests import postgres
from tests.postgres import USER, Postgres, Standby, free_port

PGBOUNCER = Path("/usr/sbin/pgbouncer")
DISK_BYTES = 8 * 1024**3
# So much room is left on a disk that is called full: a page or two of the log, no more.
LEFT_BYTES = 32 * 1024
PAGE = 4096


class Disk:
    """A file system in memory of its own, whose size can be cut to what is used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, folder: Path) -> Iterator["Disk | None"]:
        """None where this machine lets nobody mount one."""
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
        done = subprocess.run(["mount", *options], check=False, capture_output=True)
        if done.returncode:
            yield None
            return
        try:
            yield cls(folder)
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    def fill(self) -> None:
        used = shutil.disk_usage(self.folder).used
        self._resize(-(-(used + LEFT_BYTES) // PAGE) * PAGE)

    def free(self) -> None:
        self._resize(DISK_BYTES)

    def _resize(self, size: int) -> None:
        options = f"remount,size={size}"
        subprocess.run(["mount", "-o", options, str(self.folder)], check=True)


class Bouncer:
    """A pgbouncer in session mode, which can be cut off and pointed at another server."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._file = folder / "pgbouncer.ini"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, server_port: int) -> None:
        self._file.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server_port} user={USER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nauth_type = any\n"
            "pool_mode = session\ndefault_pool_size = 60\nunix_socket_dir =\n"
        )
        self._file.chmod(0o644)
        as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [*as_user, str(PGBOUNCER), str(self._file)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def cut(self) -> None:
        """Every connection through it is gone at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


@dataclass
class SoakedDatabase:
    """Where the processes find it: `serve` directly, `worker` and runs through a pool if any."""

    engine: str
    url: str
    pooled_url: str
    disk: Disk | None = None
    servers: "Servers | None" = None
    disk_bytes: Callable[[], int] = field(default=lambda: 0)


class Servers:
    """A primary, its synchronous standby, and a pgbouncer in front of whichever is primary."""

    def __init__(self, primary: Postgres, bouncer: Bouncer) -> None:
        self.primary = primary
        self.bouncer = bouncer
        self.standby: Standby | None = None
        self._ports = [primary.port]

    def direct_url(self) -> str:
        assert self.standby is not None, "two servers are named"
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"postgresql://{USER}@{hosts}/paydue?target_session_attrs=read-write"

    def pooled_url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.bouncer.port}/paydue"

    async def attach_standby(self) -> None:
        """Whatever is acknowledged from here on is on both servers."""
        standby = Standby(self.primary)
        if self.standby is None and len(self._ports) == 1:
            self._ports.append(standby.port)
        else:
            standby.port = next(port for port in self._ports if port != self.primary.port)
        standby.start()
        self.standby = standby
        await self._administer("ALTER SYSTEM SET synchronous_standby_names = '*'")

    def restart(self) -> None:
        """As by a power cut, and up again."""
        self.primary.stop(signal.SIGQUIT)
        self.primary.start()

    async def fail_over(self) -> None:
        """The primary is lost for good, and its standby takes its place; then it gets a new one."""
        assert self.standby is not None, "a standby is attached"
        lost, promoted = self.primary, self.standby
        lost.stop(signal.SIGQUIT)
        promoted.promote()
        self.bouncer.cut()
        self.primary, self.standby = promoted, None
        self.bouncer.start(promoted.port)
        # The name is set again once there is a standby to wait for.
        await self._administer("ALTER SYSTEM RESET synchronous_standby_names")
        lost.remove()
        await self.attach_standby()

    async def _administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self.primary.url("paydue"))
        await connection.execute(statement)
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    def remove(self) -> None:
        self.bouncer.cut()
        for one in (self.primary, self.standby):
            if one is not None:
                one.remove()


@contextlib.asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[SoakedDatabase]:
    with Disk.mounted(folder / "disk") as disk:
        file = folder / "disk" / "paydue.db"
        url = f"sqlite:///{file}"
        await _migrate(url)
        yield SoakedDatabase("SQLite", url, url, disk=disk, disk_bytes=lambda: file.stat().st_size)


@contextlib.asynccontextmanager
async def postgresql(folder: Path) -> AsyncIterator[SoakedDatabase]:
    programs = postgres.binaries()
    assert programs is not None, "PostgreSQL's programs are on this machine"
    options = ("fsync=on", "synchronous_commit=on", "wal_level=replica")
    servers = Servers(Postgres(programs, options), Bouncer(_readable(folder)))
    try:
        servers.primary.start()
        await _migrate(servers.primary.create("paydue"))
        servers.bouncer.start(servers.primary.port)
        await servers.attach_standby()
        yield SoakedDatabase(
            "PostgreSQL", servers.direct_url(), servers.pooled_url(), servers=servers
        )
    finally:
        servers.remove()


def _readable(folder: Path) -> Path:
    """A folder that PostgreSQL's user may look into."""
    for one in (folder, folder.parent):
        one.chmod(0o755)
    return folder


async def _migrate(url: str) -> None:
    database = Database(url)
    await schema.upgrade(database)
    await database.close()

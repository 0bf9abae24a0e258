"""A PostgreSQL of our own for tests: found, started in a temporary folder, stopped at the end."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.patience import wait_limit

USER = "postgres"


def binaries() -> Path | None:
    """The folder with initdb and postgres, the newest version first."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for pattern in ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin"):
        folders = sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
        with_initdb = [folder for folder in folders if (folder / "initdb").exists()]
        if with_initdb:
            return with_initdb[0]
    return None


class Postgres:
    """One server on a free loopback port. `kill`, `stop` and `start` as often as a test likes."""

    def __init__(
        self, bin_folder: Path, options: Sequence[str] = (), folder: Path | None = None
    ) -> None:
        self._bin = bin_folder
        self._options = [word for option in options for word in ("-c", option)]
        self._home = Path(tempfile.mkdtemp(prefix="paydue-pg-", dir=folder))
        self._data = self._home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        if os.geteuid() == 0:
            shutil.chown(self._home, USER, USER)
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._home),
                   "-c", "max_connections=200", "-c", "log_min_messages=fatal",
                   *self._options]  # fmt: skip
        self._process = subprocess.Popen(
            self._as_user(str(self._bin / "postgres"), "-D", str(self._data), *options),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + wait_limit(30)
        while time.monotonic() < deadline:
            if self._ready():
                return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL did not start")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's fast shutdown: connections are cut, data is safe."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended by itself
            os.kill(self._postmaster(), how)
        self._process.wait(wait_limit(30))
        self._process = None

    def has_ended(self) -> bool:
        """Whether it is down, by a stop or by itself."""
        return self._process is None or self._process.poll() is not None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def create(self, database: str) -> str:
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database)
        return self.url(database)

    def _postmaster(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def _ready(self) -> bool:
        done = subprocess.run(
            [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        )
        return done.returncode == 0

    def _run(self, name: str, *arguments: str) -> None:
        command = self._as_user(str(self._bin / name), *arguments)
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    def _as_user(self, *command: str) -> list[str]:
        return ["runuser", "-u", USER, "--", *command] if os.geteuid() == 0 else list(command)


class Standby(Postgres):
    """A streaming copy of a running server, until it is promoted."""

    def __init__(self, primary: Postgres) -> None:
        self._bin = primary._bin
        self._options = primary._options
        self._home = Path(tempfile.mkdtemp(prefix="paydue-pg-"))
        self._data = self._home / "data"
        self._process = None
        self.port = free_port()
        if os.geteuid() == 0:
            shutil.chown(self._home, USER, USER)
        self._run("pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", USER,
                  "-D", str(self._data), "-R", "-X", "stream", "-c", "fast")  # fmt: skip

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-w", "-D", str(self._data))


# Below the ports that systems give to outgoing connections, or one of those takes it meanwhile.
_PORTS = range(10_000, 30_000)


def free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


# Linux's file system in memory, and how much of it has to be free.
_MEMORY = Path("/dev/shm")
_MEMORY_MIN = 2 * 1024**3


@contextlib.contextmanager
def in_memory() -> Iterator[Postgres]:
    """One for tests that make a database each and cut no power: the disk is half of their time."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_MIN
    options = ("fsync=off", "full_page_writes=off", "max_wal_size=64MB")
    with running(*options, folder=_MEMORY if roomy else None) as server:
        yield server


@contextlib.contextmanager
def running(*options: str, folder: Path | None = None) -> Iterator[Postgres]:
    programs = binaries()
    assert programs is not None, "no PostgreSQL binaries on this machine"
    server = Postgres(programs, options, folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()

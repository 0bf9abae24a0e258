"""nginx, HAProxy and Caddy, configured as docs/deployment.md shows, on ports of the test's own."""

import contextlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from tests.edge.observer import NAME
from tests.patience import wait_limit
from tests.postgres import free_port

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment.md"
SEEN = NAME.decode()
_PLAIN = re.compile(r"[\w/ ]+")


@dataclass(frozen=True)
class Forwarded:
    """A request as the proxy read it, and the one that the application says it has answered."""

    asked: str
    seen: str

    @property
    def is_the_same(self) -> bool:
        """One method and path, as far as both write it alike; Caddy escapes odd bytes."""
        asked, seen = (_PLAIN.match(one) for one in (self.asked, self.seen))
        return asked is not None and seen is not None and asked.group() == seen.group()


@dataclass(frozen=True)
class Proxy:
    """How one is configured, started and read."""

    program: str
    language: str  # of its block in the document
    configure: Callable[[str, int, Path], str]
    command: Callable[[Path], list[str]]
    forwarded: Callable[[str], Forwarded | None]

    @property
    def is_installed(self) -> bool:
        return shutil.which(self.program, path="/usr/sbin:/usr/bin:/usr/local/bin") is not None

    @contextlib.contextmanager
    def before(self, port: int, folder: Path, block: str | None = None) -> Iterator["RunningProxy"]:
        """The proxy in front of a port, with the block of the document or another one."""
        own = free_port()
        block = (block or documented(self.language)).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        config = folder / "proxy.conf"
        config.write_text(self.configure(block, own, folder))
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(
                self.command(config), cwd=folder, stdout=out, stderr=subprocess.STDOUT
            )
        try:
            _wait_for(own, process, folder / "out")
            yield RunningProxy(own, folder / "requests", self.forwarded)
        finally:
            process.terminate()
            process.wait(wait_limit(20))


@dataclass(frozen=True)
class RunningProxy:
    port: int
    _log: Path
    _forwarded: Callable[[str], Forwarded | None]

    def forwarded(self) -> list[Forwarded]:
        lines = self._log.read_text(errors="replace").splitlines()
        return [one for one in map(self._forwarded, lines) if one is not None]


def documented(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
    assert found is not None, language
    return found.group(1)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", out: Path) -> None:
    until = time.monotonic() + wait_limit(20)
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the proxy did not start: {out.read_text(errors='replace')[-2000:]}")


def _nginx(block: str, port: int, folder: Path) -> str:
    block = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", block)
    block = re.sub(r"\n *ssl_\w+ [^\n]*", "", block)
    temporary = "".join(
        f"{one}_temp_path {folder}/{one};\n"
        for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    variable = SEEN.replace("-", "_")
    return f"""
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 2000; }}
http {{
log_format forwarded '$request_method\t$request_uri\t$upstream_http_{variable}';
access_log {folder}/requests forwarded;
{temporary}{block}
}}
"""


def _haproxy(block: str, port: int, folder: Path) -> str:
    own = (
        f"bind 127.0.0.1:{port}\n"
        f"    http-response set-var(txn.seen) res.hdr({SEEN})\n"
        '    log-format "%HM\t%HU\t%[var(txn.seen)]"\n'
        "    log global"
    )
    block = re.sub(r"bind :443 ssl crt \S+", lambda _: own, block)
    return f"global\n    log stdout format raw local0\n    maxconn 2000\n\n{block}"


def _caddy(block: str, port: int, folder: Path) -> str:
    log = f"    log {{\n        output file {folder}/requests\n    }}"
    # Any Host, for Caddy answers those of other sites itself.
    own = f"http://:{port} {{\n    bind 127.0.0.1\n{log}"
    block = block.replace("pay.example.com {", own, 1)
    return (
        "{\n    admin off\n    auto_https off\n"
        f"    storage file_system {folder}/caddy\n}}\n{block}"
    )


def _tabbed(line: str) -> Forwarded | None:
    parts = line.split("\t")
    if len(parts) != 3 or parts[2] in ("-", ""):
        return None
    return Forwarded(f"{parts[0]} {urlsplit(parts[1]).path}", parts[2])


def _logged_by_caddy(line: str) -> Forwarded | None:
    entry = orjson.loads(line)
    seen = entry.get("resp_headers", {}).get(SEEN.title())
    if not seen:
        return None
    request = entry["request"]
    return Forwarded(f"{request['method']} {urlsplit(request['uri']).path}", seen[0])


NGINX = Proxy("nginx", "nginx", _nginx, lambda file: ["nginx", "-c", str(file)], _tabbed)
HAPROXY = Proxy(
    "haproxy", "haproxy", _haproxy,
    lambda file: ["sh", "-c", f"exec haproxy -db -f {file} > requests"], _tabbed,
)  # fmt: skip
CADDY = Proxy(
    "caddy", "caddyfile", _caddy,
    lambda file: ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)],
    _logged_by_caddy,
)  # fmt: skip
# Found all over the web; every request that it passes on asks for an upgrade.
PASSES_UPGRADES_ON = """
upstream paydue {
    server 127.0.0.1:8000;
    keepalive 1;
}

server {
    listen 443 ssl;

    location / {
        proxy_pass http://paydue;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }
}
"""
PROXIES = (NGINX, HAPROXY, CADDY)

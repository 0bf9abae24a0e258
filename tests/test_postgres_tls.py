"""The connection to PostgreSQL is encrypted as the URL's libpq options say, and doctor shows it."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.cli import health_checks
from app.errors import ConfigurationError, DatabaseUnavailable
from app.storage.engines import Database, shown_url
from app.storage.postgres_tls import transport_security
from tests import postgres
from tests.conftest import absent
from tests.harness import NO_STRIPE, settings_for
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Encrypted:
    """A PostgreSQL whose certificate, its own authority, is made out to 127.0.0.1."""

    url: str
    authority: Path
    stranger: Path

    def with_options(self, options: str) -> str:
        return f"{self.url}?{options.format(authority=self.authority, stranger=self.stranger)}"


def make_certificate(folder: Path, name: str) -> Path:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    with tls_server() as server:
        yield server


@pytest.fixture
def asking() -> Iterator[Encrypted]:
    """One that lets in only who shows the certificate `stranger`."""
    with tls_server(asks=True) as server:
        yield server


@contextlib.contextmanager
def tls_server(*, asks: bool = False) -> Iterator[Encrypted]:
    if postgres.binaries() is None or shutil.which("openssl") is None:
        absent("no PostgreSQL binaries or no openssl here")
    folder = Path(tempfile.mkdtemp(prefix="paydue-tls-"))
    folder.chmod(0o755)
    authority = make_certificate(folder, "server")
    stranger = make_certificate(folder, "stranger")
    if os.geteuid() == 0:
        shutil.chown(folder / "server.key", postgres.USER, postgres.USER)
    options = ["ssl=on", f"ssl_cert_file={authority}", f"ssl_key_file={folder / 'server.key'}"]
    if asks:
        rules = folder / "hba.conf"
        rules.write_text(
            "hostssl tls all all trust clientcert=verify-ca\nhost postgres all all trust\n"
        )
        options += [f"ssl_ca_file={stranger}", f"hba_file={rules}"]
    try:
        with postgres.running(*options) as server:
            yield Encrypted(server.create("tls"), authority, stranger)
    finally:
        shutil.rmtree(folder)


async def encryption(url: str) -> str | None:
    database = Database(url)
    try:
        return await database.encryption()
    finally:
        await database.close()


@pytest.mark.parametrize(
    "options",
    [
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=require&sslrootcert={authority}",
        "sslmode=verify-ca&sslrootcert={authority}",
        "sslmode=verify-full&sslrootcert={authority}",
        "sslrootcert={authority}",
        "ssl=require",
    ],
)
async def test_options_of_libpq_encrypt_the_connection_postgres(
    encrypted: Encrypted, options: str
) -> None:
    found = await encryption(encrypted.with_options(options))

    assert found is not None
    assert found.startswith("TLSv1")


async def test_a_connection_in_clear_text_is_said_to_be_one_postgres(encrypted: Encrypted) -> None:
    assert await encryption(encrypted.with_options("sslmode=disable")) is None


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_that_another_authority_vouches_for_is_refused_postgres(
    encrypted: Encrypted, mode: str
) -> None:
    with pytest.raises(DatabaseUnavailable, match="certificate"):
        await encryption(encrypted.with_options(f"sslmode={mode}&sslrootcert={{stranger}}"))


async def test_only_verify_full_refuses_a_certificate_for_another_name_postgres(
    encrypted: Encrypted,
) -> None:
    elsewhere = Encrypted(
        encrypted.url.replace("127.0.0.1", "localhost"), encrypted.authority, encrypted.stranger
    )
    rooted = "&sslrootcert={authority}"

    assert await encryption(elsewhere.with_options("sslmode=verify-ca" + rooted))
    with pytest.raises(DatabaseUnavailable, match="certificate"):
        await encryption(elsewhere.with_options("sslmode=verify-full" + rooted))


async def test_a_server_that_asks_for_a_certificate_gets_the_one_of_the_url_postgres(
    asking: Encrypted,
) -> None:
    certificate = asking.stranger
    named = f"&sslcert={certificate}&sslkey={certificate.with_suffix('.key')}"

    assert await encryption(
        asking.with_options("sslmode=verify-full&sslrootcert={authority}" + named)
    )
    with pytest.raises(DatabaseUnavailable, match="certificate"):
        await encryption(asking.with_options("sslmode=verify-full&sslrootcert={authority}"))
    # asyncpg leaves the socket of a refused connection to the server's end of it.
    await asyncio.sleep(wait_limit(0.3))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("sslmode=always", "verify-full"),
        ("sslmode=verify-full&sslrootcert=/nowhere.crt", "/nowhere.crt"),
        ("sslmode=verify-full&sslcert=/nowhere.crt", "/nowhere.crt"),
        ("sslmod=require", "sslmode"),
    ],
)
def test_an_option_that_cannot_be_meant_ends_in_one_sentence(options: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        transport_security(make_url(f"postgresql://paydue@db.internal/paydue?{options}"))


@pytest.mark.parametrize(
    ("options", "said"),
    [("sslmode=require", "is encrypted: TLSv1"), ("sslmode=disable", "is not encrypted")],
)
async def test_doctor_says_whether_the_connection_is_encrypted_postgres(
    encrypted: Encrypted, options: str, said: str
) -> None:
    settings = settings_for(encrypted.with_options(options), NO_STRIPE)

    checks = {one.name: one for one in await health_checks.checks_of(settings)}

    assert said in checks["encryption"].said
    assert not checks["encryption"].is_bad  # on loopback nobody is in between


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hunter2@db/paydue", "postgresql://db/paydue?user=me&password=hunter2",
     "postgresql://db/paydue?sslkey=a&sslpassword=hunter2"],
)  # fmt: skip
def test_no_password_of_a_url_is_shown(url: str) -> None:
    shown = shown_url(make_url(url))

    assert "hunter2" not in shown
    assert "paydue" in shown

"""`paydue doctor`: misconfigurations, each named with its cure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text, update

from app.cli.check_result import Check
from app.cli.health_checks import all_checks
from app.documents.printer import typst_process
from app.documents.script_fonts import scripts_without_font
from app.storage.column_types import table_of
from app.storage.durability import durability_risks
from app.storage.engines import Database
from app.storage.schema import OLDEST_CODE, VALUES
from app.storage.tables.cluster import Job
from app.storage.tables.stripe_events import StripeEvent
from tests.harness import KEY, NO_STRIPE, SECRET

pytestmark = pytest.mark.anyio

JOBS = table_of(Job)
EVENTS = table_of(StripeEvent)
BASE = {
    "STRIPE_API_KEY": KEY,
    "STRIPE_WEBHOOK_SECRET": SECRET,
    "PAYDUE_STRIPE_API_BASE": NO_STRIPE,
}
LIVE = "sk_live_0123456789abcdefghijkl"

# A setting and its wrong value, and words of the check that names it.
MISCONFIGURED: list[tuple[Mapping[str, str], str, str]] = [
    ({"STRIPE_API_KEY": ""}, "not set", "set it to the secret key"),
    ({"STRIPE_API_KEY": "pk_test_1"}, "is no secret key", "begins with sk_ or rk_"),
    ({"STRIPE_API_KEY": '"sk_test_1"'}, "is no secret key", "begins with sk_ or rk_"),
    ({"STRIPE_API_KEY": "sk_test_..."}, "placeholder", "correct its value"),
    (
        {"STRIPE_API_KEY": LIVE, "PAYDUE_STRIPE_API_BASE": "https://stripe.example.com"},
        "only a key of test mode",
        "correct its value",
    ),
    ({"STRIPE_WEBHOOK_SECRET": ""}, "webhooks get 503", "endpoint's signing secret"),
    ({"STRIPE_WEBHOOK_SECRET": SECRET[6:]}, "does not begin with whsec_", "copy it"),
    ({"STRIPE_WEBHOOK_SECRET": "whsec_..."}, "placeholder", "correct its value"),
    ({"STRIPE_WEBHOOK_SECRET": "whsec_short"}, "guessed", "correct its value"),
    ({"PAYDUE_STRIPE_API_BASE": "api.stripe.com"}, "no address of a server", "correct"),
    ({"PAYDUE_STRIPE_API_BASE": NO_STRIPE}, "communicating with Stripe", "the network way"),
    ({"PAYDUE_STRIPE_ACCOUNT": "foo"}, "acct_1A2b3C", "correct its value"),
    ({"PAYDUE_STRIPE_PACE": "0"}, "PAYDUE_STRIPE_PACE", "correct its value"),
    ({"PAYDUE_STRIPE_PACE": "inf"}, "PAYDUE_STRIPE_PACE", "correct its value"),
    ({"PAYDUE_STRIPE_PACE": "fast"}, "PAYDUE_STRIPE_PACE", "correct its value"),
    ({"PAYDUE_STRIPE_CONCURRENCY": "0"}, "PAYDUE_STRIPE_CONCURRENCY", "correct its value"),
    ({"PAYDUE_STRIPE_TIMEOUT": "41"}, "PAYDUE_STRIPE_TIMEOUT", "correct its value"),
    ({"PAYDUE_TIMEZONE": "Mars/Base"}, "IANA time zone", "correct its value"),
    ({"PAYDUE_TIMEZON": "UTC"}, "did you mean PAYDUE_TIMEZONE?", "correct its name"),
    ({"PAYDUE_CURENCY": "eur"}, "did you mean PAYDUE_CURRENCY?", "correct its name"),
    ({"PAYDUE_CURRENCY": "dollars"}, "three-letter ISO", "correct its value"),
    ({"PAYDUE_AUTOPAY_AT": "06:00+02:00"}, "PAYDUE_TIMEZONE says where", "correct its value"),
    ({"PAYDUE_AUTOPAY_AT": "25:00"}, "PAYDUE_AUTOPAY_AT", "correct its value"),
    ({"PAYDUE_RECONCILE_EVERY": "inf"}, "PAYDUE_RECONCILE_EVERY", "correct its value"),
    ({"PAYDUE_RECONCILE_EVERY": "86401"}, "86400", "correct its value"),
    ({"PAYDUE_LOG_LEVEL": "loud"}, "none of debug", "correct its value"),
    ({"PAYDUE_LOG_FORMAT": "xml"}, "none of text, json", "correct its value"),
    ({"PAYDUE_BODY_MAX": "1"}, "PAYDUE_BODY_MAX", "correct its value"),
    ({"PAYDUE_PROXIES": "my proxy"}, "PAYDUE_PROXIES", "correct its value"),
    ({"PAYDUE_TOKEN_LASTS": "5"}, "PAYDUE_TOKEN_LASTS", "correct its value"),
    ({"PAYDUE_PUBLIC_URL": "http://pay.example.com"}, "https://", "correct its value"),
    ({"PAYDUE_PUBLIC_URL": ""}, "callers of this machine only", "the address that clients use"),
    ({"PAYDUE_INTERNAL_TOKEN": "short"}, "16 characters", "correct its value"),
    ({"PAYDUE_DATABASE_URL": "mysql://localhost/x"}, "sqlite and postgresql", "PAYDUE_DATABASE"),
    ({"PAYDUE_DATABASE_URL": "sqlite://"}, "must name a file", "PAYDUE_DATABASE"),
    ({"PAYDUE_DATABASE_URL": "sqlite:///none.db"}, "paydue db init", "PAYDUE_DATABASE"),
    ({"PAYDUE_DATABASE_URL": "sqlite:///no/x.db"}, "there is no folder", "PAYDUE_DATABASE"),
    (
        {"PAYDUE_DATABASE_URL": "postgresql://x@127.0.0.1:9/x"},
        "cannot be used now",
        "start it, or correct",
    ),
    (
        {"PAYDUE_DATABASE_URL": "postgresql://x@h/x?sslmod=require"},
        "has the option 'sslmod'",
        "correct PAYDUE_DATABASE_URL",
    ),
    (
        {"PAYDUE_DATABASE_URL": "postgresql://x@h/x?sslmode=maybe"},
        "sslmode='maybe'",
        "correct PAYDUE_DATABASE_URL",
    ),
    ({"PAYDUE_DATABASE_URL": "sqlite:////"}, "must name a file", "PAYDUE_DATABASE"),
    ({"PAYDUE_DATABASE_URL": "sqlite:///."}, "must name a file", "PAYDUE_DATABASE"),
    ({"PAYDUE_DATABASE_URL": '"sqlite:///x.db"'}, "without quotation marks", "PAYDUE_DATABASE"),
    ({"PAYDUE_DATABASE_URL": "jdbc:postgresql://h/x"}, "postgresql://user", "PAYDUE_DATABASE"),
    ({"PAYDUE_DATABASE_URL": "postgresql://x:p@ss/w@127.0.0.1/x"}, "cannot be", "@ is %40"),
    (
        {"PAYDUE_DATABASE_URL": "postgresql://x@h/x?sslmode=verify-full&sslrootcert=/no.pem"},
        "sslrootcert=/no.pem",
        "correct PAYDUE_DATABASE_URL",
    ),
    ({"PAYDUE_STRIPE_API_BASE": f"{NO_STRIPE}/v1"}, "ends in /v1", "correct its value"),
    ({"STRIPE_API_KEY": "sk_test_1\nsk_test_2"}, "on one line", "correct its value"),
    ({"STRIPE_API_KEY": SECRET}, "is no secret key", "begins with sk_ or rk_"),
    ({"STRIPE_WEBHOOK_SECRET": f"{SECRET};{SECRET}"}, "commas separate", "correct its value"),
    ({"STRIPE_WEBHOOK_SECRET": "we_1NabcdefghijklmnopqrstUV"}, "begin with whsec_", "copy it"),
    ({"PAYDUE_PROXIES": "0.0.0.0/0"}, "everybody may say", "your own proxies alone"),
    ({"PAYDUE_PROXIES": "10.0.0.1/99"}, "PAYDUE_PROXIES", "correct its value"),
    ({"PAYDUE_PUBLIC_URL": "pay.example.com"}, "such as https://", "correct its value"),
    (
        {"PAYDUE_SMTP_HOST": "mail.example.com:587", "PAYDUE_MAIL_FROM": "a@example.com"},
        "PAYDUE_SMTP_PORT has the port",
        "correct its value",
    ),
    ({"PAYDUE_SMTP_HOST": "mail.example.com"}, "PAYDUE_MAIL_FROM: is required", "correct its"),
    (
        {
            "PAYDUE_SMTP_HOST": "127.0.0.1",
            "PAYDUE_SMTP_PORT": "9",
            "PAYDUE_MAIL_FROM": "a@example.com",
        },
        "127.0.0.1:9",
        "correct PAYDUE_SMTP_HOST",
    ),
    ({"PAYDUE_MAIL_FINANCE": "the office"}, "is no mail address", "correct its value"),
    ({"PAYDUE_ALERT_WEBHOOK_URL": "https://a.example.com"}, "_SECRET: is required", "correct"),
    ({"PAYDUE_DRAIN": "forever"}, "PAYDUE_DRAIN", "correct its value"),
    ({"PAYDUE_UPGRADE_ON_START": "maybe"}, "PAYDUE_UPGRADE_ON_START", "correct its value"),
    ({"PAYDUE_AUTOPAY_TIMES_USUAL": "-3"}, "PAYDUE_AUTOPAY_TIMES_USUAL", "correct its value"),
    ({"PAYDUE_DROP_EVENTS_AFTER": "5"}, "at least 35", "correct its value"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "no address like", "correct it"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": NO_STRIPE}, "no collector at 127.0.0.1:9", "start it"),
    (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": NO_STRIPE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        "sent by http/protobuf",
        "correct it",
    ),
]

# A setting that is missing, and the name under which it is set instead.
MISNAMED = [
    ("STRIPE_API_KEY", "STRIPE_SECRET_KEY"),
    ("STRIPE_WEBHOOK_SECRET", "STRIPE_SIGNING_SECRET"),
    ("PAYDUE_DATABASE_URL", "DATABASE_URL"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    """A folder of one's own, with the settings of somebody who has set what is needed."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**BASE, "PAYDUE_DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    return database_url


def test_there_are_sixty_misconfigurations() -> None:
    assert len(MISCONFIGURED) >= 60


@pytest.mark.parametrize(("setting", "name"), MISNAMED)
async def test_a_setting_under_the_name_of_another_program_is_named(
    place: str, monkeypatch: pytest.MonkeyPatch, setting: str, name: str
) -> None:
    usual = await all_checks()
    monkeypatch.setenv(name, "something")
    both = await all_checks()
    monkeypatch.delenv(setting)
    alone = await all_checks()

    said = f"{name} is not read, and {setting} is not set; did you mean {setting}?"
    assert said not in [one.said for one in [*usual, *both]]
    assert said in [one.said for one in alone]


async def test_each_misconfiguration_is_named_with_its_cure(place: str) -> None:
    if not place.startswith("sqlite"):
        return  # the settings are the same
    unnamed = []
    for environment, said, mend in MISCONFIGURED:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            found = await all_checks()
        if not any(said in one.said and mend in one.mend for one in found):
            unnamed.append((environment, [one.as_dict() for one in found]))

    assert unnamed == []


async def test_files_that_are_no_settings_or_open_to_others_are_named(
    place: str, tmp_path: Path
) -> None:
    env = tmp_path / ".env"
    env.write_bytes("PAYDUE_CURRENCY=€".encode("iso-8859-15"))
    not_utf8 = await all_checks()
    env.write_text("PAYDUE_TIMZONE=UTC")
    env.chmod(0o644)
    readable = await all_checks()
    env.chmod(0o666)
    writable = await all_checks()

    assert "UTF-8" in not_utf8[0].mend
    assert "PAYDUE_TIMEZONE?" in readable[0].said
    assert any("chmod 600" in one.mend for one in readable)
    assert "chmod 600" in writable[0].said


async def test_another_distributions_package_app_is_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = await _named("package")
    installed = tmp_path / "website-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: website\nVersion: 1.0\n")
    (installed / "top_level.txt").write_text("app\n")
    monkeypatch.syspath_prepend(tmp_path)

    shared = await _named("package")

    assert alone.state == "ok"
    assert shared.state == "bad"
    assert "website installs a package `app` as well" in shared.said
    assert "pipx install paydue" in shared.mend


async def test_scripts_without_a_font_are_a_note_and_no_fault(place: str) -> None:
    (found,) = [one for one in await all_checks() if one.name == "fonts"]

    missing = scripts_without_font(typst_process().families())
    assert found.state == ("note" if missing else "ok")
    assert all(script in found.said for script in missing)


async def test_what_is_in_the_database_is_looked_at(place: str, database: Database) -> None:
    now = datetime.now(UTC)
    new = await _named("worker")
    await _a_job(database, finished_at=now, next_run_at=now, result="1 applied")
    works = await _named("worker")
    await _change(database, {"result": "failed: KeyError('x')"})
    fails = await _named("worker")
    await _change(database, {"finished_at": now - timedelta(hours=1)})
    gone = await _named("worker")
    applied = await _named("events")
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        needs = VALUES.update().where(VALUES.c.name == OLDEST_CODE)
        await tx.execute(needs.values(value="9999"))
    newer = await _named("database")

    assert [one.state for one in (new, works, fails, gone)] == ["note", "ok", "note", "bad"]
    assert "paydue worker" in gone.mend
    assert applied.state == "ok"
    assert (newer.state, "paydue db downgrade" in newer.said) == ("bad", True)


async def test_a_damaged_page_is_found(place: str, database: Database, tmp_path: Path) -> None:
    if not database.is_sqlite:
        return
    await database.close()
    file = tmp_path / "paydue.db"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40_000] = b"\xff" * 40_000
    file.write_bytes(content)

    found = await _named("durability")

    assert (found.state, "paydue db restore" in found.mend) == ("bad", True)


@pytest.mark.parametrize(
    ("changed", "standbys", "bad", "words"),
    [
        ({}, 0, [], ""),
        ({"fsync": "off"}, 0, [True], "fsync is off"),
        ({"full_page_writes": "off"}, 0, [True], "full_page_writes is off"),
        ({"synchronous_commit": "off"}, 0, [True], "set synchronous_commit = on"),
        ({}, 1, [False], "synchronous_standby_names"),
        ({"synchronous_standby_names": "*"}, 1, [], ""),
        ({"synchronous_standby_names": "*", "synchronous_commit": "remote_apply"}, 1, [], ""),
        ({"synchronous_standby_names": "*", "synchronous_commit": "local"}, 1, [False], "local"),
        ({"synchronous_standby_names": "*", "synchronous_commit": "remote_write"}, 1, [False],
         "remote_apply"),
    ],
)  # fmt: skip
def test_settings_of_postgres_that_cannot_keep_the_promise_are_named(
    changed: Mapping[str, str], standbys: int, bad: list[bool], words: str
) -> None:
    usual = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on",
             "synchronous_standby_names": ""}  # fmt: skip

    found = durability_risks({**usual, **changed}, standbys=standbys)

    assert [one.is_bad for one in found] == bad
    assert words in "".join(one.said + one.mend for one in found)


async def _named(name: str) -> Check:
    return next(one for one in await all_checks() if one.name == name)


async def _a_job(database: Database, **columns: object) -> None:
    async with database.transaction() as tx:
        await tx.execute(insert(JOBS).values(name="events", **columns))


async def _change(database: Database, values: dict[str, object]) -> None:
    async with database.transaction() as tx:
        await tx.execute(update(JOBS).values(values))

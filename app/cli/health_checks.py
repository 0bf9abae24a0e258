"""The checks of `paydue doctor`. Each says what it found and how to mend it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import packages_distributions
from ipaddress import ip_network
from pathlib import Path
from stat import S_IRWXG, S_IRWXO
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError

from app import tracing
from app.cli.check_result import Check, failed_check
from app.cli.database_checks import database_checks
from app.cli.error_words import setting_words
from app.documents.document_folder import fonts_folder
from app.documents.printer import typst_process
from app.documents.script_fonts import scripts_without_font
from app.errors import ConfigurationError, Unavailable
from app.mail.smtp_connection import MailServerAway, smtp_connection
from app.node import open_database, unlimited_gateway
from app.payments.event_queries import list_foreign_counts
from app.payments.stripe.gateway import NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited
from app.payments.webhook.foreign_events import ForeignReason
from app.settings import Settings, UnsafeEnvFile, is_loopback, unknown_settings
from app.storage import schema
from app.storage.engines import normalize_url, shown_url
from app.storage.postgres_hosts import hosts_of

# Stripe's signatures are good for 300 s; a clock this far off will soon refuse real ones.
SKEW_MAX_S = 60
CONNECT_S = 5.0
# Before this release two connections could corrupt a WAL; Paydue's lock file keeps them apart.
SQLITE_GOOD = (3, 51, 3)
_KEY_PREFIXES = ("sk_test_", "sk_live_", "rk_test_", "rk_live_")


async def all_checks() -> list[Check]:
    try:
        settings = Settings()
    except UnsafeEnvFile as error:
        return [failed_check("settings", str(error), "keep .env to yourself")]
    except ValidationError as error:
        return [
            failed_check("settings", setting_words(one), "correct its value")
            for one in error.errors()
        ]
    except UnicodeDecodeError as error:
        return [failed_check("settings", f".env: {error}", "write it in UTF-8")]
    unknown = [failed_check("settings", said, "correct its name") for said in unknown_settings()]
    return [*unknown, *await checks_of(settings)]


async def checks_of(settings: Settings) -> list[Check]:
    """The checks of settings that can be read."""
    checks: list[Callable[[Settings], Awaitable[Check]]] = [
        _key,
        _secret,
        _stripe,
        _clock,
        _database,
        _engine,
        _encryption,
        _files,
        _fonts,
        _mail,
        _public_url,
        _proxies,
        _traces,
        _foreign_events,
        _package,
    ]
    mode = "live" if settings.livemode else "test"
    first = Check("settings", f"{mode} mode, {settings.timezone}, autopay at {settings.autopay_at}")
    found = [first, *[await check(settings) for check in checks]]
    return [*found, *await database_checks(settings)]


async def _key(settings: Settings) -> Check:
    if not settings.api_key:
        return failed_check(
            "STRIPE_API_KEY", "not set", "set it to the secret key of your Stripe account"
        )
    if not settings.api_key.startswith(_KEY_PREFIXES):
        return failed_check(
            "STRIPE_API_KEY", "is no secret key", "take the key that begins with sk_ or rk_"
        )
    return Check("STRIPE_API_KEY", f"set ({settings.api_key[:8]}…)")


async def _secret(settings: Settings) -> Check:
    secrets = settings.webhook_secrets
    if not secrets:
        return failed_check(
            "STRIPE_WEBHOOK_SECRET",
            "not set: webhooks get 503",
            "set it to the endpoint's signing secret, whsec_…",
        )
    if any(not one.startswith("whsec_") for one in secrets):
        return failed_check(
            "STRIPE_WEBHOOK_SECRET", "does not begin with whsec_", "copy it from the endpoint"
        )
    return Check("STRIPE_WEBHOOK_SECRET", f"{len(secrets)} set")


async def _stripe(settings: Settings) -> Check:
    if not settings.api_key:
        return failed_check("Stripe", "not asked: no key", "set STRIPE_API_KEY")
    try:
        async with unlimited_gateway(settings) as gateway:
            account = await gateway.account()
    except NotAuthorized as error:
        return failed_check("Stripe", str(error), "the key is wrong, revoked or of another account")
    except (NoAnswer, StripeRateLimited, RequestRefused) as error:
        return failed_check(
            "Stripe", str(error), f"check the network way to {settings.stripe_api_base}"
        )
    return Check("Stripe", f"{settings.stripe_api_base} accepts the key ({account.get('id')})")


async def _clock(settings: Settings) -> Check:
    try:
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(settings.stripe_api_base) as answer,
        ):
            said = answer.headers.get("Date")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Check("clock", f"not compared: {error}", "reach Stripe, then look again")
    if said is None:
        return Check("clock", "not compared: the server sends no Date")
    skew = (datetime.now(UTC) - parsedate_to_datetime(said)).total_seconds()
    if abs(skew) > SKEW_MAX_S:
        return failed_check(
            "clock", f"{skew:+.0f} s against Stripe's", "keep this machine's time by NTP"
        )
    return Check("clock", f"{skew:+.0f} s against Stripe's")


async def _database(settings: Settings) -> Check:
    try:
        async with open_database(settings) as database:
            found = await schema.state(database)
    except ConfigurationError as error:
        return failed_check("database", str(error), "correct PAYDUE_DATABASE_URL")
    except Unavailable as error:
        mend = (
            "start it, or correct PAYDUE_DATABASE_URL; in a password @ is %40, / is %2F, : is %3A"
        )
        return failed_check("database", error.message, mend)
    shown = shown_url(database.url)
    if found.is_newer and not found.is_usable:
        return failed_check("database", found.words(), "run the newer version of Paydue")
    if not found.is_usable:
        return failed_check(
            "database", f"{shown}: schema {found.at or 'empty'}", "paydue db upgrade"
        )
    newer = f" ({found.words()})" if found.is_newer else ""
    return Check("database", f"{shown}: schema {found.at}{newer}")


async def _engine(settings: Settings) -> Check:
    if not settings.database_url.startswith("sqlite"):
        return Check("engine", "PostgreSQL")
    if sqlite3.sqlite_version_info < SQLITE_GOOD:
        return Check(
            "engine",
            f"SQLite {sqlite3.sqlite_version} (before {'.'.join(map(str, SQLITE_GOOD))} two "
            "writers could corrupt a WAL; Paydue's lock file keeps them apart)",
        )
    return Check("engine", f"SQLite {sqlite3.sqlite_version}")


async def _encryption(settings: Settings) -> Check:
    """Whether what goes to PostgreSQL and back can be read on the way."""
    try:
        url = normalize_url(settings.database_url)
        if url.get_backend_name() == "sqlite":
            return Check("encryption", "not needed: the database is a file here")
        async with open_database(settings) as database:
            found = await database.encryption()
    except (ConfigurationError, Unavailable) as error:
        return Check("encryption", f"not known: {error}", "reach the database, then look again")
    if found:
        return Check("encryption", f"the connection to PostgreSQL is encrypted: {found}")
    said = "the connection to PostgreSQL is not encrypted"
    if all(host.startswith("/") or is_loopback(host) for host in hosts_of(url)):
        return Check("encryption", f"{said}, and stays on this machine")
    return failed_check(
        "encryption", said, "append ?sslmode=verify-full&sslrootcert=FILE to PAYDUE_DATABASE_URL"
    )


async def _files(settings: Settings) -> Check:
    """The database and `.env` hold what others on this machine should not read."""
    names = [".env"]
    if settings.database_url.startswith("sqlite"):
        file = normalize_url(settings.database_url).database or ""
        names += [file, f"{file}-wal", f"{file}-shm", f"{file}-lock"]
    readable = [name for name in names if name and _is_open_to_others(Path(name))]
    if readable:
        said = f"{', '.join(readable)}: open to other users of this machine"
        return Check("files", said, f"chmod 600 {' '.join(readable)}")
    return Check("files", "nobody else may read them")


def _is_open_to_others(file: Path) -> bool:
    return file.is_file() and bool(file.stat().st_mode & (S_IRWXG | S_IRWXO))


async def _package(settings: Settings) -> Check:
    """Whether another distribution brings a package `app` as well: its files lie among ours."""
    found = await asyncio.to_thread(packages_distributions)
    others = sorted({*found.get("app", ())} - {"paydue"})
    if not others:
        return Check("package", "`app` is Paydue's alone")
    said = f"{', '.join(others)} installs a package `app` as well, into the place of Paydue's"
    return failed_check(
        "package", said, "give Paydue an environment of its own: pipx install paydue"
    )


async def _fonts(settings: Settings) -> Check:
    """Letters of a script without a font are printed as boxes; the wheel has the common scripts."""
    process = typst_process(*fonts_folder(settings.documents_folder))
    missing = scripts_without_font(await asyncio.to_thread(process.families))
    if not missing:
        return Check("fonts", "for every common script")
    packages = "fonts-noto-core fonts-noto-cjk fonts-noto-color-emoji"
    said = f"documents show boxes for {', '.join(missing)}"
    return Check("fonts", said, f"if you print them: apt-get install {packages}")


async def _mail(settings: Settings) -> Check:
    """Whether the SMTP server lets Paydue in; no mail is sent for it."""
    if not settings.smtp_host:
        return Check("mail", "PAYDUE_SMTP_HOST is not set: no mail is sent")
    shown = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        async with smtp_connection(settings):
            return Check("mail", f"{shown} lets Paydue in")
    except MailServerAway as error:
        return failed_check("mail", f"{shown}: {error}", "correct PAYDUE_SMTP_HOST and the like")


async def _public_url(settings: Settings) -> Check:
    if not settings.public_url:
        said = "not set: /api/authinfo answers callers of this machine only"
        return Check("PAYDUE_PUBLIC_URL", said, "set it to the address that clients use, https://…")
    return Check("PAYDUE_PUBLIC_URL", settings.public_url)


async def _proxies(settings: Settings) -> Check:
    if any(ip_network(one, strict=False).prefixlen == 0 for one in settings.proxy_networks):
        said = "everybody may say by a header which address he calls from"
        return Check("PAYDUE_PROXIES", said, "name the networks of your own proxies alone")
    return Check("PAYDUE_PROXIES", ", ".join(settings.proxy_networks) or "none")


async def _traces(settings: Settings) -> Check:
    try:
        endpoint = tracing.endpoint()
        if endpoint is None:
            return Check("traces", "off: OTEL_EXPORTER_OTLP_ENDPOINT is not set")
        parts = urlsplit(endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(CONNECT_S):
            opened = await asyncio.open_connection(parts.hostname, port)
        opened[1].close()
    except ConfigurationError as error:
        return failed_check("traces", str(error), "correct it, or unset it")
    except (OSError, TimeoutError) as error:
        said = f"no collector at {parts.hostname}:{port}: {error or 'no answer'}"
        return failed_check("traces", said, "start it, or correct OTEL_EXPORTER_OTLP_ENDPOINT")
    return Check("traces", f"a collector listens at {parts.hostname}:{port}")


# Each reason why a verified event was not for us, and what would end it.
_FOREIGN_MENDS = {
    ForeignReason.OTHER_MODE: "give each mode an endpoint of its own",
    ForeignReason.OTHER_ACCOUNT: "set PAYDUE_STRIPE_ACCOUNT to the account whose events are meant",
    ForeignReason.OTHER_CONTEXT: "set PAYDUE_STRIPE_ACCOUNT to the account whose events are meant",
    ForeignReason.THIN_EVENT: "let the destination send snapshot events",
    ForeignReason.PING: "",
}


async def _foreign_events(settings: Settings) -> Check:
    """Events that Stripe sent here and that are not for us: no fault, but somebody may wonder."""
    try:
        async with open_database(settings) as database, database.snapshot() as tx:
            if not (await schema.state_in(tx)).is_usable:
                return Check("foreign events", "not counted: the schema is another")
            counts = await list_foreign_counts(tx)
    except (ConfigurationError, Unavailable):
        return Check("foreign events", "not counted: no database")
    if not counts:
        return Check("foreign events", "none")
    said = ", ".join(f"{one.events} {one.reason} (last {one.last_event_id})" for one in counts)
    mends = {_FOREIGN_MENDS[ForeignReason(one.reason)]: None for one in counts}
    return Check("foreign events", said, "; ".join(one for one in mends if one))

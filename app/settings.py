"""Every setting: its name in the environment, its default and its unit. Read once, then frozen."""

import os
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from stat import S_IWGRP, S_IWOTH
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

# Text without braces, the year at most once before the number, and the number once.
_NUMBER_PATTERN = r"[^{}]{0,40}(\{year\}[^{}]{0,10})?\{number(:([1-9]|1[0-8]))?\}[^{}]{0,10}"
LIVE_API = "https://api.stripe.com"
# Keys of these kinds move no money, so they may be sent to another Stripe-shaped server.
_TEST_KEYS = ("sk_test_", "rk_test_")
# Stripe's signing secrets have 32 random characters and more after `whsec_`.
_SIGNING_SECRET_MIN = 20
_DIFFERENT_CHARACTERS_MIN = 8
_INTERNAL_TOKEN_MIN = 16
_DROP_DAYS_MIN = 35


def _timezone(name: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone, such as Europe/Berlin") from None
    return name


def _local_time(given: object) -> object:
    """`HH:MM`; an offset would be dropped, for the time zone is a setting of its own."""
    if isinstance(given, str) and not re.fullmatch(r"[0-2]?\d:[0-5]\d(:[0-5]\d)?", given.strip()):
        raise ValueError(f"{given!r} is no local time, such as 06:00; PAYDUE_TIMEZONE says where")
    return given.strip().zfill(5) if isinstance(given, str) else given


def _none_if_empty(given: object) -> object:
    return (given.strip() or None) if isinstance(given, str) else given


def _word_of(*known: str) -> BeforeValidator:
    """One of a few words, in any case."""

    def word(given: object) -> object:
        found = given.strip().lower() if isinstance(given, str) else given
        if found not in known:
            raise ValueError(f"{given!r} is none of {', '.join(known)}")
        return found

    return BeforeValidator(word)


def _account(id_: str) -> str:
    if id_ and not re.fullmatch(r"acct_\w+", id_):
        raise ValueError(f"{id_!r} is no account of Stripe's, such as acct_1A2b3C")
    return id_


def _server_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a server, such as {LIVE_API}")
    if parts.path.rstrip("/").endswith("/v1"):
        raise ValueError("ends in /v1, which Paydue adds by itself")
    return url


def _networks(listed: str) -> str:
    from ipaddress import ip_network

    for one in listed.split(","):
        if one.strip():
            ip_network(one.strip())
    return listed


def _number_pattern(pattern: str) -> str:
    if pattern and not re.fullmatch(_NUMBER_PATTERN, pattern):
        raise ValueError(f"{pattern!r} is no pattern such as INV-{{year}}-{{number:5}}")
    return pattern


def _days_until_dropped(days: int) -> int:
    """Stripe tells of an event for 30 days, and an idempotency key is good for one."""
    if 0 < days < _DROP_DAYS_MIN:
        raise ValueError(f"must be 0 or at least {_DROP_DAYS_MIN}")
    return days


def _currency(code: str) -> str:
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise ValueError(f"{code!r} is not a three-letter ISO currency code, such as usd")
    return code.lower()


def _public_url(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("must not carry a user or a password")
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not the address of a host, such as https://pay.example.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must begin with https://, for clients send their secrets there")
    return url.rstrip("/")


def _webhook_url(url: str) -> str:
    parts = urlsplit(url)
    if url and not (parts.hostname and (parts.scheme == "https" or _is_local_http(url))):
        raise ValueError("must begin with https://")
    if parts.username or parts.password:
        raise ValueError("must not carry a user or a password")
    return url


def _is_local_http(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and is_loopback(parts.hostname or "")


def _webhook_secret(given: SecretStr) -> SecretStr:
    """As Standard Webhooks has it, so that its libraries can check the signature."""
    secret = given.get_secret_value()
    if not secret:
        return given
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("is not whsec_ and 24 to 64 random bytes in base64")
    return given


def _mail_address(address: str) -> str:
    if address and not re.fullmatch(r"[!-?A-~]+@[A-Za-z0-9.-]+", address):
        raise ValueError(f"{address!r} is no mail address, such as billing@example.com")
    return address


def _mail_addresses(listed: str) -> str:
    for one in _split(listed):
        _mail_address(one)
    return listed


def _issuer(url: str) -> str:
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or is_loopback(parts.hostname or "")
    if url and (not parts.hostname or not is_safe or parts.query or parts.fragment):
        raise ValueError("must begin with https:// and have neither ? nor #")
    return url


def _signing_secrets(given: SecretStr) -> SecretStr:
    """A placeholder or a guessable secret would let anybody sign events."""
    for secret in _split(given.get_secret_value()):
        if _is_placeholder(secret):
            raise ValueError("holds a placeholder; copy the endpoint's signing secret from Stripe")
        if re.search(r"[\s;]", secret):
            raise ValueError("holds several secrets, or a broken one; commas separate them")
        if len(secret) < _SIGNING_SECRET_MIN or len(set(secret)) < _DIFFERENT_CHARACTERS_MIN:
            raise ValueError(
                "holds a secret that could be guessed; copy the endpoint's own, whsec_..."
            )
    return given


def _api_key(given: SecretStr) -> SecretStr:
    if _is_placeholder(given.get_secret_value()):
        raise ValueError("is a placeholder; copy the secret key from Stripe's dashboard")
    if re.search(r"\s", given.get_secret_value().strip()):
        raise ValueError("is broken by a blank or a line break; copy the key again, on one line")
    return given


def _smtp_host(name: str) -> str:
    is_ipv6 = name.count(":") > 1
    if "/" in name or (":" in name and not is_ipv6):
        raise ValueError(f"{name!r} is not a host's name alone; PAYDUE_SMTP_PORT has the port")
    return name


def _internal_token(given: SecretStr) -> SecretStr:
    token = given.get_secret_value()
    if token and (len(token) < _INTERNAL_TOKEN_MIN or _is_placeholder(token)):
        raise ValueError(f"has fewer than {_INTERNAL_TOKEN_MIN} characters, or is a placeholder")
    return given


def _is_placeholder(secret: str) -> bool:
    return ".." in secret or "\u2026" in secret


def _split(secrets: str) -> list[str]:
    return [one.strip() for one in secrets.split(",") if one.strip()]


def is_loopback(host: str) -> bool:
    """Whether a host's name is that of this machine for itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class UnsafeEnvFile(Exception):
    """Somebody else could have written the file that the settings are read from."""


def _assert_private(files: Iterable[Path]) -> None:
    """Whoever writes `.env` names the host that the Stripe key is sent to."""
    for file in files:
        if not file.is_file():
            continue
        found = file.stat()
        if found.st_uid not in (0, os.geteuid()):
            raise UnsafeEnvFile(f"{file} belongs to another user; mend it with: chown")
        if found.st_mode & (S_IWGRP | S_IWOTH):
            raise UnsafeEnvFile(f"{file} may be written by others; mend it with: chmod 600 {file}")


def _files(given: Any) -> list[Path]:
    if given is None:
        return []
    several = given if isinstance(given, list | tuple) else [given]
    return [Path(one).expanduser() for one in several]


class Settings(BaseSettings):
    """The environment wins over the file `.env` in the working folder."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    database_url: str = Field(
        "sqlite:///paydue.db",
        alias="PAYDUE_DATABASE_URL",
        description="where everything is kept: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`",
    )
    create_database: bool = Field(
        False,
        alias="PAYDUE_CREATE_DATABASE",
        description="make the SQLite file where there is none, as `paydue db init` does; otherwise a missing file is an error",
    )
    upgrade_on_start: bool = Field(
        True,
        alias="PAYDUE_UPGRADE_ON_START",
        description="bring the database's schema up to date when `serve` or `worker` starts",
    )
    stripe_api_key: Annotated[SecretStr, AfterValidator(_api_key)] = Field(
        SecretStr(""),
        alias="STRIPE_API_KEY",
        description="Stripe's secret or restricted key, `sk_...` or `rk_...`; its prefix decides test or live mode",
    )
    stripe_webhook_secret: Annotated[SecretStr, AfterValidator(_signing_secrets)] = Field(
        SecretStr(""),
        alias="STRIPE_WEBHOOK_SECRET",
        description="signing secrets `whsec_...`, comma-separated while one is rotated; without one the webhook answers 503",
    )
    stripe_account: Annotated[str, AfterValidator(_account)] = Field(
        "",
        alias="PAYDUE_STRIPE_ACCOUNT",
        description="the connected account `acct_...` whose events are taken; empty takes those of the key's own account only",
    )
    stripe_api_base: Annotated[str, AfterValidator(_server_url)] = Field(
        LIVE_API,
        alias="PAYDUE_STRIPE_API_BASE",
        description="the Stripe-shaped server to talk to; a live key is sent only to Stripe or to this machine",
    )
    stripe_pace: float = Field(
        25.0,
        gt=0,
        allow_inf_nan=False,
        alias="PAYDUE_STRIPE_PACE",
        description="requests per second to each Stripe endpoint, shared by all nodes through the database",
    )
    stripe_concurrency: int = Field(
        32,
        ge=1,
        le=1000,
        alias="PAYDUE_STRIPE_CONCURRENCY",
        description="invoices one run charges at the same time",
    )
    stripe_timeout: float = Field(
        20.0,
        gt=0,
        le=40,
        alias="PAYDUE_STRIPE_TIMEOUT",
        description="seconds to wait for one answer of Stripe; at most 40, so that a lease outlives it",
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        "UTC",
        alias="PAYDUE_TIMEZONE",
        description="IANA time zone of the business day, for clients without one of their own",
    )
    currency: Annotated[str, AfterValidator(_currency)] = Field(
        "usd",
        alias="PAYDUE_CURRENCY",
        description="ISO code of an invoice's currency when neither it nor its client names one",
    )
    invoice_number: Annotated[str, AfterValidator(_number_pattern)] = Field(
        "",
        alias="PAYDUE_INVOICE_NUMBER",
        description="pattern of the numbers of invoices that come without one, such as `INV-{year}-{number:5}`; empty takes the invoice's `id`",
    )
    tax_rounding: Annotated[str, _word_of("invoice", "line")] = Field(
        "invoice",
        alias="PAYDUE_TAX_ROUNDING",
        description="the sums of new invoices that are rounded: those of each tax rate (`invoice`), or those of each `line`",
    )
    autopay_at: Annotated[time, BeforeValidator(_local_time)] = Field(
        time(6, 0),
        alias="PAYDUE_AUTOPAY_AT",
        description="local time `HH:MM` of the worker's daily autopay run",
    )
    autopay_posted_only: bool = Field(
        False,
        alias="PAYDUE_AUTOPAY_POSTED_ONLY",
        description="charge only invoices that are posted",
    )
    autopay_consolidate: bool = Field(
        False,
        alias="PAYDUE_AUTOPAY_CONSOLIDATE",
        description="charge all invoices of a client that are due together in one payment, unless the client's `consolidate` says otherwise",
    )
    autopay_from: Annotated[date | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        alias="PAYDUE_AUTOPAY_FROM",
        description="the day `YYYY-MM-DD` on which autopay began: older invoices, such as those of an import, wait for an approval",
    )
    autopay_times_usual: Decimal = Field(
        Decimal(0),
        ge=0,
        le=1000,
        allow_inf_nan=False,
        alias="PAYDUE_AUTOPAY_TIMES_USUAL",
        description="a run that would take more than so many times the usual sum of the last runs charges nothing and asks first; 0 never asks",
    )
    recurring_auto: bool = Field(
        True,
        alias="PAYDUE_RECURRING_AUTO",
        description="let the worker make the invoices of templates whose next period has begun; it looks every hour",
    )
    reconcile_every: float = Field(
        300.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        alias="PAYDUE_RECONCILE_EVERY",
        description="seconds between two reconciliations with Stripe by the worker; at most 86400, a day",
    )
    compress_events_after: int = Field(
        30,
        ge=0,
        alias="PAYDUE_COMPRESS_EVENTS_AFTER",
        description="days after which the worker compresses the bodies of events; they are read as before; 0 is never",
    )
    drop_events_after: Annotated[int, AfterValidator(_days_until_dropped)] = Field(
        0,
        ge=0,
        alias="PAYDUE_DROP_EVENTS_AFTER",
        description="days, 35 or more, after which a body is dropped but for its hash, unless its payment is not at rest; 0 is never",
    )
    body_max: int = Field(
        1024 * 1024,
        ge=1024,
        alias="PAYDUE_BODY_MAX",
        description="bytes of the largest request body that is read",
    )
    connections_max: int = Field(
        1000,
        ge=1,
        alias="PAYDUE_CONNECTIONS_MAX",
        description="connections that each `serve` process holds, within its limit of open files; beyond them the one that waits longest gives way",
    )
    peer_connections_max: int = Field(
        100,
        ge=0,
        alias="PAYDUE_PEER_CONNECTIONS_MAX",
        description="connections of one address, or of one /64 of IPv6; 0 is no limit",
    )
    proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
        alias="PAYDUE_PROXIES",
        description="networks of reverse proxies, comma-separated, whose connections are not counted by address",
    )
    head_timeout: int = Field(
        10,
        ge=1,
        alias="PAYDUE_HEAD_TIMEOUT",
        description="seconds a request's headers may take to arrive",
    )
    body_timeout: int = Field(
        20,
        ge=1,
        alias="PAYDUE_BODY_TIMEOUT",
        description="seconds a request's body may take to arrive, and each 64 KiB of an answer to be taken",
    )
    idle_timeout: int = Field(
        75,
        ge=1,
        alias="PAYDUE_IDLE_TIMEOUT",
        description="seconds a connection stays open after an answer; longer than a proxy keeps it, or a request may meet its end",
    )
    unfinished_bodies_max: int = Field(
        8 * 1024 * 1024,
        ge=0,
        alias="PAYDUE_UNFINISHED_BODIES_MAX",
        description="bytes of bodies still arriving that each `serve` process holds; beyond them the oldest is given up",
    )
    token_lasts: int = Field(
        3600,
        ge=60,
        le=86_400,
        alias="PAYDUE_TOKEN_LASTS",
        description="seconds an API access token is good for; at most 86400, a day",
    )
    rate_limit: int = Field(
        1000,
        ge=0,
        alias="PAYDUE_RATE_LIMIT",
        description="API requests a minute that one credential may make of each `serve` process, in bursts of as many; 0 is no limit",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "",
        alias="PAYDUE_PUBLIC_URL",
        description="the address by which clients reach Paydue, `https://HOST`; `/api/authinfo` names it",
    )
    documents_folder: str = Field(
        "",
        alias="PAYDUE_DOCUMENTS_FOLDER",
        description="the folder of the documents' `seller.toml`, `logo.svg` or `logo.png`, own templates and `fonts`; without one they name no seller",
    )
    smtp_host: Annotated[str, AfterValidator(_smtp_host)] = Field(
        "",
        alias="PAYDUE_SMTP_HOST",
        description="the SMTP server by which mail is sent; without one nothing is sent",
    )
    smtp_port: int = Field(
        587,
        ge=1,
        le=65_535,
        alias="PAYDUE_SMTP_PORT",
        description="its port",
    )
    smtp_security: Annotated[str, _word_of("starttls", "tls", "none")] = Field(
        "starttls",
        alias="PAYDUE_SMTP_SECURITY",
        description="`starttls`, which is never left out, `tls` from the first byte, or `none`, which only a server of this machine gets",
    )
    smtp_user: str = Field(
        "",
        alias="PAYDUE_SMTP_USER",
        description="the name by which the SMTP server knows Paydue, if it asks for one",
    )
    smtp_password: SecretStr = Field(
        SecretStr(""),
        alias="PAYDUE_SMTP_PASSWORD",
        description="the password to that name",
    )
    mail_from: Annotated[str, AfterValidator(_mail_address)] = Field(
        "",
        alias="PAYDUE_MAIL_FROM",
        description="the address that mail comes from, to which servers return what they cannot deliver; its name is the seller's",
    )
    mail_reply_to: Annotated[str, AfterValidator(_mail_address)] = Field(
        "",
        alias="PAYDUE_MAIL_REPLY_TO",
        description="the address that clients answer to, if it is another",
    )
    mail_finance: Annotated[str, AfterValidator(_mail_addresses)] = Field(
        "",
        alias="PAYDUE_MAIL_FINANCE",
        description="addresses of the finance team, comma-separated, for disputes and alerts",
    )
    mail_folder: str = Field(
        "",
        alias="PAYDUE_MAIL_FOLDER",
        description="the folder of your own templates and words of mail, which stand before Paydue's",
    )
    mail_coming_days: int = Field(
        3,
        ge=1,
        le=60,
        alias="PAYDUE_MAIL_COMING_DAYS",
        description="days before an automatic charge on which the client is told of it",
    )
    mail_reminder_days: int = Field(
        7,
        ge=1,
        le=90,
        alias="PAYDUE_MAIL_REMINDER_DAYS",
        description="days that an invoice is overdue before a client is reminded, and days between two reminders",
    )
    mail_statement_day: int = Field(
        1,
        ge=1,
        le=28,
        alias="PAYDUE_MAIL_STATEMENT_DAY",
        description="day of the month on which clients with open items get a statement",
    )
    alert_webhook_url: Annotated[str, AfterValidator(_webhook_url)] = Field(
        "",
        alias="PAYDUE_ALERT_WEBHOOK_URL",
        description="the address, `https://...`, that gets alerts as signed webhooks in the form of Standard Webhooks",
    )
    alert_webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] = Field(
        SecretStr(""),
        alias="PAYDUE_ALERT_WEBHOOK_SECRET",
        description="the secret that these are signed with: `whsec_` and 24 to 64 random bytes in base64",
    )
    internal_token: Annotated[SecretStr, AfterValidator(_internal_token)] = Field(
        SecretStr(""),
        alias="PAYDUE_INTERNAL_TOKEN",
        description="a token that `/metrics`, `/api/docs` and `/api/openapi.json` ask for, as a bearer or as the password of HTTP Basic; without one they are open",
    )
    oidc_issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        "",
        alias="PAYDUE_OIDC_ISSUER",
        description="the OpenID provider by which people may sign in to the console, exactly as it names itself, such as `https://login.example.com`",
    )
    oidc_client_id: str = Field(
        "",
        alias="PAYDUE_OIDC_CLIENT_ID",
        description="the name by which the OpenID provider knows Paydue",
    )
    oidc_client_secret: SecretStr = Field(
        SecretStr(""),
        alias="PAYDUE_OIDC_CLIENT_SECRET",
        description="the secret that Paydue shows to the OpenID provider",
    )
    second_factor_role: Literal["", "viewer", "support", "finance", "admin"] = Field(
        "",
        alias="PAYDUE_SECOND_FACTOR_ROLE",
        description="people of this role and of higher ones must use an authenticator app, a passkey or the OpenID provider in the console; without it each may choose",
    )
    drain: int = Field(
        0,
        ge=0,
        le=300,
        alias="PAYDUE_DRAIN",
        description="seconds between SIGTERM and the end of `serve` in which it serves on while `/readyz` answers 503, so that a load balancer sends nobody to a closed port",
    )
    log_format: Annotated[str, _word_of("text", "json")] = Field(
        "text",
        alias="PAYDUE_LOG_FORMAT",
        description="log lines on stderr as `text` or `json`",
    )
    log_level: Annotated[str, _word_of("debug", "info", "warning", "error")] = Field(
        "info",
        alias="PAYDUE_LOG_LEVEL",
        description="the least grave log line that is written: `debug`, `info`, `warning` or `error`",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The usual sources; a file that others may write is none of them."""
        _assert_private(_files(getattr(dotenv_settings, "env_file", None)))
        return init_settings, env_settings, dotenv_settings, file_secret_settings

    @model_validator(mode="after")
    def _live_key_stays_with_stripe(self) -> "Settings":
        if not self.api_key or self.api_key.startswith(_TEST_KEYS) or self.talks_to_stripe_itself:
            return self
        if not is_loopback(urlsplit(self.stripe_api_base).hostname or ""):
            raise ValueError(
                f"PAYDUE_STRIPE_API_BASE: only a key of test mode may be sent anywhere but to {LIVE_API}"
            )
        return self

    @model_validator(mode="after")
    def _smtp_server_may_be_used(self) -> "Settings":
        if not self.smtp_host:
            return self
        if not self.mail_from:
            raise ValueError("PAYDUE_MAIL_FROM: is required where PAYDUE_SMTP_HOST is set")
        if self.smtp_security == "none" and not is_loopback(self.smtp_host):
            raise ValueError(
                "PAYDUE_SMTP_SECURITY: mail and password would go in clear text to another machine"
            )
        return self

    @model_validator(mode="after")
    def _alerts_are_signed(self) -> "Settings":
        if self.alert_webhook_url and not self.alert_webhook_secret.get_secret_value():
            raise ValueError(
                "PAYDUE_ALERT_WEBHOOK_SECRET: is required with PAYDUE_ALERT_WEBHOOK_URL"
            )
        return self

    @property
    def finance_addresses(self) -> tuple[str, ...]:
        return tuple(_split(self.mail_finance))

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        return tuple(_split(self.stripe_webhook_secret.get_secret_value()))

    @property
    def proxy_networks(self) -> tuple[str, ...]:
        return tuple(one.strip() for one in self.proxies.split(",") if one.strip())

    @property
    def api_key(self) -> str:
        return self.stripe_api_key.get_secret_value().strip()

    @property
    def livemode(self) -> bool:
        """Live or test, by the key's prefix; without a key nothing can be live."""
        return self.api_key.startswith(("sk_live_", "rk_live_"))

    @property
    def talks_to_stripe_itself(self) -> bool:
        return self.stripe_api_base.rstrip("/") == LIVE_API


# The settings that a running process takes over when it reads them again.
_RELOADABLE = ("stripe_api_key", "stripe_webhook_secret", "internal_token", "log_level")


class SettingsRefused(Exception):
    """A running process cannot take the settings over; the message says why."""


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """Settings of a running process, read again: with the names of those that differ."""

    settings: Settings
    changed: Sequence[str]
    needs_restart: Sequence[str]


def reread(running: Settings) -> SettingsChange:
    """The settings with all that may change while a process runs; SettingsRefused when they are wrong."""
    try:
        found = Settings()
    except ValidationError as error:
        words = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise SettingsRefused("; ".join(words)) from None
    except (UnsafeEnvFile, UnicodeDecodeError) as error:
        raise SettingsRefused(str(error)) from None
    if found.livemode is not running.livemode:
        raise SettingsRefused("STRIPE_API_KEY is of the other mode, which needs a restart")
    return change_of(running, found)


def change_of(running: Settings, found: Settings) -> SettingsChange:
    """The change that a process which runs with one makes when it finds the other."""
    differing = [
        name for name in Settings.model_fields if getattr(running, name) != getattr(found, name)
    ]
    taken = {name: getattr(found, name) for name in differing if name in _RELOADABLE}
    return SettingsChange(
        running.model_copy(update=taken),
        [_alias(name) for name in taken],
        [_alias(name) for name in differing if name not in taken],
    )


def _alias(name: str) -> str:
    return str(Settings.model_fields[name].alias)


# Names that are not settings of the program: the tests' own, and those that Kubernetes gives to
# every container beside a service that is called paydue.
_FOREIGN_NAMES = re.compile(r"PAYDUE_(TEST_\w+|SERVICE_\w+|PORT(_\w+)?)")


def unknown_settings() -> Iterator[str]:
    """Names in the environment and in `.env` that look like settings and are none, in words."""
    known = [str(field.alias) for field in Settings.model_fields.values()]
    for name in sorted({*os.environ, *values_of_env_file()}):
        upper = name.upper()
        if not upper.startswith("PAYDUE_") or upper in known or _FOREIGN_NAMES.fullmatch(upper):
            continue
        near = get_close_matches(upper, known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        yield f"{name} is no setting of Paydue's and changes nothing{meant}"
    yield from _names_of_others()


# As other programs name what Paydue has to know.
_OTHERS_NAMES = {
    "STRIPE_API_KEY": ("STRIPE_SECRET_KEY", "STRIPE_KEY", "STRIPE_API_KEYS", "STRIPE_PRIVATE_KEY"),
    "STRIPE_WEBHOOK_SECRET": (
        "STRIPE_SIGNING_SECRET", "STRIPE_ENDPOINT_SECRET", "STRIPE_WEBHOOK_SIGNING_SECRET",
        "STRIPE_WEBHOOK_SECRETS",
    ),
    "PAYDUE_DATABASE_URL": ("DATABASE_URL", "POSTGRES_URL"),
}  # fmt: skip


def _names_of_others() -> Iterator[str]:
    """Those that are set while the setting itself is not."""
    given = {*os.environ, *values_of_env_file()}
    for setting, others in _OTHERS_NAMES.items():
        if setting in given:
            continue
        for name in others:
            if name in given:
                yield f"{name} is not read, and {setting} is not set; did you mean {setting}?"


def values_of_env_file(prefix: str = "") -> Mapping[str, str]:
    """The names and values in the file `.env` of the working folder, whosever settings they are."""
    from dotenv import dotenv_values

    if not Path(".env").is_file():
        return {}
    found = dotenv_values(".env", encoding="utf-8")
    return {name: value or "" for name, value in found.items() if name.startswith(prefix)}

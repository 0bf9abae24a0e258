"""Every setting: its name in the environment, its default and its unit. Read once, then frozen."""

from datetime import time
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

LIVE_API = "https://api.stripe.com"


def _timezone(name: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone, such as Europe/Berlin") from None
    return name


def _currency(code: str) -> str:
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise ValueError(f"{code!r} is not a three-letter ISO currency code, such as usd")
    return code.lower()


class Settings(BaseSettings):
    """The environment wins over the file `.env` in the working folder."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    database_url: str = Field(
        "sqlite:///paydue.db",
        alias="PAYDUE_DATABASE_URL",
        description="where everything is kept: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`",
    )
    upgrade_on_start: bool = Field(
        True,
        alias="PAYDUE_UPGRADE_ON_START",
        description="bring the database's schema up to date when `serve` or `worker` starts",
    )
    stripe_api_key: SecretStr = Field(
        SecretStr(""),
        alias="STRIPE_API_KEY",
        description="Stripe's secret or restricted key, `sk_...` or `rk_...`; its prefix decides test or live mode",
    )
    stripe_webhook_secret: SecretStr = Field(
        SecretStr(""),
        alias="STRIPE_WEBHOOK_SECRET",
        description="signing secrets `whsec_...`, comma-separated while one is rotated; without one the webhook answers 503",
    )
    stripe_account: str = Field(
        "",
        alias="PAYDUE_STRIPE_ACCOUNT",
        description="the connected account `acct_...` whose events are taken; empty takes those of the key's own account only",
    )
    stripe_api_base: str = Field(
        LIVE_API,
        alias="PAYDUE_STRIPE_API_BASE",
        description="the Stripe-shaped server to talk to",
    )
    stripe_pace: float = Field(
        25.0,
        gt=0,
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
    autopay_at: time = Field(
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
    reconcile_every: float = Field(
        300.0,
        ge=1,
        alias="PAYDUE_RECONCILE_EVERY",
        description="seconds between two reconciliations with Stripe by the worker",
    )
    body_max: int = Field(
        1024 * 1024,
        ge=1024,
        alias="PAYDUE_BODY_MAX",
        description="bytes of the largest request body that is read",
    )
    token_lasts: int = Field(
        3600,
        ge=60,
        alias="PAYDUE_TOKEN_LASTS",
        description="seconds an API access token is good for",
    )
    rate_limit: int = Field(
        1000,
        ge=0,
        alias="PAYDUE_RATE_LIMIT",
        description="API requests a minute that one credential may make of each `serve` process, in bursts of as many; 0 is no limit",
    )
    log_format: str = Field(
        "text",
        pattern="^(text|json)$",
        alias="PAYDUE_LOG_FORMAT",
        description="log lines on stderr as `text` or `json`",
    )
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        alias="PAYDUE_LOG_LEVEL",
        description="the least grave log line that is written: `debug`, `info`, `warning` or `error`",
    )

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        given = self.stripe_webhook_secret.get_secret_value().split(",")
        return tuple(secret.strip() for secret in given if secret.strip())

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

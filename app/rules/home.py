"""The business's own currency and time zone, for records and clients that name none."""

from dataclasses import dataclass

from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Home:
    """An ISO code in lower case, and the IANA name of a time zone."""

    currency: str
    timezone: str


def home_of(settings: Settings) -> Home:
    return Home(settings.currency, settings.timezone)

"""The business's own currency, time zone and numbers, for records and clients without any."""

from dataclasses import dataclass
from datetime import date, datetime

from app.rules.calendar import business_day
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Home:
    """An ISO code in lower case, the IANA name of a time zone, and the pattern of its numbers."""

    currency: str
    timezone: str
    invoice_number: str = ""

    def day(self, instant: datetime) -> date:
        return business_day(instant, self.timezone)


def home_of(settings: Settings) -> Home:
    return Home(settings.currency, settings.timezone, settings.invoice_number)

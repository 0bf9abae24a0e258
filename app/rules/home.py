"""The business's own currency, time zone, numbers and rounding, where a record has none."""

from dataclasses import dataclass
from datetime import date, datetime

from app.rules.calendar import business_day
from app.rules.invoice import TaxRounding
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Home:
    """An ISO code in lower case, the IANA name of a time zone, the pattern of its numbers, and
    the sums that new invoices round.
    """

    currency: str
    timezone: str
    invoice_number: str = ""
    tax_rounding: TaxRounding = TaxRounding.INVOICE

    def day(self, instant: datetime) -> date:
        return business_day(instant, self.timezone)


def home_of(settings: Settings) -> Home:
    return Home(
        settings.currency,
        settings.timezone,
        settings.invoice_number,
        TaxRounding(settings.tax_rounding),
    )

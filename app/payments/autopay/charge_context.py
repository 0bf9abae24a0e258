"""The surroundings of charges: the process, its run, and a person's wish."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from app.payments.autopay.attempts import LeaseHolder
from app.payments.autopay.customer_turns import CustomerTurns
from app.payments.autopay.other_ways import GuestSessions
from app.payments.stripe.gateway import Gateway
from app.rules import calendar
from app.settings import Settings
from app.storage.engines import Database


@dataclass(frozen=True, slots=True)
class Charging:
    """The surroundings of a run's or a worker's charges. `day` None: each client's own today."""

    database: Database
    gateway: Gateway
    settings: Settings
    installation: str
    holder: LeaseHolder
    guests: GuestSessions
    day: date | None = None
    # The key's account and mode, where Stripe told them.
    account: str | None = None
    turns: CustomerTurns = field(default_factory=CustomerTurns)
    epoch: int = 0

    def today(self, timezone: str | None) -> date:
        return self.day or calendar.business_day(
            datetime.now(UTC), timezone or self.settings.timezone
        )


@dataclass(frozen=True, slots=True)
class ManualRetry:
    """A person's wish to charge an invoice now, whatever its last verdict says of the day."""

    reason: str
    who: str

"""When a card expires, and on which days before its owner is told."""

from calendar import monthrange
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

# Days before the last day of the card's last month.
NOTICE_DAYS = (3, 15, 30)


class CardExpiry(NamedTuple):
    """A card as people know it, with the last month in which it pays."""

    name: str
    year: int
    month: int

    @property
    def last_day(self) -> date:
        return date(self.year, self.month, monthrange(self.year, self.month)[1])


def expiry_of(method: Mapping[str, object]) -> CardExpiry | None:
    """The expiry that Stripe says of a payment method; None for one that is no card."""
    card = method.get("card")
    if not isinstance(card, dict):
        return None
    year, month = card.get("exp_year"), card.get("exp_month")
    if not isinstance(year, int) or not isinstance(month, int) or not 1 <= month <= 12:
        return None
    if not 2000 <= year <= 9000:
        return None
    brand = str(card.get("brand") or "card").replace("_", " ").title()
    return CardExpiry(
        f"{brand} \u00b7\u00b7\u00b7\u00b7 {card.get('last4') or '????'}", year, month
    )


def notice_due(expiry: CardExpiry, today: date) -> int | None:
    """The notice, by its days before, that is due today; None before the first and after the end.

    A day on which nobody could be told is made up for, and no two notices come at once.
    """
    left = (expiry.last_day - today).days
    if left < 0:
        return None
    return next((days for days in NOTICE_DAYS if left <= days), None)

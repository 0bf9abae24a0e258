"""How exact numbers, instants and days are written outside the database, as HaloPSA writes them."""

from datetime import date, datetime
from decimal import Decimal


def plain(value: Decimal) -> str:
    """The digits, without an exponent and without zeros that say nothing."""
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def moment(value: datetime) -> str:
    """UTC without a zone, as HaloPSA writes it; a fraction only when there is one."""
    return value.isoformat().removesuffix("+00:00")


def midnight(value: date) -> str:
    return f"{value}T00:00:00"

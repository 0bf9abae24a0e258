"""Notation of instants and days outside the database, as HaloPSA writes them."""

from datetime import date, datetime


def moment(value: datetime) -> str:
    """UTC without a zone, as HaloPSA writes it; a fraction only when there is one."""
    return value.isoformat().removesuffix("+00:00")


def midnight(value: date) -> str:
    return f"{value}T00:00:00"

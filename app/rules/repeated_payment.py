"""Payments that look like one charge made twice: the same amount of one client, soon after."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple


class PaidAmount(NamedTuple):
    """Money that came in. `payment` tells payments apart: two shares of one are one."""

    id: int
    payment: str
    client_id: int
    currency: str
    amount: Decimal
    paid_at: datetime


def repeated_payments(paid: Iterable[PaidAmount], within: timedelta) -> list[list[PaidAmount]]:
    """Groups of two or more payments of one client and amount, each soon after the one before.

    The groups with the newest payments come first; within a group the oldest payment does.
    """
    groups: list[list[PaidAmount]] = []
    newest: dict[tuple[int, str, Decimal], list[PaidAmount]] = {}
    for one in sorted(paid, key=lambda one: (one.paid_at, one.id)):
        key = (one.client_id, one.currency, one.amount)
        group = newest.get(key)
        if group is not None and one.payment in {other.payment for other in group}:
            continue
        if group is None or one.paid_at - group[-1].paid_at > within:
            newest[key] = group = []
            groups.append(group)
        group.append(one)
    found = [group for group in groups if len(group) > 1]
    return sorted(found, key=lambda group: group[-1].paid_at, reverse=True)

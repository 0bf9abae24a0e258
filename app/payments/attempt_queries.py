"""Support's reads of charge attempts."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.payments.autopay.attempts import ATTEMPTS, SHARES
from app.rules import money
from app.rules.notation import moment
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.charge_attempts import IS_UNRESOLVED


class ListedAttempt(NamedTuple):
    """An attempt as support reads it."""

    id: int
    invoice_id: int
    number: int
    state: str
    step: str
    amount_minor: int
    currency: str
    customer_id: str
    intent_id: str | None
    created_at: datetime
    check_at: datetime | None
    checks: int
    reason: str | None

    def as_dict(self, shares: "Sequence[ListedShare]" = ()) -> dict[str, object]:
        """As JSON. `invoices` are all that it charges: one alone, or those of its shares."""
        exact = money.from_minor(self.amount_minor, self.currency)
        shown = {name: one for name, one in self._asdict().items() if name != "amount_minor"}
        return {
            **shown,
            "invoices": [one.invoice_id for one in shares] or [self.invoice_id],
            "amount": money.text(exact, self.currency),
            "created_at": moment(self.created_at),
            "check_at": moment(self.check_at) if self.check_at else None,
        }


async def list_attempts(tx: Tx, *, unresolved: bool, limit: int) -> Sequence[ListedAttempt]:
    """The newest attempts first; of those that have not ended, the oldest."""
    wanted = select(*projection(ATTEMPTS, ListedAttempt)).limit(limit)
    if unresolved:
        wanted = wanted.where(IS_UNRESOLVED).order_by(ATTEMPTS.c.id)
    else:
        wanted = wanted.order_by(ATTEMPTS.c.id.desc())
    return [ListedAttempt._make(row) for row in await tx.execute(wanted)]


class ListedShare(NamedTuple):
    """The part of an attempt that is for one of its invoices."""

    invoice_id: int
    amount: Decimal


async def load_shares(tx: Tx, attempt_ids: Collection[int]) -> dict[int, list[ListedShare]]:
    """The shares of those attempts that charge several invoices, by attempt."""
    rows = await tx.execute(
        select(SHARES.c.attempt_id, SHARES.c.invoice_id, SHARES.c.amount_minor, ATTEMPTS.c.currency)
        .join_from(SHARES, ATTEMPTS, ATTEMPTS.c.id == SHARES.c.attempt_id)
        .where(SHARES.c.attempt_id.in_(attempt_ids))
        .order_by(SHARES.c.attempt_id, SHARES.c.invoice_id)
    )
    found: dict[int, list[ListedShare]] = {}
    for attempt_id, invoice_id, amount_minor, currency in rows:
        share = ListedShare(invoice_id, money.from_minor(amount_minor, currency))
        found.setdefault(attempt_id, []).append(share)
    return found

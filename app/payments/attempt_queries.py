"""Support's reads of charge attempts."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from app.payments.autopay.attempts import ATTEMPTS, IS_UNRESOLVED
from app.rules import money
from app.rules.notation import moment
from app.storage.engines import Tx
from app.storage.prepared import projection


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

    def as_dict(self) -> dict[str, object]:
        exact = money.from_minor(self.amount_minor, self.currency)
        shown = {name: one for name, one in self._asdict().items() if name != "amount_minor"}
        return {
            **shown,
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

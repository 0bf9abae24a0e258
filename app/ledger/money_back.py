"""Money that went back of payments, as people are shown it: refunds, disputes and warnings."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.ledger.refund_requests import RefundRequestRow
from app.ledger.reversals import ReversalRow
from app.rules import money
from app.rules.payment import ReversalKind, is_inquiry
from app.rules.refund import RefundState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal

REVERSALS = table_of(StripeReversal)
REQUESTS = table_of(RefundRequest)
_FAILED = ("failed", "canceled", RefundState.FAILED, RefundState.REFUSED)

_REVERSALS = PreparedStatement(
    select(*projection(REVERSALS, ReversalRow))
    .where(any_of(REVERSALS.c.intent_id, "intents"), REVERSALS.c.kind != ReversalKind.CHARGE)
    .order_by(REVERSALS.c.id),
    ReversalRow,
)
_REQUESTS = PreparedStatement(
    select(*projection(REQUESTS, RefundRequestRow))
    .where(any_of(REQUESTS.c.intent_id, "intents"))
    .order_by(REQUESTS.c.id),
    RefundRequestRow,
)


class ShownRefund(NamedTuple):
    """A refund at Stripe, or a request of ours that has made none."""

    id: str | None
    request_id: int | None
    invoice_id: int | None
    amount: Decimal
    status: str
    # A person's reason where it is ours, or else Stripe's; and why it failed, in Stripe's words.
    reason: str | None
    failure: str | None


@dataclass(slots=True)
class MoneyBack:
    """All that went back of one payment, or may."""

    refunds: list[ShownRefund] = field(default_factory=list)
    disputes: list[ReversalRow] = field(default_factory=list)
    fraud_warnings: list[ReversalRow] = field(default_factory=list)

    def as_dict(
        self, currency: str, instant: Callable[[datetime], str | None]
    ) -> dict[str, list[dict[str, object]]]:
        """The lists as JSON; `instant` writes an instant as the reader expects it."""
        return {
            "refunds": [
                {**one._asdict(), "amount": money.text(one.amount, currency)}
                for one in self.refunds
            ],
            "disputes": [_dispute(one, currency, instant) for one in self.disputes],
            "fraud_warnings": [
                {"id": one.id, "status": one.status, "reason": one.reason}
                for one in self.fraud_warnings
            ],
        }


def _dispute(
    row: ReversalRow, currency: str, instant: Callable[[datetime], str | None]
) -> dict[str, object]:
    return {
        "id": row.id,
        "amount": money.text(row.amount, row.currency_iso or currency),
        "currency": row.currency_iso or currency,
        "status": row.status,
        "reason": row.reason,
        "is_inquiry": is_inquiry(row.status),
        "evidence_due": instant(row.evidence_due_at) if row.evidence_due_at else None,
        "funds_withdrawn": row.funds_withdrawn,
        "funds_reinstated": row.funds_reinstated,
    }


async def load_money_back(tx: Tx, intents: Collection[str]) -> dict[str, MoneyBack]:
    """The refunds, disputes and warnings of these payments, by intent; most have none."""
    if not intents:
        return {}
    wanted = sorted(intents)
    requests = {one.id: one for one in await _REQUESTS.all(tx, intents=wanted)}
    found: dict[str, MoneyBack] = {}
    for row in await _REVERSALS.all(tx, intents=wanted):
        _add(found.setdefault(row.intent_id, MoneyBack()), row, requests)
    for one in requests.values():
        if one.refund_id is None:
            found.setdefault(one.intent_id, MoneyBack()).refunds.append(_without_refund(one))
    return found


def _add(found: MoneyBack, row: ReversalRow, requests: Mapping[int, RefundRequestRow]) -> None:
    match row.kind:
        case ReversalKind.REFUND:
            found.refunds.append(_refund(row, requests.get(row.request_id or 0)))
        case ReversalKind.DISPUTE:
            found.disputes.append(row)
        case ReversalKind.FRAUD_WARNING:
            found.fraud_warnings.append(row)


def _refund(row: ReversalRow, request: RefundRequestRow | None) -> ShownRefund:
    has_failed = row.status in _FAILED
    return ShownRefund(
        row.id,
        row.request_id,
        row.invoice_id,
        row.amount,
        row.status,
        request.reason if request else None if has_failed else row.reason,
        row.reason if has_failed else None,
    )


def _without_refund(request: RefundRequestRow) -> ShownRefund:
    return ShownRefund(
        None,
        request.id,
        request.invoice_id,
        request.amount,
        request.state,
        request.reason,
        request.said,
    )

"""The rows of InvoicePayment that share a PaymentIntent's money out: read and written here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypedDict

from sqlalchemy import select

from app.rules.allocation import Key, Share
from app.rules.claim import Evidence
from app.rules.payment import LONG_AGO, Payment, PaymentState
from app.storage.bulk_writes import BulkDelete, BulkInsert, BulkUpdate, TableWrite
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.tables.invoice_payments import InvoicePayment

SHARES = table_of(InvoicePayment)

# Nobody documents HaloPSA's numbers; docs/compatibility.md publishes these.
STRIPE_METHOD = 1
STRIPE_MODULE = 1

Shares = Mapping[Key, Share]
# By intent.
Allocations = Mapping[str, Shares]


class ShareRow(NamedTuple):
    """One share of a payment, as it is stored."""

    id: int
    intent_id: str
    invoice_id: int | None
    client_id: int | None
    amount: Decimal
    state: int
    evidence: str | None
    amount_refunded: Decimal
    amount_lost: Decimal
    disputed: bool


_OF_INTENTS = PreparedStatement(
    select(*projection(SHARES, ShareRow)).where(any_of(SHARES.c.intent_id, "intents")),
    ShareRow,
)


class Stored:
    """The shares of some intents, with the ids of their rows."""

    def __init__(self, rows: Sequence[ShareRow]) -> None:
        self.ids: dict[str, dict[Key, int]] = {}
        self.shares: dict[str, dict[Key, Share]] = {}
        self._credit_clients: dict[str, int | None] = {}
        for row in rows:
            self.ids.setdefault(row.intent_id, {})[row.invoice_id] = row.id
            self.shares.setdefault(row.intent_id, {})[row.invoice_id] = _share(row)
            if row.invoice_id is None:
                self._credit_clients[row.intent_id] = row.client_id

    def of(self, intent: str) -> dict[Key, Share]:
        return self.shares.get(intent, {})

    def credit_client(self, intent: str) -> int | None:
        """The client whose credit the unapplied share is, as its row says."""
        return self._credit_clients.get(intent)

    @property
    def invoice_ids(self) -> set[int]:
        return {key for shares in self.ids.values() for key in shares if key is not None}


async def load(tx: Tx, intents: Sequence[str]) -> Stored:
    """The shares of these intents. Who writes them has locked the intents' own rows."""
    return Stored(await _OF_INTENTS.all(tx, intents=intents) if intents else [])


def _share(row: ShareRow) -> Share:
    return Share(
        row.amount,
        PaymentState(row.state),
        Evidence(row.evidence) if row.evidence else None,
        row.amount_refunded,
        row.amount_lost,
        row.disputed,
    )


class ShareColumns(TypedDict):
    """The columns that a payment decides for each of its shares."""

    intent_id: str
    invoice_id: int | None
    client_id: int | None
    date: datetime
    amount: Decimal
    currency_iso: str
    status: int
    state: int
    evidence: str | None
    payment_method_name: str | None
    amount_refunded: Decimal
    amount_lost: Decimal
    disputed: bool
    counted: Decimal
    method: int
    module_id: int
    type: int
    posted: bool


class ShareUpdate(ShareColumns):
    id: int


class _ShareId(TypedDict):
    id: int


_UPDATED = [
    name
    for name in ShareColumns.__annotations__
    if name not in {"intent_id", "method", "module_id", "type", "posted"}
]
_INSERT = BulkInsert(SHARES, ShareColumns.__annotations__)
_UPDATE = BulkUpdate(SHARES, "id", _UPDATED)
_DELETE = BulkDelete(SHARES, "id")


def writes(
    payments: Mapping[str, Payment],
    stored: Stored,
    after: Allocations,
    client_of: Mapping[int, int | None],
) -> list[TableWrite]:
    """The shares of payments, written. A share that moves to another invoice keeps its row."""
    new: list[ShareColumns] = []
    changed: list[ShareUpdate] = []
    gone: list[_ShareId] = []
    for intent, shares in sorted(after.items()):
        payment = payments[intent]
        ids = dict(stored.ids.get(intent, {}))
        homeless = [ids.pop(key) for key in sorted(ids, key=str) if key not in shares]
        for key in sorted(shares, key=lambda one: (one is None, one)):
            row = _columns(payment, key, shares[key], client_of)
            if key in ids:
                changed.append({**row, "id": ids[key]})
            elif homeless:
                changed.append({**row, "id": homeless.pop(0)})
            else:
                new.append(row)
        gone += [{"id": one} for one in homeless]
    changed.sort(key=lambda row: row["invoice_id"] is not None)
    return [(_DELETE, gone), (_UPDATE, changed), (_INSERT, new)]


def dates(payments: Mapping[str, Payment]) -> dict[str, datetime]:
    """When each payment was made, by its intent."""
    return {intent: _made_at(payment) for intent, payment in payments.items()}


def _made_at(payment: Payment) -> datetime:
    return max(payment.state_at, payment.intent_at or LONG_AGO)


def _columns(
    payment: Payment, key: Key, share: Share, client_of: Mapping[int, int | None]
) -> ShareColumns:
    return {
        "intent_id": payment.intent_id,
        "invoice_id": key,
        "client_id": payment.client_id if key is None else client_of[key],
        "date": _made_at(payment),
        "amount": share.amount,
        "currency_iso": payment.currency,
        "status": share.status,
        "state": share.state,
        "evidence": share.evidence,
        "payment_method_name": payment.method,
        "amount_refunded": share.refunded,
        "amount_lost": share.lost,
        "disputed": share.disputed,
        "counted": share.counted,
        "method": STRIPE_METHOD,
        "module_id": STRIPE_MODULE,
        "type": 0,
        "posted": False,
    }

"""The objects and events of one account, in tables with an index, and every change of them."""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.instruments import Instrument
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.reproducible_ids import ReproducibleIds, reproducible_random
from app.sandbox.account.sandbox_clock import SandboxClock
from app.sandbox.account.truth_ledger import TruthLedger

RowT = TypeVar("RowT")


class ObjectTable(Generic[RowT]):
    """Rows in order of creation; a place is a row's number in that order."""

    def __init__(self) -> None:
        self._rows: list[RowT] = []
        self._places: dict[str, int] = {}
        self._index: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row_id: str, row: RowT, *indexed: str | None) -> None:
        """Adds a row, indexed by ids of other objects, for which one index is enough."""
        if row_id in self._places:
            raise ValueError(f"{row_id} exists already")
        self._places[row_id] = len(self._rows)
        self._rows.append(row)
        for value in indexed:
            self.index(row_id, value)

    def index(self, row_id: str, value: str | None) -> None:
        if value is not None:
            places = self._index.setdefault(value, [])
            if self._places[row_id] not in places[-1:]:
                insort(places, self._places[row_id])

    def clear(self) -> None:
        self._rows.clear()
        self._places.clear()
        self._index.clear()

    def replace(self, row_id: str, row: RowT) -> None:
        self._rows[self._places[row_id]] = row

    def get(self, row_id: str) -> RowT | None:
        place = self._places.get(row_id)
        return None if place is None else self._rows[place]

    def at(self, place: int) -> RowT:
        return self._rows[place]

    def place_of(self, row_id: str) -> int | None:
        return self._places.get(row_id)

    def places(self, value: str | None = None) -> Sequence[int]:
        """All places, or those of the rows that were ever indexed under the value."""
        return range(len(self._rows)) if value is None else self._index.get(value, ())

    def rows(self, value: str | None = None) -> list[RowT]:
        return [self._rows[place] for place in self.places(value)]


@dataclass(frozen=True, slots=True)
class EventCause:
    """The request that an event comes from, and its API key; None for what Stripe did by itself."""

    id: str | None = None
    idempotency_key: str | None = None
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class EventOrigin:
    """The account and the mode that an event says it is from.

    Connect names a connected account, an organization's destination gives the context.
    """

    account: str | None = None
    context: str | None = None
    livemode: bool = False


_THIS_ACCOUNT = EventOrigin()


@dataclass(slots=True)
class AccountEvent:
    """A change: the object as it was then, and the charges that API versions before 2022 show."""

    id: str
    type: str
    created: int
    subject: Obj
    previous: Obj | None
    cause: EventCause
    charges: tuple[Obj, ...] = ()
    pending: int = 0
    origin: EventOrigin = _THIS_ACCOUNT


@dataclass(slots=True)
class AccountDelays:
    """Seconds of the sandbox clock until a bank answers, a refund ends, a key or a session ends,
    and until a charge's money is available and a payout has arrived.
    """

    bank_debit: float = 60.0  # test mode took 15 s (SEPA) to 58 s (ACH) when it was measured
    refund: float = 60.0
    idempotency: float = 24 * 3600.0  # Stripe prunes keys after at least 24 h
    checkout: int = 24 * 3600
    availability: int = 2 * 86400
    payout: int = 2 * 86400


_SINGULAR = {
    "customers": ("customer", "id"),
    "payment_methods": ("PaymentMethod", "payment_method"),
    "payment_intents": ("payment_intent", "intent"),
    "charges": ("charge", "charge"),
    "refunds": ("refund", "refund"),
    "disputes": ("dispute", "dispute"),
    "setup_intents": ("setupintent", "intent"),
    "mandates": ("mandate", "mandate"),
    "sessions": ("checkout.session", "session"),
    "payment_links": ("payment_link", "payment_link"),
    "fraud_warnings": ("early_fraud_warning", "early_fraud_warning"),
    "balance_transactions": ("balance_transaction", "id"),
    "payouts": ("payout", "payout"),
}
_TABLE_OF = {
    "customer": "customers",
    "payment_method": "payment_methods",
    "payment_intent": "payment_intents",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "setup_intent": "setup_intents",
    "mandate": "mandates",
    "checkout.session": "sessions",
    "payment_link": "payment_links",
    "radar.early_fraud_warning": "fraud_warnings",
    "balance_transaction": "balance_transactions",
    "payout": "payouts",
}


@dataclass
class AccountState:
    """One account. No method awaits, so no request sees another's change half made."""

    seed: int
    clock: SandboxClock = field(default_factory=SandboxClock)
    delays: AccountDelays = field(default_factory=AccountDelays)
    ledger: TruthLedger = field(default_factory=TruthLedger)
    events: ObjectTable[AccountEvent] = field(default_factory=ObjectTable)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    cause: EventCause = field(default_factory=EventCause)
    checkout_intents: dict[str, Obj] = field(default_factory=dict)
    # The payment methods of completed sessions that get their PaymentIntent later.
    awaited_methods: dict[str, str] = field(default_factory=dict)
    # The balance transactions that no automatic payout has paid, oldest first.
    unpaid_transactions: list[str] = field(default_factory=list)
    # Minor units by payment link.
    link_totals: dict[str, int] = field(default_factory=dict)
    # Minor units by customer and currency.
    cash: dict[tuple[str, str], int] = field(default_factory=dict)
    webhook_endpoints: list[Obj] = field(default_factory=list)
    listener: Callable[[AccountEvent], None] | None = None

    def __post_init__(self) -> None:
        self.ids = ReproducibleIds(self.seed)
        self.random = reproducible_random(self.seed)
        self.tables: dict[str, ObjectTable[Obj]] = {name: ObjectTable() for name in _SINGULAR}

    def __getitem__(self, table: str) -> ObjectTable[Obj]:
        return self.tables[table]

    def add(self, obj: Obj, *indexed: str | None) -> Obj:
        self.tables[_TABLE_OF[obj["object"]]].add(obj["id"], obj, *indexed)
        return obj

    def change(self, obj: Obj, **changes: object) -> Obj:
        """Replaces the object by a changed copy; snapshots of it in events stay as they were."""
        changed = {**obj, **changes}
        self.tables[_TABLE_OF[obj["object"]]].replace(obj["id"], changed)
        return changed

    def overwrite(self, object_id: str, fields: Obj) -> Obj:
        """Spoils a stored object without an event, as a program that Stripe let through might."""
        for table in self.tables.values():
            found = table.get(object_id)
            if found is not None:
                return self.change(found, **fields)
        raise ValueError(f"no such object: {object_id}")

    def find(self, table: str, wanted: str, *, param: str | None = None) -> Obj:
        """The object, or Stripe's refusal: 404 when the URL named it, 400 when a parameter did."""
        obj = self.tables[table].get(wanted)
        if obj is None:
            kind, own_param = _SINGULAR[table]
            raise stripe_errors.missing(
                kind, wanted, param=param or own_param, in_path=param is None
            )
        return obj

    def living_customer(self, wanted: str, *, param: str | None = None) -> Obj:
        """The customer, unless it is deleted: Stripe answers as if there were none."""
        found = self.find("customers", wanted, param=param)
        if found.get("deleted"):
            raise stripe_errors.missing(
                "customer", wanted, param=param or "id", in_path=param is None
            )
        return found

    def emit(
        self,
        type_: str,
        subject: Obj,
        previous: Obj | None = None,
        origin: EventOrigin = _THIS_ACCOUNT,
    ) -> AccountEvent:
        event = AccountEvent(
            self.ids.new("evt"), type_, self.clock.stamp(), subject, previous, self.cause
        )
        event.origin = origin
        if subject["object"] == "payment_intent":
            event.charges = tuple(reversed(self["charges"].rows(subject["id"])))
        return self.publish(event)

    def publish(self, event: AccountEvent) -> AccountEvent:
        self.events.add(event.id, event)
        if self.listener is not None:
            self.listener(event)
        return event

    def new_method(
        self, method_type: str, instrument: Instrument, method_id: str | None = None, **fields: Any
    ) -> Obj:
        """A payment method and its simulated instrument; it belongs to nobody until attached."""
        details = fields.pop("details", {})
        new_id = method_id or self.ids.new("pm")
        method = object_templates.payment_method(
            new_id, self.clock.stamp(), method_type, details, **fields
        )
        self.instruments[new_id] = instrument
        return self.add(method, method["customer"])

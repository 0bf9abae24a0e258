"""The ledger of truth: money taken, refunded and lost, whatever an answer or an event said."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class TakenCharge:
    """One successful charge; its maker is the API key that its intent was made with, if any."""

    charge: str
    payment_intent: str
    customer: str | None
    amount: int
    currency: str
    metadata: dict[str, Any]
    at: float
    maker: str | None = None
    refunded: int = 0
    lost: int = 0

    @property
    def net(self) -> int:
        return self.amount - self.refunded - self.lost

    @property
    def is_standing(self) -> bool:
        """The charge still costs the customer money: refunds and lost disputes do not cover it."""
        return self.net > 0


@dataclass(slots=True)
class MoneyMovement:
    """One change of the account's balance, in minor units before the fee.

    The kind is the balance transaction's reporting category: charge, refund, refund_failure,
    dispute, dispute_reversal, payout or payout_reversal.
    """

    kind: str
    source: str
    payment_intent: str | None
    amount: int
    fee: int
    currency: str
    at: float


@dataclass(slots=True)
class TruthLedger:
    """Every successful charge, with the refunds and the lost disputes taken off it.

    A refund counts from its creation (a failed or canceled one is put back); a dispute counts
    while it is lost.
    """

    _charges: dict[str, TakenCharge] = field(default_factory=dict)
    _makers: dict[str, str] = field(default_factory=dict)
    _movements: list[MoneyMovement] = field(default_factory=list)

    def record_maker(self, made: str, api_key: str | None) -> None:
        """Remembers the API key that made an intent or a session; Stripe itself has none."""
        if api_key is not None:
            self._makers[made] = api_key

    def maker(self, made: str) -> str | None:
        return self._makers.get(made)

    def record_movement(self, movement: MoneyMovement) -> None:
        self._movements.append(movement)

    def movements(self, payment_intent: str | None = None) -> list[MoneyMovement]:
        """Every movement of the balance, or those of one intent, oldest first."""
        return [one for one in self._movements if payment_intent in {None, one.payment_intent}]

    def net_by_intent(self) -> dict[str, int]:
        """Amounts in minor units, before fees: charged, less refunded, less disputed now."""
        found: defaultdict[str, int] = defaultdict(int)
        for one in self._movements:
            if one.payment_intent is not None:
                found[one.payment_intent] += one.amount
        return dict(found)

    def record_charge(self, taken: TakenCharge) -> None:
        if taken.charge in self._charges:
            raise AssertionError(f"{taken.charge} succeeded twice")
        self._charges[taken.charge] = taken

    def record_refund(self, charge: str, amount: int) -> None:
        self._charges[charge].refunded += amount

    def record_loss(self, charge: str, amount: int) -> None:
        self._charges[charge].lost += amount

    def charges(self) -> list[TakenCharge]:
        """Oldest first."""
        return list(self._charges.values())

    def charges_by_invoice(self, key: str = "invoice_id") -> dict[str, list[TakenCharge]]:
        """Successful charges by metadata[key]; charges without it are left out."""
        found: defaultdict[str, list[TakenCharge]] = defaultdict(list)
        for taken in self._charges.values():
            if key in taken.metadata:
                found[str(taken.metadata[key])].append(taken)
        return dict(found)

    def double_charges(self, key: str = "invoice_id") -> dict[str, list[TakenCharge]]:
        """Invoices with more than one standing charge."""
        standing = {
            invoice: [taken for taken in charges if taken.is_standing]
            for invoice, charges in self.charges_by_invoice(key).items()
        }
        return {invoice: charges for invoice, charges in standing.items() if len(charges) > 1}

    def net_by_invoice(self, key: str = "invoice_id") -> dict[str, int]:
        """Amounts in minor units: taken, less refunded, less lost to disputes."""
        return {
            invoice: sum(taken.net for taken in charges)
            for invoice, charges in self.charges_by_invoice(key).items()
        }

"""The ledger of truth: money taken, refunded and lost, whatever an answer or an event said."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class TakenCharge:
    """One successful charge."""

    charge: str
    payment_intent: str
    customer: str | None
    amount: int
    currency: str
    metadata: dict[str, Any]
    at: float
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
class TruthLedger:
    """Every successful charge, with the refunds and the lost disputes taken off it.

    A refund counts from its creation (a failed or canceled one is put back); a dispute counts
    while it is lost.
    """

    _charges: dict[str, TakenCharge] = field(default_factory=dict)

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

"""The judge: what was truly taken, given back and lost, whatever any answer or event said."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Taken:
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
        """The customer is out of money: not wholly refunded and not wholly lost to a dispute."""
        return self.net > 0


@dataclass(slots=True)
class Ledger:
    """Every successful charge, with the refunds and the lost disputes taken off it.

    A refund counts from its creation (a failed or canceled one is put back); a dispute counts
    while it is lost.
    """

    _charges: dict[str, Taken] = field(default_factory=dict)

    def took(self, taken: Taken) -> None:
        if taken.charge in self._charges:
            raise AssertionError(f"{taken.charge} succeeded twice")
        self._charges[taken.charge] = taken

    def gave_back(self, charge: str, amount: int) -> None:
        self._charges[charge].refunded += amount

    def lost(self, charge: str, amount: int) -> None:
        self._charges[charge].lost += amount

    def charges(self) -> list[Taken]:
        """Oldest first."""
        return list(self._charges.values())

    def charges_by_invoice(self, key: str = "invoice_id") -> dict[str, list[Taken]]:
        """Successful charges by metadata[key]; charges without it are left out."""
        found: defaultdict[str, list[Taken]] = defaultdict(list)
        for taken in self._charges.values():
            if key in taken.metadata:
                found[str(taken.metadata[key])].append(taken)
        return dict(found)

    def double_charges(self, key: str = "invoice_id") -> dict[str, list[Taken]]:
        """Invoices with more than one standing charge."""
        standing = {
            invoice: [taken for taken in charges if taken.is_standing]
            for invoice, charges in self.charges_by_invoice(key).items()
        }
        return {invoice: charges for invoice, charges in standing.items() if len(charges) > 1}

    def net_by_invoice(self, key: str = "invoice_id") -> dict[str, int]:
        """Taken less refunded less lost, in minor units."""
        return {
            invoice: sum(taken.net for taken in charges)
            for invoice, charges in self.charges_by_invoice(key).items()
        }

"""The card, bank account or voucher behind a payment method, and the outcomes it will give."""

from dataclasses import dataclass, field

BANK_DEBITS = ("us_bank_account", "sepa_debit", "bacs_debit")
VOUCHERS = ("boleto", "oxxo")
WALLETS = ("paypal", "cashapp", "klarna", "link", "amazon_pay")
BANK_TRANSFER = "customer_balance"
# After so many wrong amounts Stripe verifies a bank account no more.
VERIFICATION_TRIES_MAX = 10


@dataclass(slots=True)
class Instrument:
    """Its coming outcomes and its state; `answer_delay` is its bank's own, if it has one."""

    steps: list[str]
    refund: str = "succeeded"
    mandate: str | None = None
    is_set_up: bool = False
    is_spent: bool = False
    is_detached: bool = False
    is_verified: bool = True
    accepts_setup: bool = False
    wrong_verifications: int = 0
    answer_delay: float | None = None
    bypasses_pending: bool = False
    taken: int = field(default=0)

    def next_step(self) -> str:
        """Takes the outcome of the next confirm; the last one repeats."""
        step = self.steps[min(self.taken, len(self.steps) - 1)]
        self.taken += 1
        return step

    @property
    def step_after_authentication(self) -> str:
        """The decline code that follows the customer's authentication, or nothing."""
        step = self.steps[min(max(self.taken - 1, 0), len(self.steps) - 1)]
        return step.partition("authentication_then:")[2]


@dataclass(frozen=True, slots=True)
class SampleMethod:
    """One of Stripe's test payment methods."""

    type: str = "card"
    step: str = "succeed"
    refund: str = "succeeded"
    brand: str = "visa"
    last4: str = "4242"
    answer_delay: float | None = None
    bypasses_pending: bool = False
    accepts_setup: bool = False

    def instrument(self) -> Instrument:
        """A new one; a bank account of the US has yet to be verified by microdeposits."""
        return Instrument(
            [self.step],
            refund=self.refund,
            is_verified=self.type != "us_bank_account",
            answer_delay=self.answer_delay,
            bypasses_pending=self.bypasses_pending,
            accepts_setup=self.accepts_setup,
        )

"""Acts of banks and of customers at their banks, as tests command them."""

from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import (
    bank_debits,
    bank_transfers,
    captures,
    checkout_completion,
    disputes_api,
    fraud_warnings_api,
    payouts_api,
    refunds_api,
    vouchers,
)


class BankActs:
    """Money that comes, or does not come, outside of any API request."""

    def __init__(self, state: AccountState) -> None:
        self._state = state

    def pay_voucher(self, payment_intent: str) -> Obj:
        return vouchers.pay(self._state, payment_intent)

    def expire_voucher(self, payment_intent: str) -> Obj:
        return vouchers.expire(self._state, payment_intent)

    def transfer(self, customer: str, amount: int, currency: str = "usd") -> Obj:
        """A bank transfer of the customer pays the oldest intents that wait for one."""
        sent = {"amount": amount, "currency": currency}
        return bank_transfers.fund(self._state, sent, customer)

    def pay_session(self, session: str) -> Obj:
        """The money of a session that was completed without a PaymentIntent."""
        return checkout_completion.pay_later(self._state, session)

    def answer_debit(self, payment_intent: str, failure: str | None = None) -> Obj:
        """The bank answers a debit now: paid, or failed with this code."""
        return bank_debits.answer_now(self._state, payment_intent, failure)

    def expire_hold(self, payment_intent: str) -> Obj:
        """The card network releases money that was held and never captured."""
        return captures.expire(self._state, payment_intent)

    def end_refund(self, refund: str, status: str, failure_reason: str | None = None) -> Obj:
        """The refund succeeds, fails (even after it had succeeded) or is canceled."""
        return refunds_api.end_as(self._state, refund, status, failure_reason)

    def escalate_inquiry(self, dispute: str) -> Obj:
        return disputes_api.escalate(self._state, self._state.find("disputes", dispute))

    def warn_of_fraud(self, charge: str, fraud_type: str = "misc") -> Obj:
        """The card network sends an early fraud warning of this charge."""
        found = self._state.find("charges", charge)
        return fraud_warnings_api.warn(self._state, found, fraud_type)

    def pay_out(self, currency: str = "usd") -> Obj:
        """The automatic payout of everything that is available."""
        return payouts_api.pay_everything(self._state, currency)

    def end_payout(self, payout: str, status: str, failure_code: str | None = None) -> Obj:
        """The payout arrives (paid) or comes back (failed), even after it had arrived."""
        return payouts_api.end_as(self._state, payout, status, failure_code)


BANK_ACTS = frozenset(name for name in vars(BankActs) if not name.startswith("_"))

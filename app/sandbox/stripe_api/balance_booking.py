"""Every movement of the account's balance is booked once: charges, refunds, disputes, payouts."""

from app.sandbox.account import money_templates
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.truth_ledger import MoneyMovement

# Stripe's list prices in the US, in minor units: 2.9 % and 30 a card charge, 15.00 a dispute.
_PER_THOUSAND, _PER_CHARGE, _PER_DISPUTE = 29, 30, 1500


def book_charge(state: AccountState, charge: Obj) -> str:
    """The id of the charge's transaction, whose money is available some days later."""
    amount: int = charge["amount_captured"]
    fee = (amount * _PER_THOUSAND + 500) // 1000 + _PER_CHARGE
    kind = "payment" if charge["id"].startswith("py_") else "charge"
    is_at_once = state.instruments[charge["payment_method"]].bypasses_pending
    available = state.clock.stamp() + (0 if is_at_once else state.delays.availability)
    booked = _book(state, kind, charge, amount, fee=fee, available_on=available, category="charge")
    return str(booked["id"])


def book_refund(state: AccountState, refund: Obj) -> str:
    kind = "payment_refund" if refund["charge"].startswith("py_") else "refund"
    return str(_book(state, kind, refund, -refund["amount"], category="refund")["id"])


def book_refund_failure(state: AccountState, refund: Obj) -> str:
    """The money of a failed or canceled refund comes back."""
    kind = "payment_failure_refund" if refund["charge"].startswith("py_") else "refund_failure"
    return str(_book(state, kind, refund, refund["amount"], category="refund_failure")["id"])


def book_dispute(state: AccountState, dispute: Obj) -> Obj:
    """The bank takes the amount, and Stripe its fee, which a won dispute does not give back."""
    amount = -dispute["amount"]
    return _book(state, "adjustment", dispute, amount, fee=_PER_DISPUTE, category="dispute")


def book_dispute_reversal(state: AccountState, dispute: Obj) -> Obj:
    return _book(state, "adjustment", dispute, dispute["amount"], category="dispute_reversal")


def book_payout(state: AccountState, payout: Obj) -> str:
    booked = _book(state, "payout", payout, -payout["amount"], category="payout")
    return str(booked["id"])


def book_payout_failure(state: AccountState, payout: Obj) -> str:
    booked = _book(state, "payout_failure", payout, payout["amount"], category="payout_reversal")
    return str(booked["id"])


def _book(
    state: AccountState,
    kind: str,
    source: Obj,
    amount: int,
    *,
    category: str,
    fee: int = 0,
    available_on: int | None = None,
) -> Obj:
    now = state.clock.stamp()
    available = now if available_on is None else available_on
    details = {"amount": fee, "currency": source["currency"], "type": "stripe_fee"}
    made = money_templates.balance_transaction(
        state.ids.new("txn"),
        now,
        {
            "amount": amount,
            "available_on": available,
            "currency": source["currency"],
            "fee": fee,
            "fee_details": [{**_FEE, **details}] if fee else [],
            "net": amount - fee,
            "reporting_category": category,
            "source": source["id"],
            "status": "pending" if available > now else "available",
            "type": kind,
        },
    )
    state.add(made, made["source"])
    state.unpaid_transactions.append(made["id"])
    state.ledger.record_movement(
        MoneyMovement(
            kind=category,
            source=source["id"],
            payment_intent=source.get("payment_intent"),
            amount=amount,
            fee=fee,
            currency=source["currency"],
            at=state.clock.now(),
        )
    )
    return made


_FEE: Obj = {"application": None, "description": "Stripe processing fees"}


def unpaid(state: AccountState, currency: str | None = None) -> list[Obj]:
    """The transactions that no automatic payout has paid, each available once its day has come."""
    now = state.clock.now()
    found = [_matured(state, one, now) for one in state.unpaid_transactions]
    return [one for one in found if currency in {None, one["currency"]}]


def _matured(state: AccountState, transaction_id: str, now: float) -> Obj:
    found = state.find("balance_transactions", transaction_id)
    if found["status"] == "pending" and found["available_on"] <= now:
        return state.change(found, status="available")
    return found

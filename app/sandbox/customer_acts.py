"""Acts of customers: they get payment methods, renew them, and finish what waits for them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.sandbox.account.account_state import AccountState
from app.sandbox.account.instruments import Instrument
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.test_methods import validate_steps
from app.sandbox.stripe_api import (
    bank_debits,
    checkout_completion,
    confirmation,
    customers_api,
    refunds_api,
    setup_outcomes,
)
from app.sandbox.stripe_api.checkout_completion import CheckoutChoice


class CustomerActs:
    """Customers whose payment methods behave as a test says."""

    def __init__(self, state: AccountState) -> None:
        self._state = state

    def add_customer(
        self,
        customer_id: str,
        *,
        payment_method: str | None = None,
        behaviour: Sequence[str] | str = ("succeed",),
        default: bool = True,
        payment_method_type: str | None = None,
        mandate: bool = True,
        refund: str = "succeeded",
        **fields: Any,
    ) -> Obj:
        """A customer and, if named, its payment method, which takes one step of `behaviour` per
        confirm.

        A step is succeed, dispute, authentication_required, a decline code, bank_debit_succeeds or
        bank_debit_fails:CODE. The type follows from the steps (us_bank_account for bank debits)
        unless it is given.
        """
        created = customers_api.create(self._state, {**fields, "id": customer_id})
        if payment_method is not None:
            steps = [behaviour] if isinstance(behaviour, str) else list(behaviour)
            self.add_payment_method(
                payment_method,
                customer=customer_id,
                behaviour=steps,
                payment_method_type=payment_method_type,
                mandate=mandate,
                refund=refund,
            )
            if default:
                settings = {"default_payment_method": payment_method}
                return customers_api.update(
                    self._state, {"invoice_settings": settings}, customer_id
                )
        return created

    def add_payment_method(
        self,
        payment_method: str,
        *,
        customer: str,
        behaviour: list[str],
        payment_method_type: str | None = None,
        mandate: bool = True,
        refund: str = "succeeded",
        is_verified: bool = True,
    ) -> Obj:
        """A saved method; a bank account that is not verified waits for microdeposits."""
        kind = payment_method_type or _method_type(behaviour)
        if refund not in refunds_api.OUTCOMES:
            raise ValueError(f"unknown refund outcome: {refund}")
        self._state.living_customer(customer)
        instrument = Instrument(
            validate_steps(behaviour, kind),
            refund=refund,
            is_set_up=True,
            is_verified=is_verified,
        )
        method = self._state.new_method(
            kind, instrument, method_id=payment_method, customer=customer
        )
        if kind != "card" and mandate:
            instrument.mandate = bank_debits.new_mandate(self._state, method)
        self._state.emit("payment_method.attached", method)
        return method

    def renew_card(
        self, payment_method: str, behaviour: list[str] | None = None, **card: Any
    ) -> Obj:
        """The card network sends new card data: payment_method.automatically_updated."""
        method = self._state.find("payment_methods", payment_method)
        if behaviour is not None:
            renewed = replace(
                self._state.instruments[payment_method],
                steps=validate_steps(behaviour, method["type"]),
                taken=0,
            )
            self._state.instruments[payment_method] = renewed
        previous = {"card": {name: method["card"][name] for name in card}}
        method = self._state.change(method, card={**method["card"], **card})
        self._state.emit("payment_method.automatically_updated", method, previous)
        return method

    def complete_action(self, intent: str, *, succeeded: bool = True) -> Obj:
        """The customer comes back from 3-D Secure of a PaymentIntent or a SetupIntent."""
        if intent.startswith("seti_"):
            return setup_outcomes.succeed(self._state, self._state.find("setup_intents", intent))
        found = self._state.find("payment_intents", intent)
        if found["status"] != "requires_action":
            raise ValueError(f"{intent} is {found['status']}")
        return confirmation.finish_action(self._state, found, succeeded=succeeded)

    def complete_checkout(
        self, session_id: str, payment_method: str = "pm_card_visa", **choices: Any
    ) -> Obj:
        """Submits the page; `choices` are those of CheckoutChoice."""
        choice = CheckoutChoice(payment_method, **choices)
        return checkout_completion.complete(self._state, session_id, choice)


def _method_type(behaviour: list[str]) -> str:
    return (
        "us_bank_account" if any(step.startswith("bank_debit_") for step in behaviour) else "card"
    )

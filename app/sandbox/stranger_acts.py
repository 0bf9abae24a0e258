"""Acts of others on the same account: payers of a public link, and programs beside ours."""

from collections.abc import Callable

from app.sandbox.account.account_state import AccountState, EventCause
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import checkout_completion, payment_intents_api, payment_links_api
from app.sandbox.stripe_api.checkout_completion import CheckoutChoice

# The API key of the other program.
STRANGER = "sk_test_stranger"


class StrangerActs:
    """Payments that ours did not ask for, with any metadata or none, of any customer or none."""

    def __init__(self, state: AccountState) -> None:
        self._state = state

    def pay_link(
        self,
        payment_link: str,
        client_reference_id: str | None = None,
        payment_method: str = "pm_card_visa",
        email: str = "stranger@example.com",
    ) -> Obj:
        """Somebody pays a public link; the reference in its URL is the payer's to choose."""
        self._state.cause = EventCause()
        session = payment_links_api.visit(self._state, payment_link, client_reference_id)
        choice = CheckoutChoice(payment_method, email=email)
        return checkout_completion.complete(self._state, session["id"], choice)

    def open_intent(
        self,
        amount: int,
        currency: str = "usd",
        customer: str | None = None,
        metadata: dict[str, str] | None = None,
        **fields: str,
    ) -> Obj:
        """A payment page of the other program: an intent that waits for its payer."""
        owner = {"customer": customer} if customer else {}
        wanted: Obj = {"amount": amount, "currency": currency, "metadata": metadata or {}}
        return self._ask(lambda: payment_intents_api.create(self._state, wanted | owner | fields))

    def finish_intent(self, payment_intent: str, payment_method: str = "pm_card_visa") -> Obj:
        """The payer of that page submits it, passing an authentication by a redirect."""
        terms: Obj = {
            "payment_method": payment_method,
            "return_url": "https://example.com/return",
            "mandate_data": {},
        }
        return self._ask(lambda: payment_intents_api.confirm(self._state, terms, payment_intent))

    def pay(
        self,
        amount: int,
        currency: str = "usd",
        customer: str | None = None,
        metadata: dict[str, str] | None = None,
        payment_method: str = "pm_card_visa",
    ) -> Obj:
        """A payment that is made elsewhere, such as in the Dashboard or on another portal."""
        opened = self.open_intent(amount, currency, customer, metadata)
        return self.finish_intent(opened["id"], payment_method)

    def _ask(self, call: Callable[[], Obj]) -> Obj:
        """Calls the API as a request of the other program."""
        self._state.cause = EventCause(self._state.ids.new("req", 14), None, STRANGER)
        try:
            return call()
        finally:
            self._state.cause = EventCause()


STRANGER_ACTS = frozenset(name for name in vars(StrangerActs) if not name.startswith("_"))

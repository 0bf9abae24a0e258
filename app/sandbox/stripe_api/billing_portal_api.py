"""Sessions of the billing portal: pages where a customer changes payment methods."""

from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj


def create(state: AccountState, params: Obj) -> Obj:
    """A session of a customer who is there. Nothing can be done on its page here."""
    state.living_customer(params["customer"], param="customer")
    session_id = state.ids.new("bps")
    return {
        "id": session_id,
        "object": "billing_portal.session",
        "configuration": "bpc_sandbox",
        "created": state.clock.stamp(),
        "customer": params["customer"],
        "customer_account": None,
        "flow": None,
        "livemode": False,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url"),
        "url": f"https://billing.stripe.com/p/session/{session_id}",
    }

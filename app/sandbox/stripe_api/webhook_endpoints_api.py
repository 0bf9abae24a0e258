"""The webhook endpoints that somebody made at Stripe."""

from app.sandbox.account import object_templates
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj


def list_page(state: AccountState, params: Obj) -> Obj:
    """All of them: an account has sixteen at most."""
    return object_templates.sublist(
        "/v1/webhook_endpoints", state.webhook_endpoints, has_more=False
    )

"""The account that the API key belongs to."""

from app.sandbox.account import object_templates
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj


def retrieve(state: AccountState, params: Obj) -> Obj:
    return object_templates.account("acct_1Sandbox", 1_700_000_000)

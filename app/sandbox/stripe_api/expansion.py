"""The `expand` parameter: ids in an answer are replaced by their objects."""

from app.sandbox.account import stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj

_EXPANDABLE = {
    "balance_transaction": "balance_transactions",
    "failure_balance_transaction": "balance_transactions",
    "payment_link": "payment_links",
    "charge": "charges",
    "customer": "customers",
    "default_payment_method": "payment_methods",
    "latest_charge": "charges",
    "mandate": "mandates",
    "payment_intent": "payment_intents",
    "payment_method": "payment_methods",
    "setup_intent": "setup_intents",
}


def expand(state: AccountState, answer: Obj, paths: object) -> Obj:
    """A copy of the answer with the ids at these paths replaced by their objects."""
    if not isinstance(paths, list):
        return answer
    for path in paths:
        answer = _expand_at(state, answer, path.split("."), path)
    return answer


def _expand_at(state: AccountState, node: Obj, path: list[str], whole: str) -> Obj:
    field, rest = path[0], path[1:]
    value = node.get(field)
    if field not in node or (not isinstance(value, dict | list) and field not in _EXPANDABLE):
        raise stripe_errors.invalid(f"This property cannot be expanded ({whole}).", param="expand")
    if isinstance(value, str):
        value = state[_EXPANDABLE[field]].get(value) or value
    if rest and isinstance(value, dict):
        value = _expand_at(state, value, rest, whole)
    elif rest and isinstance(value, list):
        value = [_expand_at(state, item, rest, whole) for item in value]
    return {**node, field: value}

"""Search over PaymentIntents: it lags and forgets as Stripe's does, so nothing may rely on it."""

import re

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.reproducible_ids import reproducible_random
from app.sandbox.account.stripe_errors import integer

# Measured: 16 to 20 s to appear for a customer, more than 2 minutes for a PaymentIntent, and then
# gone on the next read.
LAG_SECONDS = (16.0, 150.0)
VANISHES = 0.2
_TERM = re.compile(r"""^(-?)([\w]+)(?:\[["'](.+?)["']\])?\s*(:|>=|<=|>|<)\s*["']?(.*?)["']?$""")
_SEARCHABLE = {"amount", "created", "currency", "customer", "metadata", "status"}


def search_payment_intents(state: AccountState, params: Obj) -> Obj:
    terms = [_term(text) for text in re.split(r"\s+AND\s+", params["query"])]
    now = state.clock.now()
    found = [
        intent
        for intent in reversed(state["payment_intents"].rows())
        if _is_indexed(intent, state.seed, now) and all(_matches(intent, term) for term in terms)
    ]
    seen = [intent for intent in found if state.random.random() >= VANISHES]
    start, limit = integer("page", params.get("page", 0)), params.get("limit", 10)
    stop = start + limit
    url = "/v1/payment_intents/search"
    answer = object_templates.sublist(url, seen[start:stop], has_more=len(seen) > stop)
    following = {"next_page": str(stop)} if answer["has_more"] else {}
    return {**answer, "object": "search_result", "total_count": len(seen), **following}


def _is_indexed(intent: Obj, seed: int, now: float) -> bool:
    lag = reproducible_random(f"{seed}:{intent['id']}").uniform(*LAG_SECONDS)
    return bool(now - intent["created"] > lag)


def _term(text: str) -> tuple[str, ...]:
    match = _TERM.match(text.strip())
    if match is None or match[2] not in _SEARCHABLE:
        raise stripe_errors.malformed(
            f"We were unable to parse your search query: {text}", param="query"
        )
    return match[1], match[2], match[3] or "", match[4], match[5]


def _matches(intent: Obj, term: tuple[str, ...]) -> bool:
    negated, field, key, operator, wanted = term
    value = intent["metadata"].get(key) if field == "metadata" else intent[field]
    return _compare(value, operator, wanted) != (negated == "-")


def _compare(value: object, operator: str, wanted: str) -> bool:
    if operator == ":":
        return value is not None and str(value) == wanted
    if not isinstance(value, int) or not wanted.isdigit():
        return False
    match operator:
        case ">=":
            return value >= int(wanted)
        case "<=":
            return value <= int(wanted)
        case ">":
            return value > int(wanted)
        case _:
            return value < int(wanted)

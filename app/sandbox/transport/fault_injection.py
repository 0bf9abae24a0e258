"""Fault injection: a fault strikes matching requests, before or after the change is made."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal, get_args

import orjson

from app.sandbox.account import stripe_errors
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.reproducible_ids import reproducible_random
from app.sandbox.account.stripe_errors import StripeRefusal
from app.sandbox.transport import stripe_routes
from app.sandbox.transport.http_messages import ApiAnswer

FaultKind = Literal[
    "drop",
    "hang",
    "truncate",
    "status",
    "html200",
    "rate_limit",
    "lock_timeout",
    "conflict",
    "unauthorized",
    "missing",
    "answer",
    "rewrite",
]
FaultMoment = Literal["before", "after"]

_HTML = b"<html><body><h1>We're sorry, something went wrong.</h1></body></html>"
_HTML_HEADERS = {"Content-Type": "text/html; charset=utf-8"}
# Answered by the API itself, so a key remembers them; 502 and 503 come from a proxy in front and
# leave no trace.
_SAVED_STATUSES = frozenset({500, 424})
_STATUSES = frozenset({424, 500, 502, 503, 504})


@dataclass(slots=True)
class Fault:
    """`match` is a route's name, such as POST /v1/payment_intents/{id}/confirm, or * for all.

    It strikes the nth matching call only, or each with a probability, and at most `times` times.
    `missing` says that there is no such object: 404, or 400 about the parameter of this name, as
    the key of another account meets it. An `answer` is 200 with the JSON `body`, whatever was
    asked for. A `rewrite` puts `fields` into the object `of` this id wherever the true answer has
    it, or else into the first object.
    """

    match: str
    kind: FaultKind
    when: FaultMoment = "before"
    times: int | None = None
    nth: int | None = None
    probability: float = 1.0
    seconds: float = 1.0
    status: int = 500
    should_retry: bool | None = None
    body: Any = None
    fields: Obj = field(default_factory=dict)
    of: str | None = None
    param: str | None = None
    seed: int = 0
    seen: int = 0
    struck: int = 0
    random: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.match != "*" and self.match not in stripe_routes.ROUTE_NAMES:
            raise ValueError(f"no such call: {self.match}")
        if self.kind not in get_args(FaultKind) or self.when not in get_args(FaultMoment):
            raise ValueError(f"no such fault: {self.kind} {self.when}")
        if self.status not in _STATUSES:
            raise ValueError(f"no such fault status: {self.status}")
        if self.kind == "rewrite":
            self.when = "after"
        self.random = reproducible_random(self.seed)

    def strikes(self, name: str) -> bool:
        if self.match not in {"*", name} or (self.times is not None and self.struck >= self.times):
            return False
        self.seen += 1
        if self.nth is not None and self.seen != self.nth:
            return False
        if self.probability < 1.0 and self.random.random() >= self.probability:
            return False
        self.struck += 1
        return True

    @property
    def is_saved(self) -> bool:
        """The failure itself becomes the saved answer of the key."""
        return self.kind == "status" and self.status in _SAVED_STATUSES

    def distort(self, true_answer: ApiAnswer | None, key: str | None) -> ApiAnswer:
        """The client's answer; the true one is None if the fault struck before execution."""
        match self.kind:
            case "drop" | "truncate":
                return replace(true_answer or ApiAnswer(200, _HTML, saved=False), ending=self.kind)
            case "hang":
                late = true_answer or ApiAnswer(200, b"", saved=False, ending="drop")
                return replace(late, wait=self.seconds)
            case "answer":
                return ApiAnswer(200, orjson.dumps(self.body), saved=False)
            case "rewrite":
                return _rewritten(true_answer, self.of, self.fields)
            case "html200":
                return ApiAnswer(200, _HTML, _HTML_HEADERS, saved=False)
            case "status" if self.status not in _SAVED_STATUSES:
                return ApiAnswer(self.status, _HTML, _HTML_HEADERS, saved=False)
            case _:
                return ApiAnswer.from_refusal(self._refusal(key))

    def _refusal(self, key: str | None) -> StripeRefusal:
        match self.kind:
            case "rate_limit":
                return stripe_errors.rate_limited("endpoint-rate")
            case "lock_timeout":
                return stripe_errors.lock_timeout(self.should_retry)
            case "conflict":
                return stripe_errors.key_in_use(key)
            case "missing":
                in_path = self.param is None
                return stripe_errors.missing(
                    "object", self.of or "unknown", param=self.param or "id", in_path=in_path
                )
            case "unauthorized":
                return stripe_errors.unauthorized("Invalid API Key provided: sk_test_****")
            case _:
                return stripe_errors.api_error(self.status)


def _rewritten(answer: ApiAnswer | None, wanted: str | None, fields: Obj) -> ApiAnswer:
    assert answer is not None, "a rewrite strikes after execution"
    if not isinstance(answer.body, dict):
        return answer
    return replace(answer, body=_rewritten_object(answer.body, wanted, fields))


def _rewritten_object(found: Obj, wanted: str | None, fields: Obj) -> Obj:
    """A copy of a list, an event or an object with the fields in the object that is wanted."""
    match found.get("object"):
        case "list":
            rows: list[Obj] = found["data"]
            chosen = rows if wanted else rows[:1]
            changed = [_rewritten_object(row, wanted, fields) for row in chosen]
            return {**found, "data": [*changed, *rows[len(chosen) :]]}
        case "event":
            inner = _rewritten_object(found["data"]["object"], wanted, fields)
            return {**found, "data": {**found["data"], "object": inner}}
        case _:
            return {**found, **fields} if wanted in {None, found.get("id")} else found


class FaultList:
    """The faults in force; the first that strikes a call is the one."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        self._faults.clear()

    def next_fault(self, name: str) -> Fault | None:
        return next((fault for fault in self._faults if fault.strikes(name)), None)

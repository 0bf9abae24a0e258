"""The idempotency store: what a key remembers, for how long, and what it refuses."""

from dataclasses import dataclass, replace

from app.sandbox.account import stripe_errors
from app.sandbox.account.sandbox_clock import Clock
from app.sandbox.transport.http_messages import Answer, Request

_KEY_MAX = 255


@dataclass(slots=True)
class Saved:
    """The first request of a key; no answer yet means that it is in flight."""

    fingerprint: bytes
    request_id: str
    at: float
    answer: Answer | None = None


class Keys:
    """Keeps every answer of execution, also 402 and 500; not 401, 409, 429 and validation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._saved: dict[str, Saved] = {}

    def __len__(self) -> int:
        return len(self._saved)

    def begin(self, request: Request, lifetime: float) -> Answer | None:
        """The saved answer to repeat, or None: the request is now in flight under its key."""
        key = request.idempotency_key or ""
        if len(key) > _KEY_MAX:
            raise stripe_errors.malformed(f"Idempotency keys can have up to {_KEY_MAX} characters.")
        self._prune(lifetime)
        fingerprint = request.fingerprint
        first = self._saved.get(key)
        if first is None:
            self._saved[key] = Saved(fingerprint, request.id, self._clock.now())
            return None
        if first.fingerprint != fingerprint:
            raise stripe_errors.key_reused(key)
        if first.answer is None:
            raise stripe_errors.key_in_use(key)
        return _replayed(first.answer, first.request_id)

    def end(self, key: str, answer: Answer | None) -> None:
        """Remembers the answer, or frees the key when there is nothing to remember."""
        if answer is None or not answer.saved:
            self._saved.pop(key, None)
        elif key in self._saved:
            self._saved[key].answer = answer

    def _prune(self, lifetime: float) -> None:
        oldest = self._clock.now() - lifetime
        while self._saved:
            key, first = next(iter(self._saved.items()))
            if first.at > oldest or first.answer is None:
                return
            del self._saved[key]


def _replayed(answer: Answer, first_request: str) -> Answer:
    headers = {**answer.headers, "Idempotent-Replayed": "true", "Original-Request": first_request}
    if answer.status == 500:
        headers["Stripe-Should-Retry"] = "false"
    return replace(answer, headers=headers)

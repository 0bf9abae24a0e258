"""The idempotency store: it replays the saved answer of a key and refuses misuse of one."""

from dataclasses import dataclass, replace

from app.sandbox.account import stripe_errors
from app.sandbox.account.sandbox_clock import SandboxClock
from app.sandbox.transport.http_messages import ApiAnswer, ApiRequest

_KEY_MAX = 255


@dataclass(slots=True)
class SavedAnswer:
    """The first request of a key; no answer yet means that it is in flight."""

    fingerprint: bytes
    request_id: str
    at: float
    answer: ApiAnswer | None = None


class IdempotencyKeys:
    """Saves the answer of each execution, even 402 or 500; a refusal before it is not saved."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._saved: dict[str, SavedAnswer] = {}

    def __len__(self) -> int:
        return len(self._saved)

    def begin(self, request: ApiRequest, lifetime: float) -> ApiAnswer | None:
        """The saved answer to repeat, or None: the request is now in flight under its key."""
        key = request.idempotency_key or ""
        if len(key) > _KEY_MAX:
            raise stripe_errors.malformed(f"Idempotency keys can have up to {_KEY_MAX} characters.")
        self._prune(lifetime)
        fingerprint = request.fingerprint
        first = self._saved.get(key)
        if first is None:
            self._saved[key] = SavedAnswer(fingerprint, request.id, self._clock.now())
            return None
        if first.fingerprint != fingerprint:
            raise stripe_errors.key_reused(key)
        if first.answer is None:
            raise stripe_errors.key_in_use(key)
        return _replay(first.answer, first.request_id)

    def end(self, key: str, answer: ApiAnswer | None) -> None:
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


def _replay(answer: ApiAnswer, first_request: str) -> ApiAnswer:
    headers = {**answer.headers, "Idempotent-Replayed": "true", "Original-Request": first_request}
    if answer.status == 500:
        headers["Stripe-Should-Retry"] = "false"
    return replace(answer, headers=headers)

"""Payment methods at Stripe, asked for once each, however many invoices they are to pay."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

# Ids and one small object each: memory stays flat however many customers there are.
_REMEMBERED_MAX = 5_000


class MethodSource(Protocol):
    """Stripe, or what remembers its answers."""

    async def default_method(self, customer_id: str) -> Mapping[str, Any] | None: ...

    async def payment_method(self, method_id: str) -> Mapping[str, Any]: ...

    async def payment_methods(self, customer_id: str) -> Sequence[Mapping[str, Any]]: ...


class AskedMethods:
    """The answers of Stripe, for a dry run: it charges nothing by them."""

    def __init__(self, source: MethodSource) -> None:
        self._source = source
        self._defaults: dict[str, Mapping[str, Any] | None] = {}
        self._methods: dict[str, Mapping[str, Any]] = {}
        self._of_customer: dict[str, Sequence[Mapping[str, Any]]] = {}

    async def default_method(self, customer_id: str) -> Mapping[str, Any] | None:
        return await _once(self._defaults, customer_id, self._source.default_method)

    async def payment_method(self, method_id: str) -> Mapping[str, Any]:
        return await _once(self._methods, method_id, self._source.payment_method)

    async def payment_methods(self, customer_id: str) -> Sequence[Mapping[str, Any]]:
        return await _once(self._of_customer, customer_id, self._source.payment_methods)


async def _once(answers: dict[str, T], key: str, ask: Callable[[str], Awaitable[T]]) -> T:
    if key not in answers:
        answer = await ask(key)
        if len(answers) >= _REMEMBERED_MAX:
            answers.pop(next(iter(answers)), None)
        answers[key] = answer
    return answers[key]

"""GET, POST and DELETE /Currency."""

from typing import Any

from app.halo.engine import parsing
from app.halo.engine.resource import ALL_VERBS, Resource, contains, searched
from app.halo.resources.passthrough import passthrough
from app.rules import money
from app.storage.tables.clients import Currency


def _code(name: str, value: Any) -> str | None:
    said = parsing.text(name, value)
    return None if said is None else money.currency_code(said, name)


CURRENCIES = Resource(
    path="Currency",
    table=Currency,
    verbs=ALL_VERBS,
    filters={
        "search": searched(
            lambda said: [contains(column, said) for column in (Currency.name, Currency.code)]
        ),
    },
    readers={"code": _code},
    wider=passthrough(texts="_warning"),
    on_request={"history": "includedetails"},
    showers={"code": str.upper},  # ISO codes are kept in lower case, as Stripe writes them
)

"""GET, POST and DELETE /Currency."""

from typing import Any

from app.halo.engine import json_schema, parsing
from app.halo.engine.filters import Search, contains
from app.halo.engine.resource import ALL_VERBS, Field, Input, Listing, Output, Resource
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import ID
from app.rules import money
from app.storage.tables.clients import Currency


def _code(name: str, value: Any) -> str | None:
    code = parsing.text(name, value)
    return None if code is None else money.currency_code(code, name)


CURRENCIES = Resource(
    path="Currency",
    table=Currency,
    verbs=ALL_VERBS,
    fields={
        "id": ID,
        "name": Field("The currency's name. Required."),
        "symbol": Field("The sign that marks its amounts. Required."),
        # ISO codes are stored in lower case, as Stripe writes them.
        "code": Field(
            "ISO 4217 code. Required, and no two currencies have the same.",
            _code,
            str.upper,
            schema=json_schema.SHORT_TEXT,
        ),
        "conversion_rate": Field("Units of the home currency for one of it."),
        "last_updated": Field("When its rate was changed last.", read_only=True),
        "history": Field("Earlier rates, each with its `enddate`.", read_only=True),
    },
    listing=Listing(
        filters={
            "search": Search(
                lambda text: [contains(column, text) for column in (Currency.name, Currency.code)]
            )
        }
    ),
    output=Output(on_request={"history": "includedetails"}),
    input=Input(passthrough=passthrough(texts="_warning")),
)

"""One list of the API, with records made for one question only."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from string import ascii_lowercase
from typing import Any

from tests.api.client import Api
from tests.service import Service

# What the least record of each resource needs.
_LEAST: Mapping[str, Mapping[str, Any]] = {
    "BudgetType": {"name": "Support"},
    "CostCentres": {"name": "Workshop"},
    "Expense": {"description": "Train", "amount": 12},
    "Tax": {"name": "VAT", "value": 20},
}
# Codes that no country uses (Qatar has one of them), for a code is a currency's only once.
_CODES = (
    code
    for letters in product(ascii_lowercase, repeat=2)
    if (code := "".join(("q", *letters))) != "qar"
)


@dataclass
class Scene:
    """Records that are made here, and what a list shows of them."""

    service: Service
    path: str
    made: list[int] = field(default_factory=list)

    @property
    def api(self) -> Api:
        return self.service.api

    async def least(self) -> dict[str, Any]:
        match self.path.split("/")[2]:
            case "TaxRule":
                tax = await self.api.post("/api/Tax", _LEAST["Tax"])
                # A rule that holds for everything would tax what other checks write.
                never = {"value_type": 3, "value": "an item that nobody sells"}
                return {"name": "At home", "taxid": tax["id"], "tax_conditions": [never]}
            case "InvoiceChange":
                return {"invoice_id": (await self.api.invoice(1))["id"]}
            case "InvoicePayment":
                return {"invoice_id": (await self.api.invoice(1000))["id"], "amount": 1}
            case "Currency":
                return {"name": "Shells", "symbol": "S", "code": next(_CODES)}
            case resource:
                return dict(_LEAST.get(resource, {}))

    async def make(self, **values: Any) -> Any:
        """A record with these values; answers it as the API does."""
        record = await self.api.post(self.path, {**await self.least(), **values})
        self.made.append(record["id"])
        return record

    @property
    def counts_up(self) -> bool:
        return self.path != "/api/RecurringInvoice"

    def path_of(self, record: Mapping[str, Any]) -> str:
        return f"{self.path}/{record['id']}"

    async def records(self, **params: Any) -> list[dict[str, Any]]:
        """What the list shows of the records made here."""
        newest = {} if "order" in params else {"order": "id", "orderdesc": str(self.counts_up)}
        shown = await self.api.get(self.path, **{"count": "1000", **newest, **params})
        whole = shown if isinstance(shown, list) else shown["invoices"]
        return [one for one in whole if one["id"] in self.made]

    async def ids(self, **params: Any) -> list[int]:
        return [one["id"] for one in await self.records(**params)]

    async def keeps(self, wanted: Sequence[Any], **params: Any) -> None:
        """The list shows exactly these of all that were made, and all of them when not asked."""
        shown = await self.ids(**params)
        assert sorted(shown) == sorted(one["id"] for one in wanted), params
        assert len(shown) < len(self.made), "a filter that keeps everything shows nothing"
        assert sorted(await self.ids()) == sorted(self.made)


Check = Callable[[Scene], Awaitable[None]]
"""Shows that one row of a table is true."""

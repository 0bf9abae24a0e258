"""Properties of the smaller schemas: written, read, worked out."""

from typing import Any

from tests.published.samples import kept
from tests.published.scene import Scene
from tests.service import Service

Shown = dict[str, Any]


async def _kept(service: Service, path: str, values: Shown) -> list[str]:
    """What was written is read, in the list as well as alone."""
    scene = Scene(service, path)
    made = await scene.make(**values)
    [shown] = await scene.records(includedetails="true")
    assert {name: shown.get(name) for name in values} == values
    assert made["id"] == shown["id"]
    return ["id", *values]


async def change(service: Service) -> list[str]:
    """A change that somebody writes down, and one that the service did."""
    invoice = await service.api.invoice(10)
    values = kept(
        "InvoiceChange", {"id", "who", "datetime"}, invoice_id=invoice["id"],
        invoice_line_id=invoice["lines"][0]["id"],
    )  # fmt: skip
    names = await _kept(service, "/api/InvoiceChange", values)
    await service.api.post("/api/Invoice", {"id": invoice["id"], "reference": "b"})
    told = await service.api.get("/api/InvoiceChange", invoice_id=str(invoice["id"]))
    [renamed] = [one for one in told if one["field_name"] == "reference"]
    assert (renamed["who"], renamed["new_value"]) == ("tests", "b")
    assert renamed["datetime"] == service.clock().isoformat().removesuffix("+00:00")
    return [*names, "who", "datetime"]


async def tax(service: Service) -> list[str]:
    """A rate keeps what it is given; one that is made of others is worth their sum."""
    values = kept("Tax", {"id", "is_composite", "linked_rates"})
    names = await _kept(service, "/api/Tax", values)
    parts = [await service.api.post("/api/Tax", {"name": n, "value": 5}) for n in ("a", "b")]
    linked = [{"id": one["id"]} for one in parts]
    made = await service.api.post(
        "/api/Tax", {"name": "both", "is_composite": True, "linked_rates": linked}
    )
    shown = await service.api.get(f"/api/Tax/{made['id']}", includedetails="true")
    assert (shown["is_composite"], shown["value"]) == (True, 10)
    assert [one["id"] for one in shown["linked_rates"]] == [one["id"] for one in parts]
    return [*names, "is_composite", "linked_rates"]


async def tax_rule(service: Service) -> list[str]:
    rate = await service.api.post("/api/Tax", {"name": "VAT 20", "value": 20})
    conditions = [{"value": "GB", "value_type": 9, "value_bool": True, "value_display": "Britain",
                   "value_lookup": [{"id": "1", "name": "x"}]}]  # fmt: skip
    values = kept("TaxRule", {"id", "tax_name", "tax_conditions"}, taxid=rate["id"])
    names = await _kept(service, "/api/TaxRule", values)
    scene = Scene(service, "/api/TaxRule")
    await scene.make(**values, tax_conditions=conditions)
    [shown] = await scene.records()
    assert shown["tax_name"] == "VAT 20"
    assert conditions[0].items() <= shown["tax_conditions"][0].items()
    return [*names, "tax_name", "tax_conditions"]


async def currency(service: Service) -> list[str]:
    """A rate that changes stays in the history, with the day on which it ended."""
    scene = Scene(service, "/api/Currency")
    values = kept("Currency", {"id", "last_updated", "history", "code"})
    made = await scene.make(**values)
    assert {name: made[name] for name in values} == values
    await service.api.post("/api/Currency", {"id": made["id"], "conversion_rate": 2})
    shown = await service.api.get(f"/api/Currency/{made['id']}", includedetails="true")
    now = service.clock().isoformat().removesuffix("+00:00")
    assert shown["code"] == made["code"] == made["code"].upper()
    assert (shown["conversion_rate"], shown["last_updated"]) == (2, now)
    [closed] = shown["history"]
    assert (closed["rate"], closed["enddate"], closed["cid"]) == (12.5, now, made["id"])
    return ["id", "code", "last_updated", "history", *values]


async def cost_centre(service: Service) -> list[str]:
    return await _kept(service, "/api/CostCentres", kept("Costcentres", {"id"}))


async def expense(service: Service) -> list[str]:
    client_id = await service.api.client()
    site = await service.api.post("/api/Site", {"name": "Main", "client_id": client_id})
    invoice = await service.api.invoice(10, client_id=client_id)
    values = kept("Expense", {"id"}, client_id=client_id, site_id=site["id"], ihid=invoice["id"])
    return await _kept(service, "/api/Expense", values)

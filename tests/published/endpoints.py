"""For each of the published endpoints: it answers, with what it is for."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import insert

from tests.published.contract import ENDPOINTS
from tests.published.scene import Scene
from tests.service import Service

Check = Callable[[Service], Awaitable[None]]

LINES = [{"item_shortdescription": "x", "qty_order": 2, "unit_price": 5}]


async def charge_rate(service: Service, **values: Any) -> int:
    """The API reads charge rates only, so one is put where they are kept."""
    from app.storage.tables.catalogue import ChargeRate

    async with service.database.transaction() as tx:
        found = await tx.scalar(
            insert(ChargeRate).values(rate=90, **values).returning(ChargeRate.id)
        )
    assert found is not None
    return found


def _listed(path: str) -> Check:
    async def check(service: Service) -> None:
        scene = Scene(service, path)
        if path == "/api/ChargeRate":
            scene.made.append(await charge_rate(service))
        else:
            await scene.make()
        assert await scene.ids() == scene.made
        wrapped = ENDPOINTS[f"GET {path}"].get("answers") == "InvoiceHeader_View"
        assert isinstance(await service.api.get(path), dict if wrapped else list)

    return check


def _saved(path: str) -> Check:
    """Created, and with its id changed: it stays the same record."""

    async def check(service: Service) -> None:
        scene = Scene(service, path)
        least = await scene.least()
        one = await scene.api.send("POST", path, json=[least])
        assert one.status == ENDPOINTS[f"POST {path}"]["status"], one.text
        again = await scene.api.send("POST", path, json=[{**least, "id": one.json["id"]}])
        assert (again.status, again.json["id"]) == (one.status, one.json["id"]), again.text

    return check


def _created(path: str) -> Check:
    async def check(service: Service) -> None:
        scene = Scene(service, path)
        answer = await scene.api.send("POST", path, json=[await scene.least()])
        assert answer.status == ENDPOINTS[f"POST {path}"]["status"], answer.text
        assert answer.json["id"] > 0

    return check


def _read(path: str) -> Check:
    async def check(service: Service) -> None:
        scene = Scene(service, path)
        if path == "/api/ChargeRate":
            made = {"id": await charge_rate(service)}
        else:
            made = await scene.make()
        shown = await scene.api.get(f"{path}/{made['id']}")
        assert made.items() <= shown.items()

    return check


def _deleted(path: str) -> Check:
    async def check(service: Service) -> None:
        scene = Scene(service, path)
        made = await scene.make()
        answer = await scene.api.send("DELETE", f"{path}/{made['id']}")
        assert (answer.status, answer.json["id"]) == (200, made["id"]), answer.text
        assert await scene.ids() == []

    return check


# --- what is not list, save, read, delete ----------------------------------------------------


async def _invoice_lines(service: Service) -> None:
    scene = Scene(service, "/api/Invoice")
    made = await scene.make(lines=LINES, client_id=await scene.api.client())
    shown = await scene.api.get("/api/Invoice/lines", client_id=str(made["client_id"]))
    assert [one["lines"] for one in shown["invoices"]] == [made["lines"]]


def _lines_updated(path: str) -> Check:
    async def check(service: Service) -> None:
        scene = Scene(service, path)
        made = await scene.make(lines=[*LINES, *LINES])
        first, second = made["lines"]
        change = {"id": first["id"], "ihid": made["id"], "qty_order": 3}
        answer = await scene.api.send("POST", f"{path}/updatelines", json=[change])
        assert (answer.status, answer.json["qty_order"]) == (200, 3), answer.text
        shown = await scene.api.get(f"{path}/{made['id']}")
        assert [one["qty_order"] for one in shown["lines"]] == [3, 2]
        assert shown["lines"][1] == second
        assert shown["total"] == 25

    return check


async def _lines_added(service: Service) -> None:
    scene = Scene(service, "/api/RecurringInvoice")
    made = await scene.make(lines=LINES)
    added = [{"ihid": made["id"], "unit_price": 7, "qty_order": 1}]
    answer = await scene.api.send("POST", f"{scene.path}/Lines", json=added)
    assert (answer.status, answer.json["unit_price"]) == (200, 7), answer.text
    shown = await scene.api.get(f"{scene.path}/{made['id']}")
    assert [one["unit_price"] for one in shown["lines"]] == [5, 7]
    assert shown["lines"][0] == made["lines"][0]


async def _voided(service: Service) -> None:
    scene = Scene(service, "/api/Invoice")
    made = await scene.make(lines=LINES)
    answer = await scene.api.send("POST", f"{scene.path}/{made['id']}/void", json={})
    assert (answer.status, answer.json["voided"]) == (200, True), answer.text
    shown = await scene.api.get(f"{scene.path}/{made['id']}")
    assert (shown["voided"], shown["amountdue"]) == (True, 0)


async def _viewed(service: Service) -> None:
    scene = Scene(service, "/api/Invoice")
    made = await scene.make()
    view = {"id": made["id"], "current_action_type": 1}
    answer = await scene.api.send("POST", f"{scene.path}/View", json=[view])
    assert (answer.status, answer.json["id"]) == (200, made["id"]), answer.text
    assert answer.json["viewers"]


async def _printed(service: Service) -> None:
    scene = Scene(service, "/api/Invoice")
    made = await scene.make(lines=LINES)
    path = f"{scene.path}/PDF/{made['id']}"
    async with scene.api.session.post(path, headers=scene.api.headers) as answer:
        document = await answer.read()
        assert (answer.status, answer.content_type) == (200, "application/pdf")
    assert document.startswith(b"%PDF-")
    assert document.rstrip().endswith(b"%%EOF")


async def _processed(service: Service) -> None:
    scene = Scene(service, "/api/RecurringInvoice")
    made = await scene.make(lines=LINES, period=2, client_id=await scene.api.client())
    answer = await scene.api.send("POST", f"{scene.path}/process", json=[made["id"]])
    assert (answer.status, answer.json["recurring_invoice_id"]) == (200, made["id"]), answer.text
    shown = await scene.api.get(f"/api/Invoice/{answer.json['id']}")
    assert (shown["total"], shown["client_id"]) == (10, made["client_id"])


async def _pro_rata_listed(service: Service) -> None:
    row = {"quantity": 2, "unitprice": 3, "date": "2026-11-25T00:00:00"}
    scene = Scene(service, "/api/RecurringInvoice")
    made = await scene.make(lines=[{**LINES[0], "prorata_data": [row]}], period=2)
    shown = await scene.api.get("/api/InvoiceDetailProRata", count="1000")
    [mine] = [one for one in shown if one["invoicedetailid"] == made["lines"][0]["id"]]
    assert row.items() <= mine.items()


_COLLECTIONS = sorted({one["path"] for one in ENDPOINTS.values() if one["path"].count("/") == 2})
_CREATED = ("/api/Expense", "/api/InvoiceChange")

CHECKS: dict[str, Check] = {
    **{f"GET {path}": _listed(path) for path in _COLLECTIONS},
    **{f"POST {path}": _saved(path) for path in _COLLECTIONS if path not in _CREATED},
    **{f"POST {path}": _created(path) for path in _CREATED},
    **{f"GET {path}/{{id}}": _read(path) for path in _COLLECTIONS},
    **{f"DELETE {path}/{{id}}": _deleted(path) for path in _COLLECTIONS},
    "GET /api/Invoice/lines": _invoice_lines,
    "GET /api/InvoiceDetailProRata": _pro_rata_listed,
    "POST /api/Invoice/PDF/{id}": _printed,
    "POST /api/Invoice/View": _viewed,
    "POST /api/Invoice/updatelines": _lines_updated("/api/Invoice"),
    "POST /api/Invoice/{id}/void": _voided,
    "POST /api/RecurringInvoice/Lines": _lines_added,
    "POST /api/RecurringInvoice/process": _processed,
    "POST /api/RecurringInvoice/updatelines": _lines_updated("/api/RecurringInvoice"),
}

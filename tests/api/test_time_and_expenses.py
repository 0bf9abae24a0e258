"""Expenses and time become lines of invoices, each once."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from app.storage.column_types import table_of
from app.storage.rows import insert_rows
from app.storage.tables.catalogue import ChargeRate
from tests.api.client import Api

pytestmark = pytest.mark.anyio


async def an_expense(api: Api, client_id: int | None = None, **fields: Any) -> int:
    values = {"amount": 42.5, "description": "Train to Bath", "invoiceable": True, **fields}
    return (await api.post("/api/Expense", {**values, "client_id": client_id}))["id"]


async def expense(api: Api, expense_id: int) -> Any:
    return next(one for one in await api.get("/api/Expense") if one["id"] == expense_id)


async def invoice_with(api: Api, expense_id: int, **fields: Any) -> Any:
    lines = [{"expense_id": expense_id, **fields.pop("line", {})}]
    return await api.send("POST", "/api/Invoice", json=[{"lines": lines, **fields}])


async def test_an_expense_becomes_a_line(api: Api) -> None:
    client = await api.client()
    spent = await an_expense(api, client)

    answer = await invoice_with(api, spent, client_id=client, line={"tax_rate": 20})

    made = answer.json
    line = made["lines"][0]
    assert (line["item_shortdescription"], line["unit_price"]) == ("Train to Bath", Decimal("42.5"))
    assert (made["revenue"], made["total"]) == (Decimal("42.5"), 51)
    shown = await expense(api, spent)
    assert (shown["ihid"], shown["date_invoiced"]) == (made["id"], "2026-11-22T09:30:00")


async def test_a_line_keeps_its_own_price_and_words(api: Api) -> None:
    spent = await an_expense(api)
    own = {"unit_price": 50, "item_shortdescription": "Travel", "qty_order": 2}

    made = (await invoice_with(api, spent, line=own)).json

    assert (made["total"], made["lines"][0]["item_shortdescription"]) == (100, "Travel")


async def test_an_expense_is_on_one_invoice(api: Api) -> None:
    spent = await an_expense(api)

    answers = await asyncio.gather(*(invoice_with(api, spent) for _ in range(10)))

    assert sorted(one.status for one in answers) == [201] + [400] * 9
    refused = next(one for one in answers if one.status == 400)
    assert refused.json["Message"].startswith("lines[0].expense_id: expense")
    assert "is on invoice" in refused.json["Message"]


async def test_an_expense_that_is_not_the_clients_to_pay_is_refused(api: Api) -> None:
    payer, other = await api.client(), await api.client(name="Grace Ltd")
    own = await an_expense(api, invoiceable=False)
    others = await an_expense(api, other, client_to_invoice_to_id=payer)
    twice = {"lines": [{"expense_id": others}, {"expense_id": others}], "client_id": payer}
    euro = (await api.get("/api/Currency", search="EUR"))[0]["id"]

    assert "is not invoiceable" in (await invoice_with(api, own)).json["Message"]
    said = (await invoice_with(api, others, client_id=other)).json["Message"]
    assert said == f"lines[0].expense_id: expense {others} is for client {payer}"
    answer = await api.send("POST", "/api/Invoice", json=[twice])
    assert "is given twice" in answer.json["Message"]
    foreign = await invoice_with(api, others, client_id=payer, currency_code=euro)
    assert foreign.json["Message"].startswith("lines[0].unit_price: is required")
    assert (await invoice_with(api, others, client_id=payer)).status == 201


async def test_an_invoice_that_goes_gives_its_expenses_back(api: Api) -> None:
    one, two, three = [await an_expense(api) for _ in range(3)]
    lines = [{"expense_id": one}, {"expense_id": two}]
    made = await api.post("/api/Invoice", {"lines": lines})
    other = (await invoice_with(api, three)).json

    await api.post("/api/Invoice", {"id": made["id"], "lines": [made["lines"][1] | {
        "unit_price": 1, "net_amount": 0, "tax_amount": 0, "total_price": 0, "total_tax": 0,
        "net_total": 0, "qty_order": 1, "tax_rate": 0, "discount_perc": 0, "unit_cost": 0,
    }]})  # fmt: skip
    after_line = [(await expense(api, each)).get("ihid", 0) for each in (one, two)]
    await api.send("POST", f"/api/Invoice/{made['id']}/void")
    await api.send("DELETE", f"/api/Invoice/{other['id']}")

    assert after_line == [0, made["id"]]
    freed = [await expense(api, each) for each in (one, two, three)]
    assert [each.get("ihid", 0) for each in freed] == [0, 0, 0]
    assert (await invoice_with(api, two)).status == 201


async def test_a_number_that_is_no_expense_and_a_template_take_none(api: Api) -> None:
    spent = await an_expense(api)

    kept = (await invoice_with(api, 4711)).json
    template = {"period": 2, "nextcreationdate": "2026-10-01", "lines": [{"expense_id": spent}]}
    made = await api.post("/api/RecurringInvoice", template)
    await api.post("/api/RecurringInvoice/process", made["id"])

    assert (kept["lines"][0]["expense_id"], kept["total"]) == (4711, 0)
    assert "ihid" not in await expense(api, spent) or not (await expense(api, spent))["ihid"]


# --- time --------------------------------------------------------------------------------------


async def a_rate(api: Api, **fields: Any) -> None:
    async with api.database.transaction() as tx:
        values = {"charge_id": 3, "contract_id": 0, "org": -1, "use_for_travel": True,
                  "use_for_mileage": True, **fields}  # fmt: skip
        await insert_rows(tx, table_of(ChargeRate), [values])


async def test_hours_are_priced_by_their_charge_type(api: Api) -> None:
    client = await api.client()
    steps = {"minimum": Decimal("0.5"), "increment": Decimal("0.25")}
    await a_rate(api, rate=Decimal(80), **steps)
    await a_rate(api, rate=Decimal(80), area=client, rateoverride=Decimal(60), **steps)
    lines = [{"actioncode": 3, "qty_order": 1.1}, {"actioncode": 3, "qty_order": 0.1}]

    theirs = await api.post("/api/Invoice", {"client_id": client, "lines": lines})
    anyones = await api.post("/api/Invoice", {"lines": lines})

    hours = [(one["qty_order"], one["unit_price"]) for one in theirs["lines"]]
    assert hours == [(Decimal("1.25"), 60), (Decimal("0.5"), 60)]
    assert (theirs["total"], anyones["total"]) == (105, 140)


async def test_a_price_that_is_said_or_a_type_without_a_rate_leaves_the_hours(api: Api) -> None:
    await a_rate(api, rate=Decimal(80), increment=Decimal(1))
    lines = [
        {"actioncode": 3, "qty_order": 0.3, "unit_price": 10},
        {"actioncode": 4, "qty_order": 0.3},
        {"actioncode": -1, "qty_order": 0.3},
    ]

    made = await api.post("/api/Invoice", {"lines": lines})

    assert [one["qty_order"] for one in made["lines"]] == [Decimal("0.3")] * 3
    assert made["total"] == 3

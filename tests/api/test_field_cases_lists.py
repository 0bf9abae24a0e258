"""B7 of the cases from the field: a client that reckons its pages from what it asked for sees all
rows; NULL sorts alike on both engines; names are read in any case; what is lost is told.
"""

import math
from typing import Any

import pytest
from sqlalchemy import insert

from app.storage.column_types import table_of
from app.storage.tables.invoices import Invoice
from tests.api.client import Api

pytestmark = pytest.mark.anyio

# More than two pages of what HaloAPI for PowerShell asks for.
MANY = 2_345
ASKED = 1_000


async def test_a_client_that_reckons_pages_from_its_own_size_sees_every_invoice(api: Api) -> None:
    async with api.database.transaction() as tx:
        rows = [{"reference": str(one)} for one in range(MANY)]
        await tx.execute(insert(table_of(Invoice)), rows)

    # As HaloAPI does: the first page's record_count over the size that it asked for.
    page: dict[str, Any] = {"pageinate": "true", "page_size": str(ASKED), "order": "id"}
    first = await api.get("/api/Invoice", **page, page_no="1")
    seen = [one["id"] for one in first["invoices"]]
    for number in range(2, math.ceil(first["record_count"] / ASKED) + 1):
        further = await api.get("/api/Invoice", **page, page_no=str(number))
        seen += [one["id"] for one in further["invoices"]]

    assert len(seen) == len(set(seen)) == MANY


@pytest.mark.parametrize(
    "field", ["duedate", "datepaid", "reference", "client_name", "contract_id"]
)
async def test_what_is_not_there_sorts_behind_everything(api: Api, field: str) -> None:
    client = await api.client()
    values = {"duedate": "2026-01-01", "reference": "a", "client_id": client, "contract_id": 1}
    full = await api.invoice(1, **values)
    await api.post("/api/InvoicePayment", {"invoice_id": full["id"], "amount": 1})
    empty = await api.invoice(1)

    rising = await api.get("/api/Invoice", order=field)
    falling = await api.get("/api/Invoice", order=field, orderdesc="true")

    assert [one["id"] for one in rising["invoices"]] == [full["id"], empty["id"]]
    assert [one["id"] for one in falling["invoices"]] == [empty["id"], full["id"]]


async def test_names_of_properties_are_read_in_any_case(api: Api) -> None:
    client = await api.client()
    line = {"Qty_Order": 2, "UNIT_PRICE": 5, "isactive": True, "Comment_1": "kept"}

    made = await api.post(
        "/api/Invoice", {"Client_ID": client, "LINES": [line], "ContactName": "x"}
    )
    changed = await api.post("/api/Invoice", {"ID": made["id"], "Reference": "b"})

    assert (made["client_id"], made["total"], made["contactname"]) == (client, 10, "x")
    shown = made["lines"][0]
    assert (shown["isActive"], shown["comment_1"], "isactive" in shown) == (True, "kept", False)
    assert (changed["id"], changed["reference"], changed["total"]) == (made["id"], "b", 10)
    many = {"LiNeS": [{"unit_price": 1}] * 1001}
    assert (await api.send("POST", "/api/Invoice", json=[many])).status == 400


async def test_a_lost_tax_and_an_invoice_that_nobody_gets_earn_a_warning(api: Api) -> None:
    tax = await api.post("/api/Tax", {"name": "VAT", "value": 20})
    codes = [str(tax["id"]), "4711", "", "0", None]
    lines = [{"unit_price": 1, "tax_code": one} for one in codes]

    made = await api.post("/api/Invoice", {"lines": lines, "take_auto_payment": True})
    right = await api.invoice(
        1, client_id=await api.client(), take_auto_payment=True, duedate="2026-12-01"
    )

    warned = [line.get("_warning", "")[:9] for line in made["lines"]]
    assert warned == ["", "tax_code:", "", "", ""]
    assert made["_warning"].startswith("client_id: it has no client; duedate: ")
    assert "_warning" not in right
    assert "_warning" not in right["lines"][0]
    template = await api.post("/api/RecurringInvoice", {"take_auto_payment": True})
    assert template["_warning"] == "client_id: it has no client"


@pytest.mark.parametrize(("kind", "is_known"), [(-1, False), (0, True), (1, True), (2, True),
                                                (7, False)])  # fmt: skip
async def test_an_invoice_of_a_kind_that_nobody_knows_earns_a_warning(
    api: Api, kind: int, is_known: bool
) -> None:
    made = await api.invoice(10, client_id=await api.client(), invoicetype=kind)

    assert ("_warning" not in made) == is_known
    assert made["amountdue"] == (10 if kind == 0 else 0)

"""Invoices: created, changed, read."""

from decimal import Decimal

import pytest

from tests.api.client import Api

pytestmark = pytest.mark.anyio


async def test_an_invoice_is_created_from_its_lines(api: Api) -> None:
    client_id = await api.client()

    made = await api.invoice("0.10", 20, client_id=client_id, duedate="2026-12-01T10:00:00.000Z")

    assert made["total"] == Decimal("20.1")
    assert made["amountdue"] == Decimal("20.1")
    assert made["paymentstatus"] == 0
    assert made["client_name"] == "Ada Ltd"
    assert made["currency"] == "$"
    assert made["duedate"] == "2026-12-01T00:00:00"
    assert [line["net_amount"] for line in made["lines"]] == [Decimal("0.1"), 20]
    assert made == {**await api.get(f"/api/invoice/{made['id']}")}

"""Values beyond a column, the calendar or JSON are refused by name; stored ones harm nobody."""

from typing import Any

import orjson
import pytest
from sqlalchemy import update

from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.invoices import Invoice
from tests.api.client import Api
from tests.harness import Paydue, event

pytestmark = pytest.mark.anyio

INVOICES = table_of(Invoice)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("Invoice", '[{"typeid": 9223372036854775807}]', None),
        ("Invoice", '[{"typeid": 9223372036854775808}]', "typeid"),
        ("Invoice", '[{"typeid": -9223372036854775808}]', "typeid"),
        ("Invoice", '[{"typeid": 1e20}]', "typeid"),
        ("Invoice", '[{"lines": [{"meter_id": 18446744073709551616}]}]', "lines[0].meter_id"),
        ("RecurringInvoice", '[{"due_date_int": 3660}]', None),
        ("RecurringInvoice", '[{"due_date_int": 3661}]', "due_date_int"),
        ("RecurringInvoice", '[{"due_date_int": -3661}]', "due_date_int"),
        ("RecurringInvoice", '[{"due_date_int": 99999999999}]', "due_date_int"),
    ],
)
async def test_a_number_out_of_bounds_is_refused_by_name(
    api: Api, path: str, body: str, field: str | None
) -> None:
    answer = await api.post_text(f"/api/{path}", body)

    assert answer.status == (201 if field is None else 400), answer.text
    if field is not None:
        assert answer.json["error_description"].startswith(f"{field}: ")


@pytest.mark.parametrize("day", ["9999-12-31", "9999-12-30"])
async def test_the_last_days_of_the_calendar_can_be_asked_for(api: Api, day: str) -> None:
    await api.post("/api/RecurringInvoice", {"nextcreationdate": f"{day}T23:59:59"})

    found = await api.get("/api/RecurringInvoice", billing_date=day)

    assert found["record_count"] == 1


@pytest.mark.parametrize(
    "stored",
    [
        {"due_date_int": 2**31 - 1},
        {"due_date_int": -(2**31)},
        {"due_date_type": 1, "due_date_int": 2**31 - 1},
    ],
)
async def test_a_stored_template_with_an_impossible_term_does_not_stop_its_batch(
    api: Api, database: Database, stored: dict[str, int]
) -> None:
    line = {"lines": [{"qty_order": 1, "unit_price": 10}]}
    bad, good = [(await api.post("/api/RecurringInvoice", line))["id"] for _ in range(2)]
    async with database.transaction() as tx:
        await tx.execute(update(INVOICES).where(INVOICES.c.id == bad).values(stored))

    made = await api.post("/api/RecurringInvoice/process", bad, good)

    assert [one["total"] for one in made] == [10, 10]


@pytest.mark.parametrize("period", range(10))
async def test_a_schedule_that_ends_with_the_calendar_makes_its_last_invoice(
    api: Api, period: int
) -> None:
    templates = [
        {"nextcreationdate": day, "period": period} for day in ("9999-12-31", "2026-01-01")
    ]
    ids = [one["id"] for one in await api.post("/api/RecurringInvoice", *templates)]

    made = await api.post("/api/RecurringInvoice/process", *ids)
    again = await api.post("/api/RecurringInvoice/process", ids[0])

    assert again["id"] == made[0]["id"]


@pytest.mark.parametrize("kept", ["a\0b", {"a": "\0"}, ["\0"], "\0"])
async def test_a_nul_in_a_kept_property_can_be_changed_and_is_audited(api: Api, kept: Any) -> None:
    invoice = await api.post("/api/Invoice", {"customfields": "before"})

    for value in (kept, "after"):
        await api.post("/api/Invoice", {"id": invoice["id"], "customfields": value})
    changes = await api.get("/api/InvoiceChange", invoice_id=invoice["id"])

    audited = [one for one in _records(changes) if one["field_name"] == "customfields"]
    assert "before" in {one.get("old_value") for one in audited}
    assert len(audited) == 2
    assert "\0" not in "".join(one["new_value"] for one in audited)


def _records(found: Any) -> list[dict[str, Any]]:
    return found if isinstance(found, list) else next(
        one for one in found.values() if isinstance(one, list)
    )  # fmt: skip


async def test_a_stored_event_of_any_depth_is_shown_with_its_payment(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    deep = "[" * 300 + "]" * 300
    paid = event("payment_intent.succeeded", await paydue.own_intent(invoice, next_action="deep"))
    body = orjson.dumps(paid).replace(b'"deep"', deep.encode())
    assert await paydue.deliver_body(body) == 200

    headers = await paydue.access()
    async with paydue.http.get("/api/InvoicePayment", headers=headers) as answer:
        shown = await answer.text()

    assert answer.status == 200, shown
    assert shown.count(deep) == 1  # in `webhook_payload`, word for word

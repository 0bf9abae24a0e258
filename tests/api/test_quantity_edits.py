"""Quantities that are edited on a running template count from a day on; prices go up by percent."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.api.client import Api
from tests.clock import Clock

pytestmark = pytest.mark.anyio

TEMPLATE = "/api/RecurringInvoice"
PROCESS = "/api/RecurringInvoice/process"
LINES = "/api/RecurringInvoice/UpdateLines"
TEN = {"qty_order": 10, "unit_price": 10, "item_shortdescription": "Licence"}


async def a_running_template(api: Api, *, line: Any = None, **fields: Any) -> Any:
    """Monthly from the first of November 2026, which is billed; it is the 22nd."""
    values = {"period": 2, "nextcreationdate": "2026-11-01", **fields}
    made = await api.post(TEMPLATE, {**values, "lines": [{**TEN, **(line or {})}]})
    await api.post(PROCESS, made["id"])
    return await api.get(f"{TEMPLATE}/{made['id']}")


async def first_line(api: Api, template: Any) -> Any:
    return (await api.get(f"{TEMPLATE}/{template['id']}"))["lines"][0]


def amounts(invoice: Any) -> list[tuple[str, Any]]:
    return [(one["startdate"][:10], one["net_amount"]) for one in invoice["lines"]]


async def test_an_edited_quantity_is_billed_for_the_days_that_are_left(
    api: Api, clock: Clock
) -> None:
    """Nine of thirty days: R(20 * 30 / 30) - R(20 * 21 / 30) = 20 - 14 = 6."""
    one = await a_running_template(api, line={"prorata_next_invoice": True})

    edited = await api.post(LINES, {"id": one["lines"][0]["id"], "qty_order": 12})
    await later(api, clock, 45)
    december = await api.post(PROCESS, one["id"])
    january = await api.post(PROCESS, one["id"])

    assert edited["qty_order"] == 10
    assert edited["prorata_data"] == [{"date": "2026-11-22T00:00:00", "quantity": 2}]
    assert amounts(december) == [("2026-12-01", 120), ("2026-11-22", 6)]
    assert amounts(january) == [("2027-01-01", 120)]
    assert (await first_line(api, one))["qty_order"] == 12


async def later(api: Api, clock: Clock, days: int) -> None:
    clock.advance(days=days)
    await api.sign_in(*api.credentials)


@pytest.mark.parametrize(
    ("line", "change", "expected"),
    [
        # A day that is said, without the flag; and one that is over.
        ({}, {"qty_order": 12, "createproratadate": "2026-11-16"}, [(2, "2026-11-16")]),
        ({}, {"qty_order": 12, "createproratadate": "2026-12-10"}, [(2, "2026-12-10")]),
        ({}, {"qty_order": 12, "prorata_next_invoice": True}, [(2, "2026-11-22")]),
        ({"prorata_next_invoice": True}, {"qty_order": 7}, [(-3, "2026-11-22")]),
        # HaloPSA's own properties for one entry.
        ({}, {"prorata_quantity": 2, "createproratadate": "2026-11-16"}, [(2, "2026-11-16")]),
        ({}, {"prorata_quantity": 0.5}, [(Decimal("0.5"), "2026-11-22")]),
        # Nothing is asked for.
        ({}, {"qty_order": 12}, None),
        ({"prorata_next_invoice": True}, {"unit_price": 11}, None),
        ({"prorata_next_invoice": True}, {"qty_order": 10}, None),
        ({"prorata_next_invoice": True, "recurring_invoice_quantity_type": 1},
         {"qty_order": 12}, None),
    ],
)  # fmt: skip
async def test_an_entry_is_made_where_it_is_asked_for(
    api: Api, line: Any, change: Any, expected: list[tuple[int, str]] | None
) -> None:
    one = await a_running_template(api, line=line)

    edited = await api.post(LINES, {"id": one["lines"][0]["id"], **change})

    found = [(each["quantity"], each["date"][:10]) for each in edited.get("prorata_data", ())]
    assert found == (expected or [])
    assert edited["qty_order"] == (change.get("qty_order", 10) if expected is None else 10)
    assert "createproratadate" not in edited
    assert "prorata_quantity" not in edited


async def test_what_an_entry_says_of_itself_is_on_its_line(api: Api, clock: Clock) -> None:
    one = await a_running_template(api)
    asked = {
        "prorata_quantity": 3, "prorata_unit_price": 30, "createproratadate": "2026-12-31",
        "prorata_shortdescription": "Three for new year", "prorata_longdescription": "One day",
    }  # fmt: skip

    await api.post(LINES, {"id": one["lines"][0]["id"], **asked})
    await later(api, clock, 15)
    december = await api.post(PROCESS, one["id"])

    share = december["lines"][1]
    told = (share["item_shortdescription"], share["item_longdescription"], share["net_amount"])
    assert told == ("Three for new year", "One day", Decimal("2.90"))


async def test_edits_of_a_day_are_one_entry_and_those_that_cancel_are_none(api: Api) -> None:
    one = await a_running_template(api, line={"prorata_next_invoice": True})
    line = one["lines"][0]["id"]

    first = await api.post(LINES, {"id": line, "qty_order": 12})
    second = await api.post(LINES, {"id": line, "qty_order": 13})
    shown = await api.get(f"{TEMPLATE}/{one['id']}")
    await api.post(TEMPLATE, {"id": one["id"], "lines": [{"id": line, "qty_order": 10}]})
    back = await first_line(api, one)
    cancelled = await api.post(LINES, {"id": line, "prorata_quantity": -3})

    assert [each["quantity"] for each in first["prorata_data"]] == [2]
    assert [each["quantity"] for each in second["prorata_data"]] == [3]
    assert back["prorata_data"] == shown["lines"][0]["prorata_data"]
    assert cancelled.get("prorata_data", []) == []


async def test_a_line_that_comes_within_a_period_is_billed_from_its_day(
    api: Api, clock: Clock
) -> None:
    one = await a_running_template(api)
    new = {"unit_price": 30, "qty_order": 1, "createproratadate": "2026-11-16"}

    await api.post("/api/RecurringInvoice/Lines", {**new, "ihid": one["id"]})
    await later(api, clock, 15)
    december = await api.post(PROCESS, one["id"])

    assert amounts(december) == [("2026-12-01", 100), ("2026-12-01", 30), ("2026-11-16", 15)]


async def test_before_its_first_invoice_a_quantity_simply_changes(api: Api) -> None:
    values = {"period": 2, "nextcreationdate": "2026-12-01"}
    one = await api.post(TEMPLATE, {**values, "lines": [{**TEN, "prorata_next_invoice": True}]})

    edited = await api.post(LINES, {"id": one["lines"][0]["id"], "qty_order": 12})

    assert (edited["qty_order"], edited.get("prorata_data", [])) == (12, [])


async def test_the_day_of_an_edit_is_the_clients(api: Api, clock: Clock) -> None:
    """At 22:30 in London it is the 23rd in Auckland, whose midnight was at 11:00 UTC."""
    client = await api.client(timezone="Pacific/Auckland")
    start = "2026-10-31T11:00:00"
    one = await a_running_template(
        api, client_id=client, nextcreationdate=start, line={"prorata_next_invoice": True}
    )
    clock.advance(hours=13)
    await api.sign_in(*api.credentials)

    edited = await api.post(LINES, {"id": one["lines"][0]["id"], "qty_order": 12})

    assert edited["prorata_data"] == [{"date": "2026-11-22T11:00:00", "quantity": 2}]


async def test_ten_edits_at_once_to_one_quantity_make_one_entry(api: Api) -> None:
    one = await a_running_template(api, line={"prorata_next_invoice": True})
    edit = {"id": one["lines"][0]["id"], "qty_order": 12}

    await asyncio.gather(*(api.post(LINES, edit) for _ in range(10)))

    entries = (await first_line(api, one))["prorata_data"]
    assert [each["quantity"] for each in entries] == [2]


# --- price increases ---------------------------------------------------------------------------

YEARLY = {"percent_increase": 5, "auto_increase_period": 3}


async def bill(api: Api, template: Any, times: int) -> list[Any]:
    return [await api.post(PROCESS, template["id"]) for _ in range(times)]


async def test_a_price_goes_up_once_a_year(api: Api) -> None:
    line = {"qty_order": 1, "unit_price": 9.99, "startdate": "2024-02-01", **YEARLY}
    values = {"period": 2, "nextcreationdate": "2026-01-01", "lines": [line]}
    one = await api.post(TEMPLATE, values)

    made = await bill(api, one, 3)

    prices = [invoice["lines"][0]["unit_price"] for invoice in made]
    assert prices == [Decimal("9.99"), Decimal("10.49"), Decimal("10.49")]
    shown = await first_line(api, one)
    assert shown["unit_price"] == Decimal("10.49")
    assert shown["auto_increase_last_date"] == "2026-02-01T00:00:00"
    changes = await api.get("/api/InvoiceChange", invoice_id=one["id"])
    told = [(each["old_value"], each["new_value"]) for each in changes
            if each["field_name"] == "unit_price"]  # fmt: skip
    assert told == [("9.99", "10.49")]


async def test_the_templates_own_increase_counts_where_a_line_has_none(api: Api) -> None:
    lines: list[dict[str, Any]] = [
        {"unit_price": 100}, {"unit_price": 100, "exclude_auto_increase": True},
        {"unit_price": 100, **YEARLY}, {"unit_price": 100, "use_rpi_increase": True},
        {"unit_price": 100, "auto_increase_last_date": "2026-05-01"},
        {"unit_price": 100, "onetimecharge": True},
    ]  # fmt: skip
    increase = {"invoice_percent_increase": 3.5, "invoice_auto_increase_period": 3}
    dates = {"period": 2, "nextcreationdate": "2026-02-01", "startdate": "2025-02-01"}
    one = await api.post(TEMPLATE, {**increase, **dates, "lines": lines})

    (february,) = await bill(api, one, 1)

    prices = [each["unit_price"] for each in february["lines"]]
    assert prices == [Decimal("103.5"), 100, 105, 100, 100, 100]


async def test_a_deleted_invoice_is_made_again_at_the_raised_price(api: Api) -> None:
    line = {"unit_price": 100, "auto_increase_last_date": "2025-10-01", **YEARLY}
    one = await api.post(TEMPLATE, {"period": 2, "nextcreationdate": "2026-10-01", "lines": [line]})

    (wrong,) = await bill(api, one, 1)
    await api.send("DELETE", f"/api/Invoice/{wrong['id']}")
    again, november = await bill(api, one, 2)

    assert [each["total"] for each in (wrong, again, november)] == [105, 105, 105]


async def test_an_older_period_is_made_again_at_the_price_before_the_increases(api: Api) -> None:
    line = {"unit_price": 100, "auto_increase_last_date": "2024-10-01", **YEARLY}
    one = await api.post(TEMPLATE, {"period": 2, "nextcreationdate": "2025-09-01", "lines": [line]})
    made = await bill(api, one, 14)  # until October 2026, with two increases

    await api.send("DELETE", f"/api/Invoice/{made[0]['id']}")
    (again,) = await bill(api, one, 1)

    shown = [(each["period_start_date"][:10], each["total"]) for each in (made[0], again, made[-1])]
    assert shown == [("2025-09-01", 100), ("2025-09-01", 100), ("2026-10-01", Decimal("110.25"))]
    assert "auto_increase_prices_before" not in again["lines"][0]


async def test_days_added_later_have_the_price_of_their_time(api: Api) -> None:
    line = {**TEN, "auto_increase_last_date": "2025-10-01", **YEARLY}
    one = await api.post(TEMPLATE, {"period": 2, "nextcreationdate": "2026-09-01", "lines": [line]})
    await bill(api, one, 2)
    entry = {"quantity": 2, "date": "2026-09-16"}
    await api.post(LINES, {"id": one["lines"][0]["id"], "prorata_data": [entry]})

    (november,) = await bill(api, one, 1)

    assert amounts(november) == [("2026-11-01", 126), ("2026-09-16", 10), ("2026-10-01", 21)]


async def test_days_before_an_increase_have_the_price_before_it(api: Api) -> None:
    """Two from the 16th of September: half of 20 at the old price, then twelve at the new one."""
    line = {**TEN, "auto_increase_last_date": "2025-10-01", **YEARLY}
    one = await api.post(TEMPLATE, {"period": 2, "nextcreationdate": "2026-09-01", "lines": [line]})
    await bill(api, one, 1)
    entry = {"quantity": 2, "date": "2026-09-16"}
    await api.post(LINES, {"id": one["lines"][0]["id"], "prorata_data": [entry]})

    (october,) = await bill(api, one, 1)

    assert amounts(october) == [("2026-10-01", 126), ("2026-09-16", 10)]


async def test_a_further_invoice_raises_nothing(api: Api) -> None:
    line = {"unit_price": 100, "auto_increase_last_date": "2025-10-01", **YEARLY}
    one = await api.post(TEMPLATE, {"period": 2, "nextcreationdate": "2026-10-01", "lines": [line]})

    answer = await api.send("POST", f"{PROCESS}?force_creation=true", json=[one["id"]])
    (october,) = await bill(api, one, 1)

    assert (answer.json["total"], october["total"]) == (100, 105)

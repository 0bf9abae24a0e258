"""B1, B2, B4 to B6, B9 and B15 of the cases from the field: the periods that templates bill."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from tests.api.client import Api
from tests.clock import Clock

pytestmark = pytest.mark.anyio

PROCESS = "/api/RecurringInvoice/process"
TEMPLATE = "/api/RecurringInvoice"


async def template(api: Api, *prices: Any, **values: Any) -> Any:
    lines = [{"unit_price": price} for price in prices or (10,)]
    return await api.post(TEMPLATE, {"period": 2, "lines": lines, **values})


async def next_date(api: Api, one: Mapping[str, Any]) -> str:
    found: str = (await api.get(f"{TEMPLATE}/{one['id']}"))["nextcreationdate"]
    return found


async def count(api: Api, one: Mapping[str, Any]) -> int:
    found = await api.get("/api/Invoice", recurringinvoice_id=str(one["id"]))
    return int(found["record_count"])


async def test_the_31st_comes_back_after_a_shorter_month(api: Api, clock: Clock) -> None:
    """B6. Missed periods are made one by one, each with its own dates."""
    one = await template(api, nextcreationdate="2026-01-31T00:00:00")
    dates, periods = [], []
    for _ in range(4):
        made = await api.post(PROCESS, one["id"])
        periods.append((made["period_start_date"][:10], made["period_end_date"][:10]))
        dates.append((await next_date(api, one))[:10])

    assert dates == ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]
    assert periods[:2] == [("2026-01-31", "2026-02-27"), ("2026-02-28", "2026-03-30")]
    # Whole records are posted back: the day is kept, for nobody has said another.
    shown = await api.get(f"{TEMPLATE}/{one['id']}")
    await api.post(TEMPLATE, shown)
    await api.post(PROCESS, one["id"])
    assert (await next_date(api, one))[:10] == "2026-06-30"
    await api.post(TEMPLATE, {"id": one["id"], "nextcreationdate": "2026-06-28"})
    await api.post(PROCESS, one["id"])
    assert (await next_date(api, one))[:10] == "2026-07-28"


# The client's zone, its local midnight of the first of three months as instants of UTC.
@pytest.mark.parametrize(
    ("timezone", "instants"),
    [
        ("Europe/London", ("2026-03-01T00:00", "2026-03-31T23:00", "2026-04-30T23:00")),
        ("Europe/Berlin", ("2026-09-30T22:00", "2026-10-31T23:00", "2026-11-30T23:00")),
        ("America/New_York", ("2026-03-01T05:00", "2026-04-01T04:00", "2026-05-01T04:00")),
        ("Australia/Sydney", ("2026-08-31T14:00", "2026-09-30T14:00", "2026-10-31T13:00")),
        ("Asia/Kolkata", ("2026-07-31T18:30", "2026-08-31T18:30", "2026-09-30T18:30")),
    ],
)
async def test_local_midnights_stay_local_midnights_when_the_clocks_change(
    api: Api, timezone: str, instants: tuple[str, ...]
) -> None:
    client = await api.client(timezone=timezone)
    one = await template(api, client_id=client, nextcreationdate=instants[0])

    first = await api.post(PROCESS, one["id"])
    second = await next_date(api, one)
    await api.post(PROCESS, one["id"])

    assert [second[:16], (await next_date(api, one))[:16]] == list(instants[1:])
    assert first["lines"][0]["startdate"][:16] == instants[0]


async def test_a_period_begins_with_the_clients_day(api: Api, clock: Clock) -> None:
    """Half past nine of UTC is the 22nd in Berlin and still the 21st on Midway."""
    first = await api.post(
        PROCESS, (await template(api, nextcreationdate="2026-10-21T00:00:00"))["id"]
    )
    assert first["lines"]
    for timezone, created in (("Europe/Berlin", 2), ("Pacific/Midway", 1)):
        client = await api.client(timezone=timezone)
        one = await template(api, client_id=client, nextcreationdate="2026-10-22T12:00:00")
        await api.post(PROCESS, one["id"])
        await api.post(PROCESS, one["id"])
        assert await count(api, one) == created


async def test_a_template_bills_nothing_after_its_end_or_before_its_start(api: Api) -> None:
    """B2: the period counts, not the day of the run."""
    ended = await template(
        api, nextcreationdate="2026-10-01", enddate="2026-10-31", startdate="2026-01-01"
    )
    later = await template(api, nextcreationdate="2026-01-01", startdate="2027-01-01")

    made = await api.post(PROCESS, ended["id"])
    again = await api.post(PROCESS, ended["id"])
    over = await template(api, nextcreationdate="2026-11-01", enddate="2026-10-31")
    refused = await api.send("POST", PROCESS, json=[over["id"]])
    early = await api.post(PROCESS, later["id"])

    assert made["period_start_date"] == "2026-10-01T00:00:00"
    assert again["id"] == made["id"]
    assert await count(api, ended) == 1
    assert (refused.status, "has ended" in refused.json["Message"]) == (400, True)
    assert early["period_start_date"] == "2027-01-01T00:00:00"


async def test_a_monthly_template_without_a_next_date_is_billed_once_a_month(
    api: Api, clock: Clock
) -> None:
    """B4: without any date, and with HaloPSA's dates inside `schedule`."""
    schedule = {
        "id": 150, "period": 2, "nextcreationdate": "2026-11-01T00:00:00", "dom": 1,
        "end_date": "2099-12-31T00:00:00", "startdate": "1899-12-30T00:00:00",
    }  # fmt: skip
    bare = await template(api)
    inside = await api.post(TEMPLATE, {"schedule": schedule, "lines": [{"unit_price": 10}]})

    for one in (bare, inside):
        first = await api.post(PROCESS, one["id"])
        clock.advance(days=1)
        await api.sign_in(*api.credentials)
        assert (await api.post(PROCESS, one["id"]))["id"] == first["id"]
        assert await count(api, one) == 1
    assert await next_date(api, bare) == "2026-12-22T00:00:00"
    shown = await api.get(f"{TEMPLATE}/{inside['id']}")
    assert shown["period"] == 2
    assert shown["nextcreationdate"] == "2026-12-01T00:00:00"
    assert shown["schedule"]["nextcreationdate"] == "2026-12-01T00:00:00"
    assert (shown["schedule"]["dom"], shown["enddate"][:4]) == (1, "2099")
    # A whole record that comes back late says nothing; one that says a date, in either place, does.
    await api.post(TEMPLATE, {"id": inside["id"], "schedule": {**schedule, "period": 4}})
    assert (await api.get(f"{TEMPLATE}/{inside['id']}"))["period"] == 4
    wrong = {"schedule": {"nextcreationdate": "soon"}}
    answer = await api.send("POST", TEMPLATE, json=[wrong])
    assert answer.json["Message"].startswith("schedule.nextcreationdate: ")


async def test_a_deleted_invoice_is_made_again_with_its_one_time_charge(api: Api) -> None:
    """B5."""
    one = await template(api, nextcreationdate="2026-09-01")
    await api.post("/api/RecurringInvoice/Lines", {
        "ihid": one["id"], "unit_price": 5, "onetimecharge": True,
        "prorata_data": [{"quantity": 1, "date": "2026-09-16", "unitprice": 30}],
    })  # fmt: skip
    wrong = await api.post(PROCESS, one["id"])
    october = await api.post(PROCESS, one["id"])

    await api.send("DELETE", f"/api/Invoice/{wrong['id']}")
    again = await api.post(PROCESS, one["id"])
    november = await api.post(PROCESS, one["id"])

    starts = [each["period_start_date"][:7] for each in (wrong, october, again, november)]
    assert starts == ["2026-09", "2026-10", "2026-09", "2026-11"]
    assert [each["total"] for each in (wrong, october, again, november)] == [30, 10, 30, 10]
    assert await next_date(api, one) == "2026-12-01T00:00:00"
    assert await count(api, one) == 3


async def test_a_date_that_is_set_back_bills_no_period_twice(api: Api) -> None:
    """B9."""
    one = await template(api, nextcreationdate="2026-10-01")
    await api.post(PROCESS, one["id"])
    newest = await api.post(PROCESS, one["id"])
    for back in ("2026-10-01", "2026-11-01"):
        await api.post(TEMPLATE, {"id": one["id"], "nextcreationdate": back})
        assert (await api.post(PROCESS, one["id"]))["id"] == newest["id"]
        assert await next_date(api, one) == "2026-12-01T00:00:00"
    assert await count(api, one) == 2


async def test_a_date_that_is_set_back_to_a_clipped_day_keeps_the_series(api: Api) -> None:
    """The 28th of February belongs to the 31sts: no 28th of March is billed beside the 31st."""
    client = await api.client(timezone="Australia/Sydney")
    one = await template(api, client_id=client, nextcreationdate="2026-01-30T13:00:00")
    for _ in range(3):
        newest = await api.post(PROCESS, one["id"])
    await api.post(TEMPLATE, {"id": one["id"], "nextcreationdate": "2026-02-27T13:00:00"})

    april = await api.post(PROCESS, one["id"])

    assert newest["period_start_date"] == "2026-03-30T13:00:00"
    assert april["period_start_date"] == "2026-04-29T14:00:00"
    assert await next_date(api, one) == "2026-05-30T14:00:00"


async def test_a_template_that_cannot_be_billed_stops_no_other(api: Api) -> None:
    """B9: each other one gets its invoice, and the bad one's place says why."""
    good = await template(api, nextcreationdate="2026-11-01")
    last = await template(api, nextcreationdate="9999-12-31", period=3)
    off = await template(api, disabled=True)
    large = await template(api, 999_999_999, 999_999_999)
    await api.post(TEMPLATE, {"id": large["id"], "currency_conversion_rate": 1})

    answer = await api.send("POST", PROCESS, json=[good["id"], off["id"], -4711, last["id"]])

    assert answer.status == 200
    made, disabled, unknown, end = answer.json
    assert (made["id"] > 0, end["id"] > 0) == (True, True)
    assert (disabled["id"], disabled["recurring_invoice_id"]) == (0, off["id"])
    assert "disabled" in disabled["_warning"]
    assert "-4711" in unknown["_warning"]
    assert (await api.post(PROCESS, last["id"]))["id"] == end["id"]
    assert (await api.send("POST", PROCESS, json=[off["id"], -4711])).status == 200


async def test_a_pro_rata_entry_is_billed_by_its_days_and_the_quantity_follows(api: Api) -> None:
    """B15: HaloPSA's own example, ten licences and two more from the 16th of March."""
    entry = {"quantity": 2, "date": "2026-03-16", "shortdescription": "two more"}
    line = {
        "unit_price": 10,
        "qty_order": 10,
        "prorata_data": [entry, {**entry, "date": "2027-01-01"}],
    }
    one = await api.post(TEMPLATE, {"period": 2, "nextcreationdate": "2026-03-01", "lines": [line]})

    march = await api.post(PROCESS, one["id"])
    april = await api.post(PROCESS, one["id"])

    assert [each["net_amount"] for each in march["lines"]] == [100, Decimal("10.32")]
    share = march["lines"][1]
    assert (share["item_shortdescription"], share["startdate"][:10]) == ("two more", "2026-03-16")
    assert share["enddate"][:10] == "2026-03-31"
    assert [each["net_amount"] for each in april["lines"]] == [120]
    shown = (await api.get(f"{TEMPLATE}/{one['id']}"))["lines"][0]
    assert shown["qty_order"] == 12
    assert [each["date"] for each in shown["prorata_data"]] == ["2027-01-01T00:00:00"]
    rows = await api.get("/api/InvoiceDetailProRata")
    assert sorted(each.get("invoiceheaderid", 0) for each in rows) == [0, march["id"]]
    await api.send("DELETE", f"/api/Invoice/{march['id']}")
    shown = (await api.get(f"{TEMPLATE}/{one['id']}"))["lines"][0]
    assert (shown["qty_order"], len(shown["prorata_data"])) == (10, 2)


async def test_days_before_a_period_are_billed_with_it(api: Api) -> None:
    """An entry that comes after its period was billed: the rest of that, and what follows."""
    one = await template(api, 10, nextcreationdate="2026-10-01")
    await api.post(PROCESS, one["id"])
    line = {"id": one["lines"][0]["id"], "prorata_data": [{"quantity": 1, "date": "2026-10-22"}]}
    await api.post("/api/RecurringInvoice/UpdateLines", line)

    november = await api.post(PROCESS, one["id"])

    assert [each["net_amount"] for each in november["lines"]] == [20, Decimal("3.23")]
    assert november["lines"][1]["startdate"][:10] == "2026-10-22"
    assert november["lines"][1]["enddate"][:10] == "2026-10-31"

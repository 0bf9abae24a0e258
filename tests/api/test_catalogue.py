"""The small resources: written, read, changed in part, filtered, deleted, refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from app.cli.import_file import import_records
from app.settings import Settings
from tests.api.client import Answer, Api
from tests.clock import Clock

pytestmark = pytest.mark.anyio


async def _ids(api: Api, path: str, **params: Any) -> list[int]:
    return [one["id"] for one in await api.get(path, **params)]


async def _imported(api: Api, **lists: list[dict[str, Any]]) -> None:
    await import_records(api.database, Settings(_env_file=None), orjson.dumps(lists))


# --- cost centres and budget types -----------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "whole", "part"),
    [
        (
            "/api/CostCentres",
            {"name": "North", "chargeable": True, "addr1": "1 High St", "addr2": "b", "addr3": "c",
             "addr4": "d", "_warning": "w"},
            {"chargeable": False},
        ),
        (
            "/api/BudgetType",
            {"name": "Labour", "defaultrate": Decimal("80.5"), "chargerate": 3, "ticket_id": 7,
             "_warning": "w"},
            {"defaultrate": Decimal("0.000001")},
        ),
    ],
)  # fmt: skip
async def test_a_small_record_is_written_read_changed_and_deleted(
    api: Api, path: str, whole: dict[str, Any], part: dict[str, Any]
) -> None:
    given = {name: str(one) if isinstance(one, Decimal) else one for name, one in whole.items()}
    made = await api.post(path, given)
    assert made == {"id": made["id"], **whole}

    said = {name: str(one) if isinstance(one, Decimal) else one for name, one in part.items()}
    changed = await api.post(path, {"id": made["id"], **said})

    assert changed == {**made, **part}
    assert await api.get(f"{path}/{made['id']}", includedetails="true") == changed
    assert await api.get(path) == [changed]
    gone = await api.send("DELETE", f"{path.lower()}/{made['id']}/")
    assert (gone.status, gone.json) == (200, {"id": made["id"]})
    assert (await api.send("GET", f"{path}/{made['id']}")).status == 404
    assert (await api.send("DELETE", f"{path}/{made['id']}")).status == 404
    assert (await api.send("DELETE", f"{path}/none")).status == 404


@pytest.mark.parametrize("path", ["/api/CostCentres", "/api/BudgetType"])
async def test_many_small_records_are_answered_as_an_array(api: Api, path: str) -> None:
    made = await api.post(path, {"name": "b"}, {"name": "a"}, {"name": "c"})

    ids = [one["id"] for one in made]
    assert await _ids(api, path, order="name") == [ids[1], ids[0], ids[2]]
    assert await _ids(api, path, order="name", orderdesc="true", count=1) == [ids[2]]
    assert await api.get(path, idonly="true", pageinate="true", page_size=2, page_no=2) == [
        {"id": ids[2]}
    ]


@pytest.mark.parametrize("path", ["/api/CostCentres", "/api/BudgetType"])
async def test_a_small_record_needs_a_name(api: Api, path: str) -> None:
    answer = await api.send("POST", path, json=[{"name": ""}])

    assert answer.status == 400
    assert answer.json["Message"] == "name: is required"


async def test_budget_types_are_found_by_their_ticket(api: Api) -> None:
    mine, _ = await api.post(
        "/api/BudgetType", {"name": "a", "ticket_id": 7}, {"name": "b", "ticket_id": 8}
    )

    assert await _ids(api, "/api/BudgetType", ticket_id=7) == [mine["id"]]


# --- charge rates: they are imported, and read -----------------------------------------------


async def test_charge_rates_are_imported_and_read(api: Api) -> None:
    client = await api.client()
    whole = {
        "area": client, "contract_id": 4, "charge_id": 5, "rate": 80, "mileage_rate": 0.45,
        "org": 2, "minimum": 0.25, "increment": 0.25, "oohmultiplier": 1.5,
        "holidaymultiplier": 2, "weekendmultiplier": 1.75, "surcharge": True, "round": 1,
        "useagentworkinghours": True, "use_budget_rate": False, "use_for_travel": False,
        "use_for_mileage": False, "travel_surchargeid": 6, "contractmultiplier": 1,
        "rateoverride": 75.5, "override_surcharge": True, "tree_id": 1, "ticket_id": 2,
        "agents": [{"id": 1, "name": "Ada"}], "agentslist": "1", "_warning": "w",
        "startdate": "2026-01-01T00:00:00", "expirydate": "2999-01-01T00:00:00",
    }  # fmt: skip

    await _imported(api, ChargeRate=[whole])

    rate = (await _ids(api, "/api/ChargeRate"))[0]
    shown = await api.get(f"/api/ChargeRate/{rate}", includedetails="true")
    exact = orjson.loads(orjson.dumps(whole))
    computed = {"id": rate, "current": True, "current_rate": 75.5}
    assert {name: _plain(one) for name, one in shown.items()} == exact | computed


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


async def test_charge_rates_are_filtered(api: Api) -> None:
    client, other = await api.client(), await api.client()
    past = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    future = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    await _imported(
        api,
        ChargeRate=[
            {"rate": 1, "expirydate": past},
            {"rate": 2, "startdate": past, "expirydate": future},
            {"rate": 3, "startdate": future},
            {"rate": 4, "area": client},
            {"rate": 5, "area": other, "contract_id": 9},
            {"rate": 6, "contract_id": 9},
        ],
    )

    async def found(**params: Any) -> list[int]:
        return [int(one["rate"]) for one in await api.get("/api/ChargeRate", **params)]

    fourth = (await _ids(api, "/api/ChargeRate"))[3]
    assert await found() == [1, 2, 3, 4, 5, 6]
    assert await found(chargerate_id=fourth) == [4]
    assert await found(client_id=client) == [4]
    assert await found(contract_id=9) == [5, 6]
    assert await found(currentonly="true") == [2, 4, 5, 6]
    assert await found(globalonly="true") == [1, 2, 3]
    assert await found(globalonly="True", currentonly="True") == [2]
    assert await found(currentonly="false") == [1, 2, 3, 4, 5, 6]
    everything = await api.get("/api/ChargeRate")
    assert [one["current"] for one in everything] == [False, True, False, True, True, True]


async def test_agents_of_a_charge_rate_are_details(api: Api) -> None:
    await _imported(api, ChargeRate=[{"rate": 1, "agents": [{"id": 1, "name": "Ada"}]}])
    rate = (await _ids(api, "/api/ChargeRate"))[0]

    plain = await api.get(f"/api/ChargeRate/{rate}")
    detailed = await api.get(f"/api/ChargeRate/{rate}", includedetails="true")

    assert (plain["area"], "agents" in plain) == (0, False)
    assert detailed == {**plain, "agents": [{"id": 1, "name": "Ada"}]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/ChargeRate"),
        ("DELETE", "/api/ChargeRate/1"),
        ("GET", "/api/Expense/1"),
        ("DELETE", "/api/Expense/1"),
        ("GET", "/api/InvoiceChange/1"),
        ("DELETE", "/api/InvoiceChange/1"),
    ],
)
async def test_what_is_not_published_is_not_there(api: Api, method: str, path: str) -> None:
    answer = await api.send(method, path, json=[])

    assert answer.status in (404, 405)
    assert answer.json["error"] == "http_error"


# --- expenses and lookups --------------------------------------------------------------------


async def test_an_expense_keeps_all_it_was_given(api: Api) -> None:
    client, payer = await api.client(name="Ada"), await api.client(name="Bo")
    site = (await api.post("/api/Site", {"name": "HQ", "client_id": client}))["id"]
    invoice = (await api.invoice(1))["id"]
    travel = (await api.get("/api/lookup", lookupid=35))[0]
    whole = {
        "agent_id": 1, "fault_id": 2, "actionnumber": 3, "description": "Taxi", "amount": 12,
        "lookup_id": travel["id"], "date_added": "2026-01-01T10:00:00",
        "date_reimbursed": "2026-01-02T00:00:00", "date_invoiced": "2026-01-03T00:00:00",
        "invoiceable": True, "ihid": invoice, "client_id": client, "site_id": site,
        "client_to_invoice_to_id": payer, "reviewed": True, "reviewed_agent_id": 4,
        "can_review": True, "customfields": [{"id": 9, "value": "x"}], "_warning": "w",
    }  # fmt: skip

    made = await api.post("/api/Expense", whole)

    read_only = {"id": made["id"], "client_name": "Ada", "type_name": travel["name"]}
    assert made == {**whole, **read_only}
    assert await api.get("/api/Expense") == [made]


async def test_an_expense_is_dated_when_it_is_recorded(api: Api, clock: Clock) -> None:
    first, second = await api.post("/api/Expense", {"amount": "0.01"}, {"description": "b"})

    assert first["date_added"] == second["date_added"] == "2026-11-22T09:30:00"
    assert (first["amount"], second["amount"]) == (Decimal("0.01"), 0)
    assert await _ids(api, "/api/Expense", order="amount") == [second["id"], first["id"]]


@pytest.mark.parametrize("name", ["client_id", "site_id", "ihid", "client_to_invoice_to_id"])
async def test_an_expense_of_nobody_we_know_is_refused(api: Api, name: str) -> None:
    answer = await api.send("POST", "/api/Expense", json=[{name: 4711}])

    assert answer.status == 400
    assert answer.json["Message"] == f"{name}: 4711 does not exist"


@pytest.mark.parametrize("number", [11, 17, 35])
async def test_a_lookup_holds_its_own_entries_only(api: Api, number: int) -> None:
    found = await api.get("/api/lookup", lookupid=number)

    assert found != []
    assert {one["lookupid"] for one in found} == {number}
    assert all(one["name"] for one in found)


async def test_an_unknown_lookup_is_empty(api: Api) -> None:
    assert await api.get("/api/Lookup", lookupid=4711) == []


# --- sites, and clients as HaloPSA's clients send them ---------------------------------------


async def test_a_site_is_written_read_changed_and_deleted(api: Api) -> None:
    client = await api.client(name="Ada")

    made = await api.post("/api/Site", {"name": "HQ", "client_id": client, "colour": "#fff"})
    changed = await api.post("/api/Site", {"id": made["id"], "phonenumber": "1", "colour": "#000"})

    assert (made["client_name"], made["colour"], made["inactive"]) == ("Ada", "#fff", False)
    assert changed == {**made, "phonenumber": "1", "colour": "#000"}
    assert await api.get(f"/api/Site/{made['id']}") == changed
    assert await api.get("/api/Site") == {"record_count": 1, "sites": [changed]}
    assert (await api.send("DELETE", f"/api/Site/{made['id']}")).json == {"id": made["id"]}
    assert await api.get("/api/Site") == {"record_count": 0, "sites": []}


async def test_sites_are_filtered(api: Api) -> None:
    ada, bo = await api.client(), await api.client()
    await api.post(
        "/api/Site",
        {"name": "North", "client_id": ada},
        {"name": "South", "client_id": bo, "phonenumber": "0800"},
        {"name": "Old north", "client_id": bo, "inactive": True},
    )

    async def found(**params: Any) -> list[str]:
        return [one["name"] for one in (await api.get("/api/Site", **params))["sites"]]

    assert await found(client_id=bo) == ["South", "Old north"]
    assert await found(client_id=bo, includeinactive="false") == ["South"]
    assert await found(includeactive="False") == ["Old north"]
    assert await found(includeinactive="undefined", search="NORTH") == ["North", "Old north"]
    assert await found(search="0800") == ["South"]


@pytest.mark.parametrize("given", [{"name": "a"}, {"name": "a", "client_id": 4711}])
async def test_a_site_belongs_to_a_client(api: Api, given: dict[str, Any]) -> None:
    answer = await api.send("POST", "/api/Site", json=given)

    assert answer.status == 400
    assert answer.json["Message"].startswith("client_id:")


async def test_a_client_keeps_every_property_it_was_given(api: Api) -> None:
    theirs = {
        "customertype": 3, "main_site_id": 1, "colour": "#9b0000", "taxable": True,
        "customfields": [{"name": "CFx", "value": 1}], "pritech": 0.5, "accountsid": "ADA",
    }  # fmt: skip
    made = await api.post("/api/Client", {"name": "Ada", **theirs})

    changed = await api.post("/api/Client", {"id": made["id"], "colour": None, "pritech": 2})

    assert {name: _plain(made[name]) for name in theirs} == theirs
    kept = {name: one for name, one in made.items() if name != "colour"}
    assert changed == {**kept, "pritech": 2}


async def test_a_client_cannot_write_what_is_ours(api: Api) -> None:
    ours = {"stripe_saved_method_id": "pm_1", "date_created": "2020-01-01", "extra": {"a": 1}}

    made = await api.post("/api/Client", {"name": "Ada", **ours, "naïve": 1, "\ud800": 2})

    assert made == {
        "id": made["id"], "name": "Ada", "inactive": False,
        "date_created": "2026-11-22T09:30:00", "last_modified": "2026-11-22T09:30:00",
    }  # fmt: skip


# --- what hangs on a record keeps it ---------------------------------------------------------


async def test_a_client_that_others_name_cannot_be_deleted(api: Api) -> None:
    async def said(client: int) -> tuple[int, str]:
        answer = await api.send("DELETE", f"/api/Client/{client}")
        return answer.status, answer.json.get("Message", "")

    invoiced, housed, free = await api.client(), await api.client(), await api.client()
    invoice = (await api.invoice(1, client_id=invoiced))["id"]
    site = (await api.post("/api/Site", {"name": "HQ", "client_id": housed}))["id"]

    assert await said(invoiced) == (
        400,
        f"Client {invoiced} cannot be deleted: invoice {invoice} has it as client_id",
    )
    assert await said(housed) == (
        400,
        f"Client {housed} cannot be deleted: site {site} has it as client_id",
    )
    assert await said(free) == (200, "")
    await api.send("DELETE", f"/api/Site/{site}")
    assert await said(housed) == (200, "")
    left = (await api.get("/api/Client"))["clients"]
    assert [one["id"] for one in left] == [invoiced]


async def test_a_site_with_expenses_cannot_be_deleted(api: Api) -> None:
    site = (await api.post("/api/Site", {"name": "HQ", "client_id": await api.client()}))["id"]
    await api.post("/api/Expense", {"site_id": site})

    answer = await api.send("DELETE", f"/api/Site/{site}")

    assert answer.status == 400
    assert "expense" in answer.json["Message"]


async def test_a_currency_goes_unless_it_is_used_or_ours(api: Api) -> None:
    codes = {one["code"]: one["id"] for one in await api.get("/api/Currency")}
    await api.invoice(1, currency_code=codes["EUR"])
    await api.client(currency_code=codes["GBP"])

    async def said(code: str) -> tuple[int, str]:
        answer = await api.send("DELETE", f"/api/Currency/{codes[code]}")
        return answer.status, answer.json.get("Message", "")

    for code, why in [("EUR", "invoice"), ("GBP", "client"), ("USD", "PAYDUE_CURRENCY")]:
        status, message = await said(code)
        assert status == 400
        assert why in message
    assert await said("SEK") == (200, "")
    assert await said("SEK") == (404, f"Currency {codes['SEK']} does not exist")
    left = {one["code"] for one in await api.get("/api/Currency")}
    assert {"EUR", "GBP", "USD"} < left
    assert "SEK" not in left


async def test_a_currencys_history_is_a_detail(api: Api) -> None:
    await api.post("/api/Currency", {"id": 2, "conversion_rate": "1.1"})

    plain = await api.get("/api/Currency/2")
    detailed = await api.get("/api/Currency/2", includedetails="true")

    assert "history" not in plain
    assert [one["rate"] for one in detailed["history"]] == [1]


# --- changes of invoices ---------------------------------------------------------------------


async def test_a_change_is_written_down_as_it_is_told(api: Api) -> None:
    invoice = (await api.invoice(1))["id"]
    whole = {
        "invoice_id": invoice, "field_id": 3, "field_name": "reference", "old_value": "a",
        "new_value": "b", "who": "Ada", "datetime": "2026-01-01T10:00:00", "invoice_line_id": 4,
        "invoice_detail_quantity_id": 5, "invoice_detail_prorata_id": 6, "type_id": 7,
        "_warning": "w",
    }  # fmt: skip

    told = await api.post("/api/InvoiceChange", whole)

    really = {"access_id": told["access_id"], "written_at": "2026-11-22T09:30:00"}
    assert told == {"id": told["id"], **whole, **really}
    assert told["access_id"]
    assert told in await api.get("/api/InvoiceChange")


async def test_a_change_that_says_no_more_is_the_callers_and_now(api: Api) -> None:
    invoice = (await api.invoice(1))["id"]

    told = await api.post("/api/InvoiceChange", {"invoice_id": invoice, "field_name": "x"})

    assert (told["who"], told["datetime"]) == ("tests", "2026-11-22T09:30:00")
    assert (told["type_id"], told["field_id"]) == (0, 0)


async def test_changes_are_filtered(api: Api) -> None:
    made = await api.invoice(1)
    invoice, line = made["id"], made["lines"][0]["id"]
    other = (await api.invoice(1))["id"]
    await api.post("/api/Invoice", {"id": invoice, "reference": "Contract 66%"})
    await api.post("/api/Invoice/", {"id": invoice, "lines": [{"id": line, "qty_order": 3}]})
    await api.post("/api/InvoiceChange", {"invoice_id": other, "type_id": 5, "field_name": "own"})

    async def found(**params: Any) -> list[tuple[int, str]]:
        changes = await api.get("/api/InvoiceChange", **params)
        return [(one["invoice_id"], one["field_name"]) for one in changes]

    everything = await found()
    assert {one for one in everything if one[0] == other} == set(await found(invoice_id=other))
    assert (invoice, "reference") in await found(invoice_id=invoice)
    assert await found(line_id=line) == [(invoice, "qty_order")]
    assert await found(type_id=5) == [(other, "own")]
    assert await found(search="contract 66%") == [(invoice, "reference")]
    assert await found(search="OWN", invoice_id=invoice) == []
    newest = await found(order="id", orderdesc="true", pageinate="true", page_size=1)
    assert newest == [(other, "own")]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"field_name": "x"}, "invoice_id"),
        ({"invoice_id": 4711}, "invoice_id"),
        ({"invoice_id": 1, "datetime": "noon"}, "datetime"),
        ({"id": 1, "new_value": "forged"}, "id"),
    ],
)
async def test_a_change_that_cannot_be_meant_is_refused_by_name(
    api: Api, given: dict[str, Any], named: str
) -> None:
    invoice = (await api.invoice(1))["id"]
    before = await api.get("/api/InvoiceChange", invoice_id=invoice)

    answer = await api.send("POST", "/api/InvoiceChange", json=[given])

    assert answer.status == 400
    assert answer.json["Message"].startswith(f"{named}:")
    assert await api.get("/api/InvoiceChange") == before


# --- what is deleted while others use it -----------------------------------------------------


# The delete comes a request later in each round, until it comes too late: a handful of rounds.
ROUNDS_MAX = 60
LINES = [{"unit_price": 1}]


async def test_a_client_is_either_deleted_or_invoiced(api: Api) -> None:
    seen: set[int] = set()
    for turn in range(ROUNDS_MAX):
        client = await api.client()
        body = [{"client_id": client, "lines": LINES}]

        deleted, *created = await asyncio.gather(
            deleted_late(api, f"/api/Client/{client}", turn),
            *(api.send("POST", "/api/Invoice", json=body) for _ in range(8)),
        )

        outcomes = {one.status for one in created}
        assert outcomes <= {201, 400}
        assert deleted.status == (400 if 201 in outcomes else 200), deleted.text
        seen.add(deleted.status)
        if seen == {200, 400}:
            break
    assert seen == {200, 400}, "one side won each time: this was no race"


async def test_a_rate_is_either_deleted_or_part_of_a_composite(api: Api) -> None:
    seen: set[int] = set()
    for turn in range(ROUNDS_MAX):
        rate = (await api.post("/api/Tax", {"name": "a", "value": 1}))["id"]
        body = [{"name": "both", "linked_rates": [{"id": rate}]}]

        deleted, *created = await asyncio.gather(
            deleted_late(api, f"/api/Tax/{rate}", turn),
            *(api.send("POST", "/api/Tax", json=body) for _ in range(5)),
        )

        outcomes = {one.status for one in created}
        assert outcomes <= {200, 400}
        assert deleted.status == (400 if 200 in outcomes else 200), deleted.text
        seen.add(deleted.status)
        if seen == {200, 400}:
            break
    assert seen == {200, 400}, "one side won each time: this was no race"


async def test_a_rate_that_is_deleted_taxes_no_line(api: Api) -> None:
    seen: set[int] = set()
    for turn in range(ROUNDS_MAX):
        rate = (await api.post("/api/Tax", {"name": "a", "value": 10}))["id"]
        body = [{"lines": [{"unit_price": 1, "tax_code": str(rate)}]}]

        deleted, *created = await asyncio.gather(
            deleted_late(api, f"/api/Tax/{rate}", turn),
            *(api.send("POST", "/api/Invoice", json=body) for _ in range(5)),
        )

        taxed = [one.json["tax_total"] for one in created if one.json["tax_total"]]
        assert {one.status for one in created} == {201}
        assert deleted.status == (400 if taxed else 200), deleted.text
        seen.add(deleted.status)
        if seen == {200, 400}:
            break
    assert seen == {200, 400}, "one side won each time: this was no race"


async def deleted_late(api: Api, path: str, requests_before: int) -> Answer:
    for _ in range(requests_before):
        await api.get("/api/CostCentres")
    return await api.send("DELETE", path)


async def test_ten_who_delete_the_same_record_delete_it_once(api: Api) -> None:
    made = (await api.post("/api/CostCentres", {"name": "a"}))["id"]

    answers = await asyncio.gather(
        *(api.send("DELETE", f"/api/CostCentres/{made}") for _ in range(10))
    )

    assert sorted(one.status for one in answers) == [200, *[404] * 9]


async def test_an_invoice_with_an_expense_cannot_be_deleted(api: Api) -> None:
    invoice = (await api.invoice(1))["id"]
    expense = (await api.post("/api/Expense", {"ihid": invoice}))["id"]

    answer = await api.send("DELETE", f"/api/Invoice/{invoice}")

    assert answer.status == 400
    assert f"expense {expense}" in answer.json["Message"]
    assert (await api.get(f"/api/Invoice/{invoice}"))["total"] == 1


# --- pro rata rows ---------------------------------------------------------------------------


async def test_pro_rata_rows_of_lines_are_listed(api: Api) -> None:
    client = await api.client(name="Ada")
    row = {
        "date": "2026-03-16T00:00:00", "quantity": 2, "unitprice": 9.99, "unitcost": 1,
        "shortdescription": "Licences", "longdescription": "2 of 12", "site_id": 3,
        "prorata_next_invoice": True, "user_id": 4, "isinvoiced": False, "_warning": "w",
    }  # fmt: skip
    made = await api.invoice(1, 2, client_id=client)
    line = made["lines"][0]["id"]
    assert await api.get("/api/InvoiceDetailProRata") == []

    await api.post("/api/Invoice/updatelines", {"id": line, "prorata_data": [row, {"quantity": 1}]})

    found = await api.get("/api/InvoiceDetailProRata")
    whose = {
        "invoicedetailid": line, "invoice_id": made["id"], "client_id": client,
        "client_name": "Ada",
    }  # fmt: skip
    first, second = ({name: _plain(one) for name, one in each.items()} for each in found)
    assert first == {**row, **whose, "id": first["id"]}
    assert second == {**whose, "quantity": 1, "id": second["id"]}


async def test_pro_rata_rows_follow_their_line(api: Api) -> None:
    line = {"unit_price": 1, "prorata_data": [{"quantity": 1}, {"quantity": 2}]}
    made = await api.post("/api/Invoice", {"lines": [line, {"unit_price": 2}]})
    first, second = (one["id"] for one in made["lines"])

    async def listed() -> list[int]:
        return [int(one["quantity"]) for one in await api.get("/api/InvoiceDetailProRata")]

    assert await listed() == [1, 2]
    await api.post("/api/Invoice/updatelines", {"id": first, "qty_order": 5})
    assert await listed() == [1, 2]
    await api.post("/api/Invoice/updatelines", {"id": first, "prorata_data": [{"quantity": 3}]})
    assert await listed() == [3]
    await api.post("/api/Invoice", {"id": made["id"], "lines": [{"id": second}]})
    assert await listed() == []


async def test_a_pro_rata_row_that_cannot_be_meant_is_refused_by_name(api: Api) -> None:
    for wrong in ({"date": "soon"}, {"quantity": "many"}):
        line = {"unit_price": 1, "prorata_data": [wrong]}
        answer = await api.send("POST", "/api/Invoice", json={"lines": [line]})

        assert answer.status == 400
        assert answer.json["Message"].startswith(f"lines[0].prorata_data[0].{next(iter(wrong))}:")
    line = {"unit_price": 1, "prorata_data": 3}
    answer = await api.send("POST", "/api/Invoice", json={"lines": [line]})
    assert answer.json["Message"] == "lines[0].prorata_data: is not an array of objects"

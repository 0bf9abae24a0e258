"""The twenty things that break an otherwise careful implementation, each by its number.

The numbers are those of the list by which this API was built: what clients of HaloPSA's invoice
API are known to rely on, though hardly any of it is published.
"""

import re
from datetime import datetime
from typing import Any

import pytest

from tests.api.client import Answer, Api
from tests.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture
def api(service: Service) -> Api:
    return service.api


async def template(api: Api, **values: Any) -> Any:
    lines = [{"item_shortdescription": "x", "qty_order": 2, "unit_price": 5}]
    return await api.post("/api/RecurringInvoice", {"lines": lines, "period": 2, **values})


async def listed(api: Api, **params: Any) -> list[int]:
    return [one["id"] for one in (await api.get("/api/Invoice", **params))["invoices"]]


async def test_trap_01_templates_share_the_id_space_with_negative_ids(api: Api) -> None:
    made, invoice = await template(api), await api.invoice(10)

    processed = await api.send("POST", "/api/RecurringInvoice/process", json=[made["id"]])

    assert made["id"] < 0 < invoice["id"]
    assert made["is_recurring_invoice"] is True
    assert processed.status == 200, processed.text
    assert processed.json["id"] > 0
    assert processed.json["recurring_invoice_id"] == made["id"]
    assert processed.json["is_recurring_invoice"] is False
    assert (await api.send("GET", f"/api/Invoice/{made['id']}")).status == 404
    assert (await api.send("GET", f"/api/RecurringInvoice/{invoice['id']}")).status == 404
    assert made["id"] not in await listed(api, count="1000")


async def test_trap_02_a_list_of_templates_is_called_invoices(api: Api) -> None:
    made = await template(api, client_id=await api.client())

    shown = await api.get("/api/RecurringInvoice", client_id=str(made["client_id"]))

    assert shown.keys() == {"record_count", "invoices"}
    assert [one["id"] for one in shown["invoices"]] == [made["id"]]


async def test_trap_03_without_pageinate_there_are_no_pages(api: Api) -> None:
    client_id = await api.client()
    await api.post("/api/Invoice", *[{"client_id": client_id}] * 3)
    asked = {"client_id": str(client_id), "page_size": "2", "page_no": "2"}

    whole = await api.get("/api/Invoice", **asked)
    paged = await api.get("/api/Invoice", **asked, pageinate="true")

    assert (len(whole["invoices"]), "page_no" in whole) == (3, False)
    assert (len(paged["invoices"]), paged["page_no"], paged["page_size"]) == (1, 2, 2)


async def test_trap_04_an_array_of_one_is_answered_with_one_object_and_201(api: Api) -> None:
    one = await api.send("POST", "/api/Invoice", json=[{"reference": "a"}])
    two = await api.send("POST", "/api/Invoice", json=[{"reference": "a"}, {"reference": "b"}])

    assert (one.status, two.status) == (201, 201)
    assert one.json["reference"] == "a"
    assert [each["reference"] for each in two.json] == ["a", "b"]


async def test_trap_05_what_is_not_named_stays_but_lines_are_the_whole_list(api: Api) -> None:
    made = await api.invoice(10, 20, reference="a", notes_1="n")
    first = made["lines"][0]["id"]

    renamed = await api.post("/api/Invoice", {"id": made["id"], "reference": "b"})
    shorter = await api.post("/api/Invoice", {"id": made["id"], "lines": [{"id": first}]})

    assert (renamed["reference"], renamed["notes_1"], renamed["total"]) == ("b", "n", 30)
    assert renamed["lines"] == made["lines"]
    assert ([one["id"] for one in shorter["lines"]], shorter["total"]) == ([first], 10)


async def test_trap_06_nothing_is_null_and_what_is_missing_has_a_sentinel(api: Api) -> None:
    made = await api.invoice(10)

    shown = await api.get(f"/api/Invoice/{made['id']}", includedetails="true")

    assert None not in [*shown.values(), *shown["lines"][0].values()]
    assert "duedate" not in shown
    assert shown["datepaid"] == shown["datesent"] == "1899-12-30T00:00:00"
    assert (shown["salesorder_id"], shown["contract_id"]) == (-2, 0)


async def test_trap_07_dates_are_utc_without_a_zone_and_come_in_with_one(api: Api) -> None:
    made = await api.post(
        "/api/Invoice",
        {"invoice_date": "2026-01-31T22:30:00.000Z", "datesent": "2026-02-01T00:00:00.25+02:00"},
    )

    assert made["invoice_date"] == "2026-01-31T22:30:00"
    assert made["datesent"] == "2026-01-31T22:00:00.250000"
    dates = [one for one in made.values() if re.match(r"\d{4}-\d\d-\d\dT", str(one))]
    assert len(dates) > 5
    for one in dates:
        assert datetime.fromisoformat(one).tzinfo is None


async def test_trap_08_a_currency_code_is_an_id_and_a_tax_code_text(api: Api) -> None:
    euro = (await api.get("/api/Currency", search="EUR"))[0]["id"]

    made = await api.post(
        "/api/Invoice", {"currency_code": euro, "lines": [{"unit_price": 1, "tax_code": 5}]}
    )

    assert (made["currency_code"], made["currency"]) == (euro, "€")
    assert type(made["currency_code"]) is int
    assert made["lines"][0]["tax_code"] == "5"


@pytest.mark.parametrize(
    "path", ["/api/invoice/{}", "/API/Invoice/{}", "/api/INVOICE/{}/", "/api/Invoice/{}"]
)
async def test_trap_09_paths_are_found_in_any_case(api: Api, path: str) -> None:
    made = await api.invoice(10)

    assert (await api.get(path.format(made["id"])))["id"] == made["id"]


async def test_trap_09_actions_are_found_in_any_case(api: Api) -> None:
    made = await template(api)
    change = [{"id": made["lines"][0]["id"], "ihid": made["id"], "qty_order": 3}]

    for path in ("UpdateLines", "updatelines", "UPDATELINES/"):
        answer = await api.send("POST", f"/api/RecurringInvoice/{path}", json=change)

        assert answer.status == 200, answer.text


@pytest.mark.parametrize("said", ["true", "True", "1"])
async def test_trap_10_yes_is_written_in_many_ways(api: Api, said: str) -> None:
    client_id = await api.client()
    posted = await api.invoice(10, posted=True, client_id=client_id)
    await api.invoice(10, client_id=client_id)

    assert await listed(api, client_id=str(client_id), postedonly=said) == [posted["id"]]


@pytest.mark.parametrize("said", ["false", "False", "0", "undefined", ""])
async def test_trap_10_no_and_nothing_are_written_in_many_ways(api: Api, said: str) -> None:
    client_id = await api.client()
    both = [(await api.invoice(10, posted=one, client_id=client_id))["id"] for one in (True, False)]
    asked = {"client_id": str(client_id), "postedonly": said, "includeinactive": "undefined"}

    assert await listed(api, **asked, count="true") == both


async def test_trap_11_invoice_dates_that_are_published_as_booleans_are_dates(api: Api) -> None:
    client_id = await api.client()
    early, late = [
        (await api.invoice(1, client_id=client_id, invoice_date=f"2026-0{month}-01"))["id"]
        for month in (1, 6)
    ]
    asked = {"client_id": str(client_id)}

    since = await listed(api, **asked, invoicedatestart="2026-01-04T07:55:24.050Z")
    until = await listed(api, **asked, invoicedateend="2026-01-04T23:00:00.000Z")
    booleans = await listed(api, **asked, invoicedatestart="true", invoicedateend="false")

    assert (since, until, booleans) == ([late], [early], [early, late])


async def test_trap_12_unpaid_is_0_and_minus_1(api: Api) -> None:
    client_id = await api.client()
    empty = await api.post("/api/Invoice", {"client_id": client_id})
    unpaid, paid = [await api.invoice(10, client_id=client_id) for _ in range(2)]
    await api.post("/api/InvoicePayment", {"invoice_id": paid["id"], "amount": 10})
    asked = {"client_id": str(client_id), "paymentstatuses": "0,-1"}

    assert await listed(api, **asked) == [empty["id"], unpaid["id"]]


async def successes(api: Api) -> list[tuple[str, Answer]]:
    """Everything that has nothing to say, and must say something all the same."""
    invoice, spare, voided = [await api.invoice(10) for _ in range(3)]
    recurring = await template(api)
    gone = await template(api)
    line = {"id": invoice["lines"][0]["id"], "ihid": invoice["id"], "qty_order": 2}
    template_line = {"id": recurring["lines"][0]["id"], "ihid": recurring["id"]}
    paid = await api.post("/api/InvoicePayment", {"invoice_id": invoice["id"], "amount": 1})
    view = {"id": invoice["id"], "current_action_type": 1}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/api/Invoice/updatelines", [line]),
        ("POST", "/api/RecurringInvoice/updatelines", [{**template_line, "qty_order": 2}]),
        ("POST", "/api/RecurringInvoice/Lines", [{"ihid": recurring["id"], "unit_price": 1}]),
        ("POST", "/api/RecurringInvoice/process", [recurring["id"]]),
        ("POST", "/api/Invoice/View", [view]),
        ("POST", f"/api/Invoice/{voided['id']}/void", {}),
        ("DELETE", f"/api/InvoicePayment/{paid['id']}", None),
        ("DELETE", f"/api/Invoice/{spare['id']}", None),
        ("DELETE", f"/api/RecurringInvoice/{gone['id']}", None),
    ]
    return [
        (f"{method} {path}", await api.send(method, path, json=body))
        for method, path, body in calls
    ]


async def test_trap_13_every_success_has_a_body_of_json(api: Api) -> None:
    for call, answer in await successes(api):
        assert answer.status == 200, (call, answer.text)
        assert answer.json, call
        if call.startswith("DELETE"):
            assert answer.json["id"] == int(call.rsplit("/", 1)[1])


async def test_trap_13_a_void_takes_no_body_at_all(api: Api) -> None:
    made = await api.invoice(10)

    answer = await api.send("POST", f"/api/Invoice/{made['id']}/void")

    assert (answer.status, answer.json["voided"]) == (200, True)


async def test_trap_14_whoever_is_not_let_in_reads_why_in_json(api: Api) -> None:
    token = await api.token(grant_type="client_credentials", client_id="x", client_secret="y")
    none = await api.send("GET", "/api/Invoice", headers={})
    wrong = await api.send("GET", "/api/Invoice", headers={"Authorization": "Bearer nonsense"})

    for answer in (token, none, wrong):
        assert answer.status == 401
        assert answer.json["error"]
        assert answer.json["error_description"]
    assert token.json["error"] == "invalid_client"


async def test_trap_15_a_token_says_how_long_it_lasts_and_is_bought_again(service: Service) -> None:
    client_id, secret = service.credentials
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}

    first, second = [(await service.api.token(**form)).json for _ in range(2)]

    assert first["expires_in"] == second["expires_in"] == 3600
    assert type(first["expires_in"]) is int
    for one in (first, second):
        headers = {"Authorization": f"{one['token_type']} {one['access_token']}"}
        assert (await service.api.send("GET", "/api/Invoice", headers=headers)).status == 200


async def test_trap_16_the_most_used_client_finds_what_it_asks_first(service: Service) -> None:
    info = await service.api.send("GET", "/api/authinfo", headers={})
    found = await service.api.get("/api/lookup", lookupid="11")

    assert info.status == 200
    assert info.json["auth_url"] == f"{service.url}/auth"
    assert "tenant_id" in info.json
    assert isinstance(found, list)
    assert found


async def test_trap_17_past_the_last_page_the_count_is_zero(api: Api) -> None:
    client_id = await api.client()
    await api.post("/api/Invoice", *[{"client_id": client_id}] * 3)
    asked = {"client_id": str(client_id), "pageinate": "true", "page_size": "2"}

    pages = [await api.get("/api/Invoice", **asked, page_no=str(one)) for one in (1, 2, 3)]

    assert [one["record_count"] for one in pages] == [3, 3, 0]
    assert pages[2]["invoices"] == []


async def test_trap_18_names_nobody_knows_are_ignored(api: Api) -> None:
    client_id = await api.client()
    made = await api.invoice(10, client_id=client_id, nonsense={"a": 1}, orderby="id")
    asked = {"client_id": str(client_id), "orderby": "x", "orderbydesc": "y", "nonsense": "z"}

    assert await listed(api, **asked, count="100", pageinate="True") == [made["id"]]
    assert "nonsense" not in made


@pytest.mark.parametrize("path", ["UpdateLines", "updatelines", "Lines", "process"])
async def test_trap_19_a_get_of_an_action_is_no_id_and_no_crash(api: Api, path: str) -> None:
    answer = await api.send(
        "GET", f"/api/RecurringInvoice/{path}?id=999999&ihid=-999999&qty_order=3"
    )

    assert answer.status in (400, 404, 405)
    assert answer.json["error"]


async def test_trap_20_invoices_stand_in_a_single_record_only_when_asked_for(api: Api) -> None:
    recurring, invoice = await template(api), await api.invoice(10)
    await api.send("POST", "/api/RecurringInvoice/process", json=[recurring["id"]])

    plain = await api.get(f"/api/RecurringInvoice/{recurring['id']}")
    detailed = await api.get(f"/api/RecurringInvoice/{recurring['id']}", includedetails="true")

    assert "invoices" not in plain
    assert [one["recurring_invoice_id"] for one in detailed["invoices"]] == [recurring["id"]]
    assert "invoices" not in await api.get(f"/api/Invoice/{invoice['id']}", includedetails="true")

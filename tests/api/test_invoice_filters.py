"""Every parameter of the invoices' list: which rows it lets in."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from app.storage.tables.clients import Client
from app.storage.tables.credentials import ApiCredential
from tests.api.client import Api
from tests.api.test_lists import ids
from tests.service import Service

pytestmark = pytest.mark.anyio


async def seen(api: Api, mine: Sequence[dict[str, Any]], **params: str) -> list[int]:
    """Those of a test's own invoices that the list shows, in its order."""
    own = {one["id"] for one in mine}
    return [one for one in await ids(api, **params) if one in own]


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"sitenumber": 7}, {"site_id": "7"}),
        ({"uid": 7}, {"user_id": "7"}),
        ({"contract_id": 7}, {"contract_id": "7"}),
        ({"contract_id": 7}, {"rinvoice_type": "contracts"}),
        ({"ticket_id": 7}, {"ticket_id": "7"}),
        ({"salesorder_id": 7}, {"salesorder_id": "7"}),
        ({"purchaseorder_id": 7}, {"purchaseorder_id": "7"}),
        ({"recurring_invoice_id": -7}, {"recurringinvoice_id": "-7"}),
        ({"lines": [{"unit_price": 1}, {"asset_id": 7}]}, {"asset_id": "7"}),
        ({"billingcategory": 7}, {"billingcategory_ids": "7,8"}),
        ({"thirdpartyinvoicenumber": "T7"}, {"third_party_id": "T7"}),
        ({"xeroid": "x-7"}, {"xero_id": "x-7"}),
        ({"qboid": 7}, {"quickbooks_id": "7"}),
        ({"approval_status": 1}, {"awaiting_approval": "true"}),
        ({"approval_status": 3}, {"quote_status": "2,3"}),
        ({"reviewrequired": True}, {"reviewrequired": "true"}),
        ({"datesent": "2026-01-01"}, {"sent_status": "1"}),
        ({"currency_code": 2}, {"currency_code": "2"}),
        ({"invoice_date": "2026-02-03T23:59:59.999Z"}, {"billing_date": "2026-02-03"}),
        ({"startdate": "2026-02-03"},
         {"datesearch": "schedulestartdate", "start_date": "2026-02-03", "end_date": "2026-02-03"}),
        ({"enddate": "2026-02-03"},
         {"datesearch": "scheduleenddate", "startdate": "2026-02-03", "enddate": "2026-02-03"}),
        ({"invoicetype": 1}, {"includeinvoices": "false"}),
    ],
)  # fmt: skip
async def test_a_parameter_lets_in_what_it_says(
    service: Service, fields: dict[str, Any], params: dict[str, str]
) -> None:
    made = await service.api.post("/api/Invoice", {}, fields, {})

    assert await seen(service.api, made, **params) == [made[1]["id"]]


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"contract_id": 7}, {"rinvoice_type": "invoices"}),
        ({"salesorder_id": 7}, {"salesorder_id": "-2"}),
        ({"datesent": "2026-01-01"}, {"sent_status": "0"}),
        ({"invoicetype": 1}, {"includecredits": "false"}),
        ({"invoicetype": 2}, {"includepoinvoices": "false"}),
        ({"posted": True}, {"ready_for_invoicing": "true"}),
        ({"datesent": "2026-01-01"}, {"ready_for_invoicing": "true"}),
        ({"reviewrequired": True}, {"ready_for_invoicing": "true"}),
        ({"approval_status": 1}, {"ready_for_invoicing": "true"}),
        ({"approval_status": 3}, {"ready_for_invoicing": "true"}),
    ],
)
async def test_a_parameter_keeps_out_what_it_says(
    service: Service, fields: dict[str, Any], params: dict[str, str]
) -> None:
    made = await service.api.post("/api/Invoice", {}, fields)

    assert await seen(service.api, made, **params) == [made[0]["id"]]


@pytest.mark.parametrize(
    "params",
    [
        {"rinvoice_type": "both"}, {"contract_id": "0"}, {"site_id": "-1"}, {"asset_id": "0"},
        {"includecredits": "true"}, {"includeinvoices": "undefined"}, {"reviewrequired": "false"},
        {"advanced_search": "[]"}, {"showcounts": "true"}, {"includeinactive": "undefined"},
    ],
)  # fmt: skip
async def test_a_parameter_that_asks_for_nothing_lets_everything_in(
    service: Service, params: dict[str, str]
) -> None:
    made = await service.api.post("/api/Invoice", {}, {"contract_id": 7, "invoicetype": 1})

    assert await seen(service.api, made, **params) == [one["id"] for one in made]


async def test_invoices_of_clients_below_a_toplevel_are_found(api: Api) -> None:
    below, above = await api.client(), await api.client()
    async with api.database.transaction() as tx:
        await tx.execute(update(Client).where(Client.id == below).values(toplevel_id=7))
    wanted = await api.invoice(1, client_id=below)
    await api.invoice(1, client_id=above)

    assert await ids(api, toplevel_id="7") == [wanted["id"]]


async def test_my_approvals_are_the_callers_own(api: Api) -> None:
    async with api.database.snapshot() as tx:
        me = await tx.scalar(select(ApiCredential.id))
    mine = await api.invoice(1, approval_status=1, approvalagentid=me)
    await api.invoice(1, approval_status=1, approvalagentid=4711)
    await api.invoice(1, approval_status=2, approvalagentid=me)

    assert await ids(api, my_approvals="true") == [mine["id"]]
    assert await ids(api, my_approvals="true", _caller="4711") == [mine["id"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [("reference", "NEEDLE"), ("invoicenumber", "needle"), ("client_name", "needle"),
     ("contactname", "eedl"), ("thirdpartyinvoicenumber", "needle"), ("CONTRACT_REF", "needle")],
)  # fmt: skip
async def test_advanced_search_contains(api: Api, name: str, value: str) -> None:
    field = name.lower()
    client = await api.client(name="a needle here" if field == "client_name" else "hay")
    fields = {} if field == "client_name" else {field: "a Needle here"}
    wanted = await api.invoice(1, client_id=client, **fields)
    await api.invoice(1, customfields=[{"value": "nul \0 in what is kept"}], contactname="hay")
    condition = {"filter_name": name, "filter_type": 4, "filter_value": value}

    found = await ids(api, advanced_search=json.dumps([condition]))

    assert found == [wanted["id"]]


async def test_all_conditions_of_an_advanced_search_must_hold(api: Api) -> None:
    both = await api.invoice(1, reference="abc 50%", contactname="Ada")
    await api.invoice(1, reference="abc 50%")
    conditions = [
        {"filter_name": "reference", "filter_type": 4, "filter_value": "50%"},
        {"filter_name": "contactname", "filter_type": "4", "filter_value": "ada"},
    ]

    assert await ids(api, advanced_search=json.dumps(conditions)) == [both["id"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("advanced_search", "{"),
        ("advanced_search", "7"),
        ("advanced_search", "[7]"),
        ("advanced_search", '[{"filter_name":"colour","filter_type":4,"filter_value":"x"}]'),
        ("advanced_search", '[{"filter_name":"total","filter_type":4,"filter_value":"1"}]'),
        ("advanced_search", '[{"filter_name":"reference","filter_type":9,"filter_value":"x"}]'),
        ("advanced_search", '[{"filter_name":"reference","filter_type":4}]'),
        ("advanced_search", '[{"filter_name":"reference","filter_value":"\\u0000"}]'),
        ("advanced_search", "[" * 5000),
        ("asset_id", "x"), ("awaiting_approval", "x"), ("billing_date", "soon"),
        ("billingcategory_ids", "1,x"), ("contract_id", "x"), ("includecredits", "x"),
        ("my_approvals", "x"), ("quote_status", "x"), ("rinvoice_type", "x"),
        ("sent_status", "7"), ("toplevel_id", "x"), ("quickbooks_id", "x"), ("site_id", "1.5"),
        ("xero_id", "x" * 300),
    ],
)  # fmt: skip
async def test_a_value_that_cannot_be_meant_is_refused_by_name(
    service: Service, name: str, value: str
) -> None:
    answer = await service.api.send("GET", "/api/Invoice", params={name: value})

    assert answer.status == 400
    assert answer.json["Message"].startswith(name)


async def test_a_list_of_one_client_says_how_that_client_pays(api: Api) -> None:
    card = {
        "stripe_customer_id": "cus_1",
        "stripe_payment_method_id": "pm_1",
        "stripe_payment_method_name": "visa 4242",
    }
    paying, other = await api.client(**card), await api.client()
    await api.invoice(1, client_id=paying)

    listed = await api.get("/api/Invoice", client_id=str(paying))
    of_other = await api.get("/api/Invoice", client_id=str(other))
    of_all = await api.get("/api/Invoice")

    assert {name: listed[name] for name in card} == card
    assert of_other.keys() == of_all.keys() == {"record_count", "invoices"}


async def test_a_credit_note_says_what_was_used_of_it(api: Api) -> None:
    note = await api.invoice(-30, invoicetype=1)
    invoice = await api.invoice(20)
    used = {"invoice_id": invoice["id"], "amount": 12, "credit_note_id": note["id"]}
    await api.post("/api/InvoicePayment", used)

    shown = await api.get(f"/api/Invoice/{note['id']}")
    listed = (await api.get("/api/Invoice", ids=str(note["id"])))["invoices"][0]

    for one in (shown, listed):
        told = (one["credit_total"], one["credit_used"], one["credit_outstanding"])
        assert told == (30, 12, 18)
    assert (await api.get(f"/api/Invoice/{invoice['id']}"))["credit_total"] == 0


async def test_only_plain_invoices_owe_something(api: Api) -> None:
    made = [await api.invoice(10, invoicetype=kind) for kind in (0, 1, 2)]
    turned = await api.post("/api/Invoice", {"id": made[0]["id"], "invoicetype": 1})
    back = await api.post("/api/Invoice", {"id": made[1]["id"], "invoicetype": 0})

    assert [one["amountdue"] for one in made] == [10, 0, 0]
    assert (turned["amountdue"], back["amountdue"]) == (0, 10)

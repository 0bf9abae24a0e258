"""What each parameter of the lists of invoices and of templates keeps, and what it drops."""

import json
from typing import Any

from tests.published import ordering
from tests.published.scene import Check, Scene

Values = dict[str, Any]

# Of each parameter: what is asked, a record that is shown, and one that is not.
NARROWING: dict[str, tuple[str, Values, Values]] = {
    "asset_id": ("7", {"lines": [{"asset_id": 7}]}, {"lines": [{"asset_id": 8}]}),
    "billingcategory_ids": ("3,4", {"billingcategory": 3}, {"billingcategory": 5}),
    "contract_id": ("7", {"contract_id": 7}, {"contract_id": 8}),
    "invoicedateend": (
        "2026-03-01T10:00:00Z",
        {"invoice_date": "2026-03-01T09:00:00"},
        {"invoice_date": "2026-03-01T11:00:00"},
    ),
    "invoicedatestart": (
        "2026-03-01T10:00:00Z",
        {"invoice_date": "2026-03-01T11:00:00"},
        {"invoice_date": "2026-03-01T09:00:00"},
    ),
    "notpostedonly": ("true", {}, {"posted": True}),
    "postedonly": ("true", {"posted": True}, {}),
    "purchaseorder_id": ("7", {"purchaseorder_id": 7}, {"purchaseorder_id": 8}),
    "quickbooks_id": ("7", {"qboid": 7}, {"qboid": 8}),
    "quote_status": ("1,3", {"approval_status": 3}, {"approval_status": 2}),
    "reviewrequired": ("true", {"reviewrequired": True}, {"reviewrequired": False}),
    "sent_status": ("1", {"datesent": "2026-03-01"}, {}),
    "site_id": ("7", {"sitenumber": 7}, {"sitenumber": 8}),
    "awaiting_approval": ("true", {"approval_status": 1}, {"approval_status": 2}),
    "salesorder_id": ("7", {"salesorder_id": 7}, {"salesorder_id": 8}),
    "third_party_id": (
        "X-7", {"thirdpartyinvoicenumber": "X-7"}, {"thirdpartyinvoicenumber": "X-8"},
    ),
    "ticket_id": ("7", {"ticket_id": 7}, {"ticket_id": 8}),
    "user_id": ("7", {"uid": 7}, {"uid": 8}),
    "xero_id": ("abc", {"xeroid": "abc"}, {"xeroid": "abd"}),
}  # fmt: skip

FIELDS = dict.fromkeys(("reference", "notes_1", "notes_2", "notes_3", "internal_note"), str)


async def _of_one_client(scene: Scene) -> Values:
    return {"client_id": await scene.api.client()}


def _narrowing(name: str) -> Check:
    asked, kept, dropped = NARROWING[name]

    async def check(scene: Scene) -> None:
        shown, _ = await scene.make(**kept), await scene.make(**dropped)
        await scene.keeps([shown], **{name: asked})

    return check


async def _client_id(scene: Scene) -> None:
    ada, zed = [await scene.api.client() for _ in range(2)]
    shown, _ = await scene.make(client_id=ada), await scene.make(client_id=zed)
    await scene.keeps([shown], client_id=str(ada))


async def _client_ids(scene: Scene) -> None:
    clients = [await scene.api.client() for _ in range(3)]
    one, two, _ = [await scene.make(client_id=client) for client in clients]
    await scene.keeps([one, two], client_ids=f"{clients[0]},{clients[1]}")


async def _advanced_search(scene: Scene) -> None:
    shown = await scene.make(reference="PO 4711 / north")
    await scene.make(reference="PO 4712 / north")
    await scene.make(notes_1="4711")
    condition = {"filter_name": "reference", "filter_type": 4, "filter_value": "4711"}
    await scene.keeps([shown], advanced_search=json.dumps([condition]))


async def _search(scene: Scene) -> None:
    client_id = await scene.api.client(name="Quokka & Sons")
    found = [
        await scene.make(**values)
        for values in (
            {"reference": "the quokka order"},
            {"invoicenumber": "QUOKKA-1"},
            {"thirdpartyinvoicenumber": "x-quokka"},
            {"order_number": "quokka 2"},
            {"cust_order_number": "quokka 3"},
            {"client_id": client_id},
        )
    ]
    await scene.make(reference="the wombat order")
    await scene.keeps(found, search="quokka")


async def _lines(scene: Scene) -> None:
    await scene.make(lines=[{"unit_price": 5}])
    [without] = await scene.records()
    [shown] = await scene.records(includelines="true")
    assert "lines" not in without
    assert [one["unit_price"] for one in shown["lines"]] == [5]


async def _linked_items(scene: Scene) -> None:
    await scene.make(lines=[{"linked_item": {"id": 3, "name": "Cable"}}])
    [without] = await scene.records(includelines="true")
    [shown] = await scene.records(includelines="true", include_linked_item_details="true")
    assert "linked_item" not in without["lines"][0]
    assert shown["lines"][0]["linked_item"] == {"id": 3, "name": "Cable"}


async def _rinvoice_type(scene: Scene) -> None:
    of_contract, of_none = await scene.make(contract_id=7), await scene.make()
    await scene.keeps([of_contract], rinvoice_type="contracts")
    await scene.keeps([of_none], rinvoice_type="invoices")
    assert sorted(await scene.ids(rinvoice_type="both")) == sorted(scene.made)


# The five that `datesearch` is published to know, by what puts a date there.
DATES: dict[str, str] = {
    "invoice_date": "invoice_date",
    "duedate": "duedate",
    "schedulestartdate": "startdate",
    "scheduleenddate": "enddate",
}


def _dated(name: str) -> Check:
    """The record on the day itself is always kept: both ends are inclusive."""

    async def check(scene: Scene) -> None:
        for datesearch, column in DATES.items():
            days = [f"2026-03-0{day}" for day in (1, 2, 3)]
            scene.made.clear()
            early, middle, late = [await scene.make(**{column: one}) for one in days]
            since, until = [middle, late], [early, middle]
            asked = {"datesearch": datesearch}
            await scene.keeps(since, **asked, start_date="2026-03-02")
            await scene.keeps(since, **asked, startdate="2026-03-02")
            await scene.keeps(until, **asked, end_date="2026-03-02")
            await scene.keeps(until, **asked, enddate="2026-03-02")
            await scene.keeps([middle], **asked, start_date="2026-03-02", end_date="2026-03-02")

    assert name in ("start_date", "end_date", "datesearch")
    return check


async def _datesearch(scene: Scene) -> None:
    await _dated("datesearch")(scene)
    await _last_modified(scene)


async def _last_modified(scene: Scene) -> None:
    scene.made.clear()
    await scene.make()
    await scene.service.later(days=3)
    late = await scene.make()
    since = late["last_modified"][:10]
    await scene.keeps([late], datesearch="last_modified", start_date=since)


async def _paymentstatuses(scene: Scene) -> None:
    lines = [{"unit_price": 10}]
    empty, unpaid = await scene.make(), await scene.make(lines=lines)
    part, paid = await scene.make(lines=lines), await scene.make(lines=lines)
    for one, amount in ((part, 4), (paid, 10)):
        await scene.api.post("/api/InvoicePayment", {"invoice_id": one["id"], "amount": amount})
    await scene.keeps([empty, unpaid], paymentstatuses="0,-1")
    await scene.keeps([part], paymentstatuses="1")
    await scene.keeps([part, paid], **{"paymentstatuses[]": "1", "paymentstatuses": "2"})


async def _autopay(scene: Scene) -> None:
    card = await scene.api.client(stripe_customer_id="cus_1", stripe_payment_method_id="pm_1")
    values: Values = {"client_id": card, "lines": [{"unit_price": 10}]}
    waiting = await scene.make(**values, take_auto_payment=True)
    also = await scene.make(**values, include_in_autopay=True)
    await scene.make(**values)
    await scene.make(**{**values, "lines": []}, take_auto_payment=True)
    without = await scene.api.client()
    await scene.make(**{**values, "client_id": without}, take_auto_payment=True)
    await scene.keeps([waiting, also], stripeautopaymentrequired="true")


def _left_out(name: str, kind: int) -> Check:
    """Every kind is shown, unless a client says that it wants none of one."""

    async def check(scene: Scene) -> None:
        made = [await scene.make(invoicetype=one) for one in range(3)]
        others = [one for one in made if one["invoicetype"] != kind]

        await scene.keeps(others, **{name: "false"})
        assert sorted(await scene.ids(**{name: "true"})) == sorted(scene.made)

    return check


async def _ready_for_invoicing(scene: Scene) -> None:
    ready = [await scene.make(), await scene.make(approval_status=2)]
    for held in (
        {"posted": True},
        {"datesent": "2026-03-01"},
        {"reviewrequired": True},
        {"approval_status": 1},
        {"approval_status": 3},
    ):
        await scene.make(**held)
    await scene.keeps(ready, ready_for_invoicing="true")


async def _toplevel_id(scene: Scene) -> None:
    below, beside = [await scene.api.client(toplevel_id=one) for one in (7, 8)]
    shown, _ = await scene.make(client_id=below), await scene.make(client_id=beside)
    await scene.keeps([shown], toplevel_id="7")


async def _my_approvals(scene: Scene) -> None:
    me = await scene.service.caller_id()
    mine = await scene.make(approval_status=1, approvalagentid=me)
    await scene.make(approval_status=1, approvalagentid=me + 1)
    await scene.make(approval_status=2, approvalagentid=me)
    await scene.keeps([mine], my_approvals="true")


CHECKS: dict[str, Check] = {
    **{name: _narrowing(name) for name in NARROWING},
    **ordering.checks(FIELDS, _of_one_client),
    "advanced_search": _advanced_search,
    "client_id": _client_id,
    "client_ids": _client_ids,
    "datesearch": _datesearch,
    "end_date": _dated("end_date"),
    "include_linked_item_details": _linked_items,
    "includelines": _lines,
    "includecredits": _left_out("includecredits", 1),
    "includeinvoices": _left_out("includeinvoices", 0),
    "includepoinvoices": _left_out("includepoinvoices", 2),
    "my_approvals": _my_approvals,
    "ready_for_invoicing": _ready_for_invoicing,
    "rinvoice_type": _rinvoice_type,
    "search": _search,
    "start_date": _dated("start_date"),
    "stripeautopaymentrequired": _autopay,
    "toplevel_id": _toplevel_id,
}


# --- where a template is not an invoice ------------------------------------------------------


async def _billed_on(scene: Scene) -> None:
    shown = await scene.make(invoice_date="2026-03-01T09:00:00")
    await scene.make(invoice_date="2026-03-02")
    await scene.keeps([shown], billing_date="2026-03-01")


async def _made_by(scene: Scene) -> None:
    templates = Scene(scene.service, "/api/RecurringInvoice")
    made = [await templates.make(lines=[{"unit_price": 1}], period=2) for _ in range(2)]
    for one in made:
        answer = await scene.api.send("POST", f"{templates.path}/process", json=[one["id"]])
        scene.made.append(answer.json["id"])
    await scene.keeps([{"id": scene.made[0]}], recurringinvoice_id=str(made[0]["id"]))


async def _next_billed_on(scene: Scene) -> None:
    shown = await scene.make(nextcreationdate="2027-03-01T09:00:00")
    await scene.make(nextcreationdate="2027-03-02")
    await scene.keeps([shown], billing_date="2027-03-01")


async def _itself(scene: Scene) -> None:
    one, _ = await scene.make(), await scene.make()
    await scene.keeps([one], recurringinvoice_id=str(one["id"]))


async def _status_of_templates(scene: Scene) -> None:
    """Nobody pays a template, so all have the same status."""
    made = await scene.make(lines=[{"unit_price": 10}])
    assert await scene.ids(paymentstatuses=f"7,{made['paymentstatus']}") == [made["id"]]
    assert await scene.ids(paymentstatuses="1,2") == []


INVOICE_CHECKS: dict[str, Check] = {
    **CHECKS,
    "billing_date": _billed_on,
    "paymentstatuses": _paymentstatuses,
    "recurringinvoice_id": _made_by,
}
RECURRING_CHECKS: dict[str, Check] = {
    **CHECKS,
    "billing_date": _next_billed_on,
    "paymentstatuses": _status_of_templates,
    "recurringinvoice_id": _itself,
}

"""Properties of invoices, templates, their lines and payments: written, read, worked out."""

from decimal import Decimal
from typing import Any

from tests.harness import event, intent
from tests.published.samples import kept
from tests.service import Service

Shown = dict[str, Any]

# --- InvoiceHeader ---------------------------------------------------------------------------

# What the service works out, and no caller can set.
COMPUTED_OF_INVOICE = set(
    """
    id client_name site_name last_modified paymentstatus amountpaid amountdue amount_remaining total
    tax_total revenue currency is_recurring_invoice datepaid voided payments invoice_totals
    credit_total credit_outstanding credit_used
    """.split()
)
LINES = [
    {"qty_order": 2, "unit_price": 50, "discount_perc": 10, "tax_rate": 20, "unit_cost": 30},
    {"qty_order": 1, "unit_price": 999, "isinactive": True},
]


async def kept_of_invoices(service: Service) -> list[str]:
    return await _kept_of_invoice(service, "/api/Invoice")


async def kept_of_templates(service: Service) -> list[str]:
    return await _kept_of_invoice(service, "/api/RecurringInvoice")


async def _kept_of_invoice(service: Service, path: str) -> list[str]:
    """Every property that a client may set comes back as it was given, and again when changed."""
    client_id = await service.api.client()
    site = await service.api.post("/api/Site", {"name": "Main", "client_id": client_id})
    euro = (await service.api.get("/api/Currency", search="EUR"))[0]["id"]
    values = kept(
        "InvoiceHeader",
        COMPUTED_OF_INVOICE,
        client_id=client_id,
        sitenumber=site["id"],
        currency_code=euro,
        duedate="2026-05-04T00:00:00",
        invoicetype=0,
        approval_status=2,
        posted=False,  # once it is, the others stay
    )
    made = await service.api.post(path, {**values, "lines": LINES})
    del values["lines"]
    await _same(service, path, made["id"], values)
    shown = await service.api.get(f"{path}/{made['id']}")
    assert shown["lines"] == made["lines"]
    assert [one["unit_price"] for one in shown["lines"]] == [50, 999]

    others = {name: _other(value) for name, value in values.items() if name not in _FIXED}
    await service.api.post(path, {"id": made["id"], **others})
    await _same(service, path, made["id"], others)
    return ["lines", *values]


# Other records they would have to name; what changes there is shown by tests of its own.
_FIXED = {"client_id", "sitenumber", "currency_code", "duedate", "invoicetype"}


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case str() if value.startswith("2026-05-04"):
            return "2026-06-05T11:22:33"
        case str():
            return f"{value}, changed"
        case int():
            return 3
        case float():
            return 13.25
        case _:
            return []


async def _same(service: Service, path: str, record_id: int, values: Shown) -> None:
    shown = await service.api.get(f"{path}/{record_id}", includedetails="true")
    wrong = {name: shown.get(name) for name, one in values.items() if shown.get(name) != one}
    assert wrong == {}


async def worked_out_of_invoice(service: Service) -> list[str]:
    """An invoice of 90 net and 18 tax, part paid and paid."""
    now = service.clock().isoformat().removesuffix("+00:00")
    client_id = await service.api.client(name="Ada Ltd")
    site = await service.api.post("/api/Site", {"name": "Main", "client_id": client_id})
    values = {"client_id": client_id, "sitenumber": site["id"], "lines": LINES}
    made = await service.api.post("/api/Invoice", values)
    await _pay(service, made["id"], 8)
    part = await service.api.get(f"/api/Invoice/{made['id']}", includedetails="true")
    await _pay(service, made["id"], 100)
    paid = await service.api.get(f"/api/Invoice/{made['id']}", includedetails="true")

    told = {
        "id": made["id"], "client_name": "Ada Ltd", "site_name": "Main",
        "last_modified": now, "total": 108, "tax_total": 18, "revenue": 90, "currency": "$",
        "amountpaid": 8, "amountdue": 100, "amount_remaining": 100, "paymentstatus": 1,
        "is_recurring_invoice": False, "voided": False,
    }  # fmt: skip
    assert {name: part.get(name) for name in told} == told
    assert (part["datepaid"][:4], paid["datepaid"]) == ("1899", now)
    assert [one["amount"] for one in paid["payments"]] == [8, 100]
    assert (paid["paymentstatus"], paid["amountpaid"], paid["amountdue"]) == (2, 108, 0)
    _totals(paid["invoice_totals"])
    return [*told, "datepaid", "payments", "invoice_totals", *await _credited(service, client_id)]


def _totals(shown: Shown) -> None:
    told = {"subTotal": 90, "taxTotal": 18, "total": 108, "discount": 10, "cost": 60, "profit": 30,
            "amountPaid": 108, "amountDue": 0}  # fmt: skip
    assert {name: shown.get(name) for name in told} == told


async def _credited(service: Service, client_id: int) -> list[str]:
    """A credit note of 50 of which 20 were used."""
    lines = [{"qty_order": 1, "unit_price": 50}]
    note = await service.api.post(
        "/api/Invoice", {"client_id": client_id, "invoicetype": 1, "lines": lines}
    )
    owed = await service.api.invoice(80, client_id=client_id)
    await service.api.post(
        "/api/InvoicePayment",
        {"invoice_id": owed["id"], "amount": 20, "credit_note_id": note["id"]},
    )
    shown = await service.api.get(f"/api/Invoice/{note['id']}")
    told = {"credit_total": 50, "credit_used": 20, "credit_outstanding": 30}
    assert {name: shown.get(name) for name in told} == told
    return [*told]


async def _pay(service: Service, invoice_id: int, amount: int) -> None:
    await service.api.post("/api/InvoicePayment", {"invoice_id": invoice_id, "amount": amount})


# --- InvoiceHeader_View ----------------------------------------------------------------------


async def view(service: Service) -> list[str]:
    """A page of one client's invoices says how that client pays."""
    method = {
        "stripe_customer_id": "cus_1",
        "stripe_payment_method_id": "pm_1",
        "stripe_payment_method_name": "Visa 4242",
    }
    client_id = await service.api.client(**method)
    made = await service.api.invoice(10, client_id=client_id)
    page = await service.api.get(
        "/api/Invoice", client_id=str(client_id), pageinate="true", page_size="7"
    )
    assert (page["page_no"], page["page_size"], page["record_count"]) == (1, 7, 1)
    assert [one["id"] for one in page["invoices"]] == [made["id"]]
    assert method.items() <= page.items()
    # No screen of ours has columns to configure, and what is nothing is left out.
    assert "columns" not in page
    return [*method, "page_no", "page_size", "record_count", "invoices", "columns"]


# --- InvoiceDetail ---------------------------------------------------------------------------

COMPUTED_OF_LINE = set(
    "id ihid net_amount tax_amount net_total total_tax total_price tax_rate".split()
)


async def lines_of_invoices(service: Service) -> list[str]:
    return await _kept_of_line(service, "/api/Invoice")


async def lines_of_templates(service: Service) -> list[str]:
    return await _kept_of_line(service, "/api/RecurringInvoice")


async def _kept_of_line(service: Service, path: str) -> list[str]:
    values = kept(
        "InvoiceDetail",
        COMPUTED_OF_LINE,
        discount_perc=10,
        tax_code="0",
        # Of a template, a line that was charged once knows the invoice that charged it.
        recurring_invoice_id=-7,
    )
    made = await service.api.post(path, {"lines": [values]})
    shown = (await service.api.get(f"{path}/{made['id']}"))["lines"][0]
    assert {name: shown.get(name) for name in values} == values
    return [*values]


async def worked_out_of_line(service: Service) -> list[str]:
    """HaloPSA's words: `total_price` is net, `net_total` is gross. A tax code says the rate."""
    tax = await service.api.post("/api/Tax", {"name": "VAT", "value": "17.5"})
    line = {"qty_order": "2.5", "unit_price": "19.99", "discount_perc": 10}
    made = await service.api.post("/api/Invoice", {"lines": [{**line, "tax_code": str(tax["id"])}]})
    shown = made["lines"][0]
    net, due = Decimal("44.9775"), Decimal("7.8710625")
    told = {
        "ihid": made["id"], "tax_rate": Decimal("17.5"), "net_amount": net, "total_price": net,
        "tax_amount": due, "total_tax": due, "net_total": net + due,
    }  # fmt: skip
    assert {name: shown.get(name) for name in told} == told
    assert shown["id"] > 0
    return ["id", *told]


# --- InvoicePayment_List ---------------------------------------------------------------------

COMPUTED_OF_PAYMENT = set(
    """
    id status intent_date intent_response webhook_payload webhook_received_date client_id
    client_name
    """.split()
)


async def kept_of_payment(service: Service) -> list[str]:
    note = await service.api.post(
        "/api/Invoice", {"invoicetype": 1, "lines": [{"unit_price": 500}]}
    )
    # The money is of a PaymentIntent or of a credit note, never of both.
    sources = ("credit_note_id", note["id"]), ("intent_id", f"pi_kept_{note['id']}")
    names = set()
    for source, other in (sources, sources[::-1]):
        invoice = await service.api.invoice(500)
        values = kept(
            "InvoicePayment_List",
            {*COMPUTED_OF_PAYMENT, other[0]},
            invoice_id=invoice["id"],
            **{source[0]: source[1]},
        )
        made = await service.api.post("/api/InvoicePayment", values)
        shown = await service.api.get(f"/api/InvoicePayment/{made['id']}", includedetails="true")
        assert {name: shown.get(name) for name in values} == values
        names |= values.keys()
    return sorted(names)


async def worked_out_of_payment(service: Service) -> list[str]:
    """What Stripe said of a payment is there for whoever asks."""
    client_id = await service.api.client(name="Ada Ltd")
    invoice = await service.api.invoice(120, client_id=client_id)
    paid = intent(invoice["id"], id=f"pi_told_{invoice['id']}")
    told = event("payment_intent.succeeded", paid)
    await service.deliver(told)

    [shown] = await service.api.get("/api/InvoicePayment", intent_id=paid["id"])
    assert shown["id"] > 0
    assert (shown["client_id"], shown["client_name"]) == (client_id, "Ada Ltd")
    assert (shown["status"], shown["amount"]) == (5, 120)
    assert f'"{told["id"]}"' in shown["webhook_payload"]
    assert f'"{paid["id"]}"' in shown["intent_response"]
    assert shown["intent_date"][:4] == shown["webhook_received_date"][:4]
    return sorted(COMPUTED_OF_PAYMENT)

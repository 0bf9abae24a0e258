"""A published client of HaloPSA's API, unmodified, against a served Paydue.

The package insists on https at a host of HaloPSA's; only what carries its requests is told to go
elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest
import requests
from HaloPSA.Halo import Halo
from HaloPSA.responses.Invoice import Invoice

from tests.service import Service

pytestmark = pytest.mark.anyio

HOST = "https://acc.halopsa.com"
SignIn = Callable[..., Any]


def call(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """The package waits for its answers, so it does that beside the loop that serves it."""
    return asyncio.to_thread(function, *given, **named)


@pytest.fixture
def sign_in(service: Service, monkeypatch: pytest.MonkeyPatch) -> SignIn:
    """What makes a client of the package, with these credentials, of this service."""
    send = requests.Session.request

    def elsewhere(self: requests.Session, method: str, url: str, **more: Any) -> Any:
        assert url.startswith(HOST)
        with send(self, method, url.replace(HOST, service.url), **more) as answer:
            return answer

    monkeypatch.setattr(requests.Session, "request", elsewhere)
    return lambda client_id, secret: call(Halo, "acc", client_id, secret)


@pytest.fixture
async def halo(service: Service, sign_in: SignIn) -> AsyncIterator[Any]:
    client = await sign_in(*service.credentials)
    yield client
    client._mh.session.close()


async def test_an_invoice_is_created_and_decoded(halo: Any, service: Service) -> None:
    client_id = await service.api.client()
    lines = [{"item_shortdescription": "x", "qty_order": 1, "unit_price": 10.0}]

    made = await call(halo.Invoices.update, client_id=client_id, lines=lines)
    for details in (None, False, True):
        shown = await call(halo.Invoices.get, made["id"], includedetails=details)
        invoice = Invoice.from_dict(shown)

        assert (invoice.id, invoice.client_id, invoice.total) == (made["id"], client_id, 10)
        assert isinstance(invoice.invoice_date, datetime)
        assert [one["item_shortdescription"] for one in invoice.lines] == ["x"]
        assert invoice.payments == ([] if details else None)


async def test_only_what_is_named_changes(halo: Any) -> None:
    made = await call(halo.Invoices.update, lines=[{"unit_price": 10.0}], notes_1="kept")

    changed = await call(halo.Invoices.update, id=made["id"], reference="abc")

    assert (changed["reference"], changed["notes_1"], changed["total"]) == ("abc", "kept", 10)
    assert changed["lines"] == made["lines"]


async def test_invoices_are_searched(halo: Any, service: Service) -> None:
    client_id = await service.api.client()
    posted = await service.api.invoice(10, client_id=client_id, posted=True)
    await service.api.invoice(20, client_id=client_id)

    found = await call(
        halo.Invoices.search, client_id=client_id, postedonly=True, includelines=True
    )

    assert [one["id"] for one in found["invoices"]] == [posted["id"]]
    assert [one["unit_price"] for one in found["invoices"][0]["lines"]] == [10]


async def test_invoices_are_paged(halo: Any, service: Service) -> None:
    client_id = await service.api.client()
    days = [f"2026-01-{day:02}" for day in range(1, 8)]
    await service.api.post(
        "/api/Invoice", *({"client_id": client_id, "invoice_date": one} for one in days)
    )
    asked = {"pageinate": True, "page_size": 5, "client_id": client_id, "order": "invoice_date",
             "orderdesc": True}  # fmt: skip

    first = await call(halo.Invoices.search, page_no=1, **asked)
    second = await call(halo.Invoices.search, page_no=2, **asked)

    assert first["record_count"] == second["record_count"] == 7
    told = [one["invoice_date"][:10] for one in (*first["invoices"], *second["invoices"])]
    assert told == days[::-1]


async def test_templates_are_created_listed_and_decoded(halo: Any, service: Service) -> None:
    client_id = await service.api.client()

    made = await call(
        halo.RecurringInvoices.update, due_date_type=0, due_date_int=30, client_id=client_id
    )
    everything = await call(halo.RecurringInvoices.get_all, includelines=True)
    shown = await call(halo.RecurringInvoices.get, made["id"], includedetails=True)
    changed = await call(halo.RecurringInvoices.update, id=made["id"], due_date_int=14)

    assert made["id"] < 0
    assert [one["lines"] for one in everything if one["id"] == made["id"]] == [[]]
    decoded = Invoice.from_dict(shown)
    assert (decoded.is_recurring_invoice, decoded.due_date_int) == (True, 30)
    assert (changed["due_date_type"], changed["due_date_int"]) == (0, 14)


async def test_a_line_of_a_template_is_changed_as_the_package_asks(halo: Any) -> None:
    """It says what to change in the parameters of a GET."""
    made = await call(halo.RecurringInvoices.update, lines=[{"qty_order": 1, "unit_price": 1}])
    line = made["lines"][0]["id"]

    await call(halo.RecurringInvoices.update_lines, line, made["id"], qty_order=3)

    after = await call(halo.RecurringInvoices.get, made["id"])
    assert [one["qty_order"] for one in after["lines"]] == [3]


async def test_currencies_are_read(halo: Any) -> None:
    found = await call(halo.Currency.search)

    assert len(found) > 100
    assert await call(halo.Currency.get, 1) == found[0]


async def test_changes_are_read_and_written(halo: Any, service: Service) -> None:
    made = await service.api.invoice(10)
    await call(halo.Invoices.update, id=made["id"], reference="b")

    noted = await call(halo.InvoiceChange.update, invoice_id=made["id"], field_name="x")
    told = await call(halo.InvoiceChange.search, invoice_id=made["id"])

    assert isinstance(told, list)
    assert noted["id"] in [one["id"] for one in told]
    [renamed] = [one for one in told if one["field_name"] == "reference"]
    assert (renamed["new_value"], renamed["who"]) == ("b", "tests")


async def test_clients_and_sites_are_kept(halo: Any) -> None:
    client = await call(halo.Clients.update, name="Ada Ltd")
    site = await call(halo.Sites.update, client_id=client["id"], name="Main")

    assert (await call(halo.Clients.get, client["id"]))["name"] == "Ada Ltd"
    assert (await call(halo.Sites.get, site["id"]))["name"] == "Main"
    assert client["id"] in [one["id"] for one in await call(halo.Clients.get_all)]


async def test_what_it_queues_arrives_as_an_array_in_an_array(halo: Any) -> None:
    await call(halo.Clients.update, name="first", queue_mode="queue")

    made = await call(halo.Clients.update, name="second", queue_mode="update")

    assert [one["name"] for one in made] == ["first", "second"]


async def test_an_unknown_invoice_is_told_as_a_404(halo: Any) -> None:
    with pytest.raises(Exception, match="404"):
        await call(halo.Invoices.get, 999_999)


async def test_a_bad_request_is_told_with_its_reason(halo: Any) -> None:
    with pytest.raises(ValueError, match="duedate"):
        await call(halo.Invoices.update, duedate="tomorrow")


async def test_a_missing_right_is_told_as_such(service: Service, sign_in: SignIn) -> None:
    reader = await sign_in(*await service.access("read:invoices"))

    with pytest.raises(PermissionError, match="Forbidden"):
        await call(reader.Invoices.update, reference="b")
    reader._mh.session.close()


async def test_wrong_credentials_are_told_with_advice(service: Service, sign_in: SignIn) -> None:
    client_id, _ = service.credentials

    with pytest.raises(ValueError, match="Make sure your client ID and secret are correct"):
        await sign_in(client_id, "bad")


async def test_a_token_that_is_no_longer_good_is_told_with_the_reason(halo: Any) -> None:
    halo._mh.session.headers["Authorization"] = "Bearer old"

    with pytest.raises(ValueError, match="expired"):
        await call(halo.Invoices.get, 1)

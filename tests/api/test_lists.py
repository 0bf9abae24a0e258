"""Lists: pages, counts, order, filters, search, and how many statements they take."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from app.halo.engine.list_query import LIST_MAX
from app.halo.engine.pagination import COUNT_LASTS_S, LONG
from app.storage.engines import Database
from app.storage.tables.clients import Client
from tests.api.client import Api
from tests.clock import Clock
from tests.harness import watched

pytestmark = pytest.mark.anyio


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SELECTs and writes that run meanwhile."""
    seen: list[str] = []
    with watched(database, lambda statement, _: seen.append(statement)):
        yield seen
    seen[:] = [one for one in seen if not one.startswith(("BEGIN", "SET"))]


async def many(api: Api, count: int, **values: Any) -> list[int]:
    made = await api.post("/api/Invoice", *({"reference": f"r{n}", **values} for n in range(count)))
    return [one["id"] for one in (made if isinstance(made, list) else [made])]


async def ids(api: Api, **params: Any) -> list[int]:
    return [one["id"] for one in (await api.get("/api/Invoice", **params))["invoices"]]


async def test_a_page_says_its_number_its_size_and_all_matches(api: Api) -> None:
    await many(api, 12)

    page = await api.get("/api/Invoice", pageinate="true", page_size="5", page_no="3", count="100")

    assert (page["page_no"], page["page_size"], page["record_count"]) == (3, 5, 12)
    assert len(page["invoices"]) == 2


@pytest.mark.parametrize("number", ["3", "1000000"])
async def test_past_the_end_the_count_is_zero(api: Api, number: str) -> None:
    await many(api, 10)

    page = await api.get("/api/Invoice", pageinate="True", page_size="5", page_no=number)

    assert (page["record_count"], page["invoices"]) == (0, [])


async def test_a_full_last_page_counts_all(api: Api) -> None:
    await many(api, 10)

    page = await api.get("/api/Invoice", pageinate="1", page_size="5", page_no="2")

    assert (page["record_count"], len(page["invoices"])) == (10, 5)


async def test_a_page_is_fifty_unless_asked_and_as_long_as_it_is_asked_for(api: Api) -> None:
    await many(api, 120)

    usual = await api.get("/api/Invoice", pageinate="true", page_size="undefined")
    asked = await api.get("/api/Invoice", pageinate="true", page_size="1000")
    large = await api.get("/api/Invoice", pageinate="true", page_size="5000")

    assert (usual["page_size"], len(usual["invoices"])) == (50, 50)
    assert (asked["page_size"], len(asked["invoices"])) == (1000, 120)
    assert (large["page_size"], len(large["invoices"])) == (1000, 120)


@pytest.mark.parametrize("params", [{"page_no": "0"}, {"page_no": "-1"}, {"page_size": "0"},
                                    {"page_no": "x"}, {"page_size": "1.5"},
                                    {"page_no": "99999999999"}])  # fmt: skip
async def test_a_page_that_cannot_be_meant_is_refused_by_name(
    api: Api, params: dict[str, str]
) -> None:
    answer = await api.send("GET", "/api/Invoice", params={"pageinate": "true", **params})

    assert answer.status == 400
    assert next(iter(params)) in answer.json["Message"]


async def test_without_paging_page_parameters_are_ignored(api: Api) -> None:
    await many(api, 7)

    listed = await api.get("/api/Invoice", pageinate="False", page_no="9", page_size="x")

    assert listed.keys() == {"record_count", "invoices"}
    assert listed["record_count"] == len(listed["invoices"]) == 7


async def test_count_bounds_a_list_and_the_total_stays(api: Api) -> None:
    await many(api, 7)

    listed = await api.get("/api/Invoice", count="3")

    assert (listed["record_count"], len(listed["invoices"])) == (7, 3)


async def test_a_list_without_any_bound_is_bounded(api: Api) -> None:
    for _ in range(2):
        await many(api, 500)
    await many(api, 1)

    listed = await api.get("/api/Invoice", count="999999")

    assert (listed["record_count"], len(listed["invoices"])) == (1001, LIST_MAX)


async def test_pages_show_every_invoice_once_while_others_are_added(api: Api) -> None:
    there = await many(api, 25)
    seen: list[int] = []

    for number in range(1, 5):
        seen += await ids(api, pageinate="true", page_size="10", page_no=str(number))
        await many(api, 3)

    assert len(seen) == len(set(seen))
    assert set(there) <= set(seen)


async def test_ties_keep_their_order_over_pages(api: Api) -> None:
    there = await many(api, 25)

    for direction, expected in (("false", there), ("true", there[::-1])):
        seen = [
            one
            for number in "123"
            for one in await ids(api, pageinate="true", page_size="10", page_no=number,
                                 order="invoice_date", orderdesc=direction)
        ]  # fmt: skip
        assert seen == expected


async def test_lists_are_ordered_by_up_to_five_fields(api: Api) -> None:
    made = await api.post(
        "/api/Invoice",
        {"reference": "b", "notes_1": "1"},
        {"reference": "a", "notes_1": "1"},
        {"reference": "a", "notes_1": "2"},
    )
    b1, a1, a2 = (one["id"] for one in made)

    assert await ids(api, order="reference", order2="notes_1", orderdesc2="true") == [a2, a1, b1]
    assert await ids(api, order="notes_1", orderdesc="True", order2="reference") == [a2, a1, b1]
    assert await ids(api, order="nonsense", order2="reference", orderdesc2="1") == [b1, a2, a1]
    assert await ids(api, order="extra", order2="currency_iso") == [b1, a1, a2]


async def test_lists_can_be_ordered_by_the_clients_name(api: Api) -> None:
    zed, ada = await api.client(name="Zed"), await api.client(name="Ada")
    made = await api.post("/api/Invoice", {"client_id": zed}, {"client_id": ada})

    assert await ids(api, order="client_name") == [made[1]["id"], made[0]["id"]]


async def test_the_request_of_halopsas_own_pages_is_understood(api: Api) -> None:
    unpaid = await api.invoice(10)
    paid = await api.invoice(10)
    await api.post("/api/InvoicePayment", {"invoice_id": paid["id"], "amount": 10})
    query = (
        "invoicedatestart=2025-01-04T07:55:24.050Z&invoicedateend=2027-01-04T23:00:00.000Z"
        "&paymentstatuses=0,-1&pageinate=true&page_size=50&page_no=1&includeinactive=undefined"
        "&includeinvoices=true&includecredits=false&includepoinvoices=false"
        "&order=invoice_date&orderdesc=true&order2=id&orderdesc2=true"
    )

    listed = await api.get(f"/api/Invoice?{query}")

    assert [one["id"] for one in listed["invoices"]] == [unpaid["id"]]


@pytest.mark.parametrize(
    "query", ["paymentstatuses=0,-1", "paymentstatuses=0%2C-1", "paymentstatuses[]=0",
              "paymentstatuses=0&paymentstatuses=-1", "paymentstatuses=[0,-1]",
              "paymentstatuses%5B%5D=-1&paymentstatuses%5B%5D=0"],
)  # fmt: skip
async def test_payment_statuses_are_read_in_every_spelling(api: Api, query: str) -> None:
    unpaid = await api.invoice(10)
    paid = await api.invoice(10)
    await api.post("/api/InvoicePayment", {"invoice_id": paid["id"], "amount": 10})

    listed = await api.get(f"/api/Invoice?{query}")

    assert [one["id"] for one in listed["invoices"]] == [unpaid["id"]]


async def test_invoices_are_filtered(api: Api) -> None:
    ada, zed = await api.client(name="Ada Ltd"), await api.client(name="Zed")
    a = (await api.invoice(1, client_id=ada, posted=True, reference="ABC 50%"))["id"]
    b = (await api.invoice(1, client_id=zed, thirdpartyinvoicenumber="X-1"))["id"]

    assert await ids(api, client_id=str(ada)) == [a]
    assert await ids(api, client_ids=f"{ada},{zed}") == [a, b]
    assert await ids(api, client_ids=f"{zed}", client_id=str(ada)) == []
    assert await ids(api, ids=f"{a}, {b}") == [a, b]
    assert await ids(api, invoice_ids=f"[{b}]") == [b]
    assert await ids(api, postedonly="true") == [a]
    assert await ids(api, notpostedonly="True") == [b]
    assert await ids(api, postedonly="undefined", notpostedonly="false") == [a, b]
    assert await ids(api, third_party_id="X-1") == [b]
    assert await ids(api, search="abc 50%") == [a]
    assert await ids(api, search="50_") == []
    assert await ids(api, search="zed") == [b]
    assert await ids(api, CLIENT_ID=str(ada)) == [a]


async def test_invoices_are_filtered_by_day(api: Api, clock: Clock) -> None:
    early = (await api.invoice(1, invoice_date="2026-01-01T08:00:00", duedate="2026-02-01"))["id"]
    clock.advance(minutes=30)
    late = (await api.invoice(1, invoice_date="2026-01-31T23:30:00", duedate="2026-03-01"))["id"]

    assert await ids(api, start_date="2026-01-02") == [late]
    assert await ids(api, startdate="2026-01-02", datesearch="invoice_date") == [late]
    assert await ids(api, end_date="2026-01-31") == [early, late]
    assert await ids(api, enddate="2026-01-31T23:00:00Z") == [early]
    assert await ids(api, datesearch="duedate", start_date="2026-02-01",
                     end_date="2026-02-28T00:00:00Z") == [early]  # fmt: skip
    assert await ids(api, datesearch="last_modified", start_date="2026-11-22T10:00") == [late]
    assert await ids(api, invoicedatestart="true", invoicedateend="false") == [early, late]
    assert await ids(api, start_date="2026-01-31T23:30:00+00:00") == [late]


@pytest.mark.parametrize("params", [{"client_id": "x"}, {"client_ids": "1,b"}, {"postedonly": "x"},
                                    {"start_date": "soon"}, {"datesearch": "colour"},
                                    {"client_id": "99999999999999999999"}, {"search": "a\0"},
                                    {"paymentstatuses": "99999999999"}])  # fmt: skip
async def test_a_filter_that_cannot_be_meant_is_refused_by_name(
    api: Api, params: dict[str, str]
) -> None:
    answer = await api.send("GET", "/api/Invoice", params={"start_date": "2026-01-01", **params})

    assert answer.status == 400
    assert answer.json["Message"].startswith(next(iter(params)))


async def test_invoices_that_await_an_automatic_payment_are_found(api: Api) -> None:
    card = await api.client(stripe_payment_method_id="pm_1", stripe_customer_id="cus_1")
    none = await api.client()
    flags = {"take_auto_payment": True, "client_id": card}
    due = (await api.invoice(10, **flags))["id"]
    also = (await api.invoice(10, include_in_autopay=True, client_id=card))["id"]
    await api.invoice(10, client_id=card)
    await api.invoice(10, **{**flags, "client_id": none})
    await api.invoice(0, **flags)
    paid = await api.invoice(10, **flags)
    await api.post("/api/InvoicePayment", {"invoice_id": paid["id"], "amount": 10})

    assert await ids(api, stripeautopaymentrequired="true") == [due, also]


async def test_ids_alone_are_listed(api: Api) -> None:
    there = await many(api, 3)

    listed = await api.get("/api/Invoice", idonly="true", includelines="true")

    assert listed["invoices"] == [{"id": one} for one in there]


async def test_lines_are_listed_when_asked_for(api: Api) -> None:
    await api.invoice(1, 2)
    await api.post("/api/Invoice", {})

    without = await api.get("/api/Invoice")
    listed = await api.get("/api/Invoice", includelines="True")

    assert "lines" not in without["invoices"][0]
    assert [len(one["lines"]) for one in listed["invoices"]] == [2, 0]


async def test_too_many_parameters_or_values_are_refused(api: Api) -> None:
    many_names = "&".join(f"p{n}=1" for n in range(201))
    many_values = ",".join(str(n) for n in range(1001))

    assert (await api.send("GET", f"/api/Invoice?{many_names}")).status == 400
    assert (await api.send("GET", f"/api/Invoice?client_ids={many_values}")).status == 400


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"pageinate": "true", "page_size": "5"}, 2),
        ({"pageinate": "true", "page_size": "100"}, 1),
        ({"pageinate": "true", "page_size": "5", "includelines": "true"}, 3),
        ({"pageinate": "true", "page_size": "5", "idonly": "true"}, 2),
        ({}, 1),
    ],
)
async def test_a_page_takes_the_same_few_statements_whatever_its_size(
    api: Api, params: dict[str, str], expected: int
) -> None:
    client_id = await api.client()
    await api.get("/api/Invoice")
    for count in (8, 30):
        await many(api, count, client_id=client_id, lines=[{"unit_price": 1}])

        with statements(api.database) as seen:
            await api.get("/api/Invoice", **params)

        assert len(seen) == expected, seen


async def test_writing_takes_the_same_few_statements_whatever_the_batch(api: Api) -> None:
    client_id = await api.client()
    one = {"client_id": client_id, "lines": [{"unit_price": 1}]}
    await api.post("/api/Invoice", one)  # the first reserves ids for those that follow
    taken = []
    for count in (2, 20):
        with statements(api.database) as seen:
            made = await api.post("/api/Invoice", *[one] * count)
            await api.post(
                "/api/Invoice",
                *({"id": each["id"], "lines": [{"unit_price": 2}]} for each in made),
            )
        taken.append(len(seen))

    assert taken[0] == taken[1] < 40


@pytest.mark.parametrize(
    ("path", "query", "index"),
    [
        ("InvoicePayment", "intent_id=pi_1", "uq_invoice_payment_intent_invoice"),
        ("InvoicePayment", "invoice_id=1", "ix_invoice_payment_invoice_id"),
        ("InvoicePayment", "client_id=1", "ix_invoice_payment_client_id"),
        ("Invoice", "client_id=1", "ix_invoice_client_id"),
        ("Invoice", "invoicenumber=1", "ix_invoice_invoicenumber"),
        ("Invoice", "stripeautopaymentrequired=true&order=duedate", "ix_invoice_autopay_due"),
        ("Invoice", "paymentstatuses=2&pageinate=true", "ix_invoice_paymentstatus"),
        ("Invoice", "datesearch=duedate&start_date=2026-01-01&order=duedate&pageinate=true",
         "ix_invoice_duedate"),
        ("Invoice", "order=invoice_date&orderdesc=true&order2=id&orderdesc2=true&pageinate=true",
         "ix_invoice_invoice_date"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_filters_and_orders_use_their_index(
    api: Api, path: str, query: str, index: str
) -> None:
    with statements(api.database) as seen:
        await api.get(f"/api/{path}?{query}")

    [listing] = [one for one in seen if "\nFROM invoice" in one]
    bound = tuple(["2026-01-01"] + ["1"] * 9)[: listing.count("?")]
    async with api.database.snapshot() as tx:
        plan = (await tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {listing}", bound)).all()
        await tx.execute(text("SELECT 1"))
    assert any(index in row[-1] for row in plan), plan
    # Only the fifty rows of a page are sorted: what they are chosen from comes in order.
    chosen = [row for row in plan if row[1] or "pageinate" not in query]
    assert not any("TEMP B-TREE" in row[-1] for row in chosen if "order" in query)


async def test_a_walk_skips_nothing_when_what_it_has_seen_goes(api: Api) -> None:
    made = [(await api.invoice(1))["id"] for _ in range(6)]
    first = await api.get("/api/Invoice", pageinate="true", page_size=2, page_no=1)
    await api.send("DELETE", f"/api/Invoice/{made[0]}")

    rest = [
        await api.get("/api/Invoice", pageinate="true", page_size=2, page_no=number)
        for number in (2, 3)
    ]

    seen = [one["id"] for page in (first, *rest) for one in page["invoices"]]
    assert seen == made


async def test_a_long_lists_length_is_counted_now_and_then_and_a_shorter_ones_each_time(
    api: Api,
) -> None:
    await add_clients(api, LONG - 2)
    lengths = []

    for _ in range(4):
        lengths.append(await length(api))
        await add_clients(api, 1)
    searched = await length(api, search="client 17")

    assert lengths == [LONG - 2, LONG - 1, LONG, LONG]
    assert searched == 111  # another list, counted by itself
    async with asyncio.timeout(4 * COUNT_LASTS_S):
        while await length(api) != LONG + 2:  # noqa: ASYNC110  a clock has no event
            await asyncio.sleep(0.2)


async def length(api: Api, **params: str) -> int:
    listed = await api.get("/api/Client", page_size=10, pageinate="true", **params)
    return int(listed["record_count"])


async def add_clients(api: Api, count: int) -> None:
    """Made in the database: over HTTP so many would take a minute."""
    async with api.database.transaction() as tx:
        made = await tx.scalar(select(func.count()).select_from(Client)) or 0
        rows = [{"name": f"Client {made + n}", "inactive": False} for n in range(count)]
        await tx.execute(insert(Client), rows)

"""Many who read and write the same records at once: nothing is lost, nothing is seen by halves."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from app.storage.tables.invoices import InvoiceLine
from tests.api.client import Answer, Api

pytestmark = pytest.mark.anyio

TIMES = 10


async def together(*calls: Any) -> list[Answer]:
    return list(await asyncio.gather(*calls))


def statuses(answers: list[Answer]) -> list[int]:
    return sorted(one.status for one in answers)


async def test_of_ten_who_read_the_same_version_one_may_write(api: Api) -> None:
    made = await api.invoice(10)
    seen = {"id": made["id"], "last_change_seq": made["change_seq"]}

    answers = await together(
        *(
            api.send("POST", "/api/Invoice", json=[{**seen, "reference": f"by {number}"}])
            for number in range(TIMES)
        )
    )

    assert statuses(answers) == [201] + [409] * (TIMES - 1)
    [won] = [one.json for one in answers if one.status == 201]
    after = await api.get(f"/api/Invoice/{made['id']}")
    assert after["reference"] == won["reference"]
    assert after["change_seq"] == made["change_seq"] + 1


async def test_whoever_lost_reads_again_and_nothing_is_lost(api: Api) -> None:
    made = await api.invoice(10, reference="0")

    async def count_up() -> None:
        while True:
            now = await api.get(f"/api/Invoice/{made['id']}")
            change = {
                "id": made["id"],
                "reference": str(int(now["reference"]) + 1),
                "last_change_seq": now["change_seq"],
            }
            answer = await api.send("POST", "/api/Invoice", json=[change])
            if answer.status == 201:
                return
            assert answer.status == 409, answer.text

    await asyncio.gather(*(count_up() for _ in range(TIMES)))

    assert (await api.get(f"/api/Invoice/{made['id']}"))["reference"] == str(TIMES)


async def test_two_clients_that_add_lines_to_one_invoice_lose_none(api: Api) -> None:
    made = await api.invoice(1)

    async def add(name: str) -> None:
        for number in range(TIMES):
            line = {"unit_price": 1, "item_shortdescription": f"{name}{number}"}
            await api.post("/api/Invoice", {"id": made["id"], "add_lines": [line]})

    await asyncio.gather(add("a"), add("b"))

    after = await api.get(f"/api/Invoice/{made['id']}")
    told = [one["item_shortdescription"] for one in after["lines"][1:]]
    assert sorted(told) == sorted(f"{name}{number}" for name in "ab" for number in range(TIMES))
    assert after["total"] == after["amountdue"] == 2 * TIMES + 1


async def test_clients_that_change_different_lines_leave_each_other_alone(api: Api) -> None:
    made = await api.invoice(*[1] * TIMES)
    changes = [
        {"id": line["id"], "ihid": made["id"], "unit_price": number}
        for number, line in enumerate(made["lines"], start=1)
    ]

    answers = await together(
        *(api.send("POST", "/api/Invoice/updatelines", json=[one]) for one in changes)
    )

    assert statuses(answers) == [200] * TIMES
    after = await api.get(f"/api/Invoice/{made['id']}")
    assert [one["unit_price"] for one in after["lines"]] == list(range(1, TIMES + 1))
    assert after["total"] == sum(range(1, TIMES + 1))


async def test_lines_that_are_added_to_a_template_at_once_are_all_there(api: Api) -> None:
    made = await api.post("/api/RecurringInvoice", {"period": 2})
    lines = [{"ihid": made["id"], "unit_price": number} for number in range(1, TIMES + 1)]

    answers = await together(
        *(api.send("POST", "/api/RecurringInvoice/Lines", json=[one]) for one in lines)
    )

    assert statuses(answers) == [200] * TIMES
    after = await api.get(f"/api/RecurringInvoice/{made['id']}")
    assert sorted(one["unit_price"] for one in after["lines"]) == list(range(1, TIMES + 1))


async def test_a_template_that_many_process_at_once_makes_one_invoice(api: Api) -> None:
    made = await api.post("/api/RecurringInvoice", {"period": 2, "lines": [{"unit_price": 5}]})

    answers = await together(
        *(
            api.send("POST", "/api/RecurringInvoice/process", json=[made["id"]])
            for _ in range(TIMES)
        )
    )

    assert 200 in statuses(answers)
    assert all(one.status < 500 for one in answers)
    there = await api.get("/api/Invoice", recurringinvoice_id=str(made["id"]))
    assert [one["total"] for one in there["invoices"]] == [5]


@pytest.mark.parametrize(("descending", "repeats"), [("false", False), ("true", True)])
async def test_pages_miss_nothing_while_rows_are_inserted(
    api: Api, descending: str, repeats: bool
) -> None:
    """New rows come at the end of a list that ascends; where they come first, rows may repeat."""
    there = {one["id"] for one in await api.post("/api/Invoice", *[{}] * 40)}
    seen: list[int] = []
    done = asyncio.Event()

    async def insert() -> None:
        while not done.is_set():
            await api.post("/api/Invoice", {}, {})

    async def walk() -> None:
        number = 0
        while not there <= set(seen):
            number += 1
            assert number <= 100, "pages that never show what was there"
            page = await api.get("/api/Invoice", pageinate="true", page_size="5", order="id",
                                 orderdesc=descending, page_no=str(number))  # fmt: skip
            assert page["record_count"] >= len(there)
            seen.extend(one["id"] for one in page["invoices"])
        done.set()

    await asyncio.gather(insert(), walk())

    assert there <= set(seen)
    assert repeats or len(seen) == len(set(seen))


async def test_what_is_deleted_while_it_is_read_is_there_whole_or_not_at_all(api: Api) -> None:
    for _ in range(5):
        made = await api.invoice(1, 2, 3, client_id=await api.client())
        one = f"/api/Invoice/{made['id']}"
        listed = f"/api/Invoice?includelines=true&client_id={made['client_id']}"

        answers = await together(
            *(api.send("GET", one) for _ in range(5)),
            *(api.send("GET", listed) for _ in range(5)),
            api.send("DELETE", one),
            *(api.send("GET", one) for _ in range(5)),
            *(api.send("GET", listed) for _ in range(5)),
        )

        assert answers[10].status == 200, answers[10].text
        for answer in (*answers[:5], *answers[11:16]):
            assert answer.status == 404 or len(answer.json["lines"]) == 3
        for answer in (*answers[5:10], *answers[16:]):
            assert [len(each["lines"]) for each in answer.json["invoices"]] in ([3], [])
        assert (await api.send("GET", one)).status == 404


async def test_all_that_is_read_together_is_of_one_moment(api: Api) -> None:
    made = await api.invoice(1, 2, 3)
    lines = select(func.count()).select_from(InvoiceLine).where(InvoiceLine.ihid == made["id"])

    async with api.database.snapshot() as tx:
        before = await tx.scalar(lines)
        assert (await api.send("DELETE", f"/api/Invoice/{made['id']}")).status == 200
        after = await tx.scalar(lines)

    assert (before, after) == (3, 3)


async def test_of_ten_who_delete_one_succeeds(api: Api) -> None:
    made = await api.invoice(10)

    answers = await together(
        *(api.send("DELETE", f"/api/Invoice/{made['id']}") for _ in range(TIMES))
    )

    assert statuses(answers) == [200] + [404] * (TIMES - 1)


async def test_what_is_deleted_while_it_is_changed_is_changed_or_gone(api: Api) -> None:
    for _ in range(5):
        made = await api.invoice(10)
        change = [{"id": made["id"], "add_lines": [{"unit_price": 1}]}]

        *changed, deleted = await together(
            *(api.send("POST", "/api/Invoice", json=change) for _ in range(3)),
            api.send("DELETE", f"/api/Invoice/{made['id']}"),
        )

        assert deleted.status == 200, deleted.text
        assert {one.status for one in changed} <= {201, 404}
        assert (await api.send("GET", f"/api/Invoice/{made['id']}")).status == 404


async def test_an_invoice_is_paid_or_deleted_but_never_both(api: Api) -> None:
    for _ in range(5):
        made = await api.invoice(10)
        payment = [{"invoice_id": made["id"], "amount": 10}]

        paid, deleted = await together(
            api.send("POST", "/api/InvoicePayment", json=payment),
            api.send("DELETE", f"/api/Invoice/{made['id']}"),
        )

        payments = await api.get("/api/InvoicePayment", invoice_id=str(made["id"]))
        still_there = (await api.send("GET", f"/api/Invoice/{made['id']}")).status == 200
        assert (paid.status == 200) is still_there is bool(payments)
        assert (deleted.status == 200) is not still_there


async def test_an_invoice_is_paid_or_voided_but_never_both(api: Api) -> None:
    for _ in range(5):
        made = await api.invoice(10)
        payment = [{"invoice_id": made["id"], "amount": 10}]

        paid, voided = await together(
            api.send("POST", "/api/InvoicePayment", json=payment),
            api.send("POST", f"/api/Invoice/{made['id']}/void"),
        )

        after = await api.get(f"/api/Invoice/{made['id']}")
        assert (paid.status == 200) is (voided.status != 200)
        assert after["voided"] is (voided.status == 200)
        assert after["amountpaid"] == (10 if paid.status == 200 else 0)

"""B8 of the cases from the field: every number is one invoice's, for good; a series has no gaps."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from app.errors import Refused
from app.ledger import invoicing, void_and_delete
from app.rules.home import Home
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.invoices import Invoice
from tests.api.client import Api
from tests.clock import NOW

pytestmark = pytest.mark.anyio

INVOICES = table_of(Invoice)
HOME = Home("usd", "Pacific/Auckland", "INV-{year}-{number:4}")


async def test_a_number_is_one_invoices_also_when_that_one_is_gone(api: Api) -> None:
    first = await api.invoice(1, invoicenumber="A-1")

    for wrong in (
        {"invoicenumber": "A-1"},
        {"id": (await api.invoice(1))["id"], "invoicenumber": "A-1"},
    ):
        answer = await api.send("POST", "/api/Invoice", json=[wrong])
        assert answer.status == 400
        assert answer.json["Message"] == "invoicenumber: 'A-1' is, or was, that of invoice 1"
    twice = await api.send("POST", "/api/Invoice", json=[{"invoicenumber": "B"}] * 2)
    assert (twice.status, "given twice" in twice.json["Message"]) == (400, True)
    await api.send("DELETE", f"/api/Invoice/{first['id']}")
    assert (await api.send("POST", "/api/Invoice", json=[{"invoicenumber": "A-1"}])).status == 400
    # One that changes its number may have it back; whole records are posted back as they are.
    other = await api.invoice(1, invoicenumber="C")
    for number in ("D", "C", "C"):
        changed = {"id": other["id"], "invoicenumber": number}
        assert (await api.post("/api/Invoice", changed))["invoicenumber"] == number
    supplier = {"invoicenumber": "A-1", "invoicetype": 2}
    assert [one["invoicenumber"] for one in await api.post("/api/Invoice", supplier, supplier)] == [
        "A-1"
    ] * 2


async def test_a_copy_of_an_invoice_gets_a_number_of_its_own(api: Api) -> None:
    made = await api.invoice(1)

    copy = await api.post("/api/Invoice", {**made, "id": 0})

    assert [made["invoicenumber"], copy["invoicenumber"]] == ["1", "2"]


async def test_an_id_that_somebody_has_typed_is_no_other_invoices_number(api: Api) -> None:
    await api.invoice(1, invoicenumber="2")
    await api.invoice(1, invoicenumber="3-1")
    await api.post("/api/Invoice", {"invoicenumber": "4"})

    made = await api.post("/api/Invoice", {}, {})

    assert [(one["id"], one["invoicenumber"]) for one in made] == [(4, "4-1"), (5, "5")]


async def _save(database: Database, *records: dict[str, Any], fails: bool = False) -> list[int]:
    async def work(tx: Tx) -> list[int]:
        ids = await invoicing.save(tx, records, now=NOW, who="tests", home=HOME)
        if fails:
            raise Refused("not today")
        return ids

    return await database.with_retry(work)


async def _numbers(database: Database) -> Sequence[str]:
    async with database.snapshot() as tx:
        return list(await tx.scalars(select(INVOICES.c.invoicenumber).order_by(INVOICES.c.id)))


async def test_a_series_has_no_gaps_whoever_fails_and_however_many_write(
    database: Database,
) -> None:
    await _save(database, {}, {"invoicenumber": "INV-2026-0004"}, {})
    with pytest.raises(Refused):
        await _save(database, {}, {}, fails=True)
    await asyncio.gather(*(_save(database, {}, {}) for _ in range(4)))
    # The new year has begun in Auckland.
    await _save(database, {"invoice_date": NOW.replace(month=12, day=31, hour=12)})

    found = await _numbers(database)
    assert sorted(found) == [f"INV-2026-{one:04}" for one in range(1, 12)] + ["INV-2027-0001"]
    assert (found[0], found[2]) == ("INV-2026-0001", "INV-2026-0002")


async def test_an_invoice_of_a_series_is_voided_rather_than_deleted(database: Database) -> None:
    serial, typed = await _save(database, {}, {"invoicenumber": "X"})
    who: dict[str, Any] = {"now": NOW, "who": "tests"}

    async with database.transaction() as tx:
        with pytest.raises(Refused, match="INV-2026-0001 is one of a series"):
            await void_and_delete.delete_invoice(tx, serial, **who, home=HOME)
        await void_and_delete.void(tx, serial, **who)
        await void_and_delete.delete_invoice(tx, typed, **who, home=HOME)

    assert await _numbers(database) == ["INV-2026-0001"]

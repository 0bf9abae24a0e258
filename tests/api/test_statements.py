"""Statements: what a client's account says of some days."""

from datetime import date

import pytest

from app.documents.statement_document import load_statement_document
from app.errors import InvalidField, NotFound
from tests.api.client import Api
from tests.clock import NOW

pytestmark = pytest.mark.anyio


async def test_a_statement_is_the_account_of_its_days(api: Api) -> None:
    client = await api.client(name="Ada Ltd")
    days = {"2026-10-05": 40, "2026-11-03": 100, "2026-11-20": 7, "2026-12-01": 1}
    made = [
        await api.invoice(price, client_id=client, invoice_date=day, duedate=day)
        for day, price in days.items()
    ]
    note = await api.invoice(-30, client_id=client, invoicetype=1, invoice_date="2026-11-10")
    paid = {"invoice_id": made[1]["id"], "amount": 60, "date": "2026-11-15"}
    await api.post("/api/InvoicePayment", paid)
    await api.invoice(1, client_id=await api.client(), invoice_date="2026-11-10")

    async with api.database.snapshot() as tx:
        november = await load_statement_document(
            tx, client, (date(2026, 11, 1), date(2026, 11, 30)), timezone="UTC", now=NOW
        )
        with pytest.raises(NotFound):
            await load_statement_document(tx, 4711, november.period, timezone="UTC", now=NOW)
        with pytest.raises(InvalidField, match="before"):
            await load_statement_document(
                tx, client, november.period[::-1], timezone="UTC", now=NOW
            )

    assert november.opening == 40
    assert [(str(one.day), one.number, one.amount) for one in november.entries] == [
        ("2026-11-03", made[1]["invoicenumber"], 100),
        ("2026-11-10", note["invoicenumber"], -30),
        ("2026-11-15", "", -60),
        ("2026-11-20", made[2]["invoicenumber"], 7),
    ]
    assert november.closing == 57

"""A client's personal data is given out or erased; the books, the audit and every sum stay."""

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from app.errors import NotFound, Refused
from app.ledger import audit_chain, journal_check, personal_data
from app.storage.column_types import Row, table_of
from app.storage.engines import Database
from app.storage.tables.clients import Site
from app.storage.tables.invoices import InvoiceChange
from app.storage.tables.outbox_messages import OutboxMessage
from tests.harness import CLIENTS, EVENTS, INVOICES, PAYMENTS, Paydue, event, intent
from tests.ledger_acts import LedgerActs

pytestmark = pytest.mark.anyio

CHANGES, SITES, MESSAGES = table_of(InvoiceChange), table_of(Site), table_of(OutboxMessage)
NOW = datetime.now(UTC)
# Each is a text by which Ada can be known, and stands in a column or a body of its own.
PERSONAL = ("Ada Lovelace", "ada@example.com", "12 St James", "DE123456789", "+44 20 7946", "4242",
            "ada-at-the-door", "Dear Ada")  # fmt: skip


def _told_in(text: str) -> list[str]:
    """Those that stand there as words of their own: a random id may have any four digits."""
    return [one for one in PERSONAL if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text)]


@pytest.fixture
async def ada(paydue: Paydue) -> int:
    """A client with a paid invoice, a site, a mail, and events that name her."""
    client = await paydue.a_client(
        name="Ada Lovelace", email="ada@example.com", address1="12 St James", city="London",
        vat_number="DE123456789", extra={"note": "ada-at-the-door"},
        stripe_payment_method_name="visa 4242",
    )  # fmt: skip
    acts = LedgerActs(paydue.database)
    paid = await acts.invoice(120, client_id=client, take_auto_payment=True)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(INVOICES).where(INVOICES.c.id == paid).values(duedate=NOW.date()))
        await tx.execute(
            SITES.insert().values(name="Home of Ada Lovelace", client_id=client,
                                  inactive=False, phonenumber="+44 20 7946")
        )  # fmt: skip
        await tx.execute(MESSAGES.insert().values(_mail(client)))
    await paydue.autopay()
    await paydue.deliver(*paydue.sandbox.events)
    told = next(one for one in paydue.sandbox.events if one["type"] == "payment_intent.succeeded")
    named = {"receipt_email": "ada@example.com", "shipping": {"name": "Ada Lovelace"}}
    await paydue.deliver(event(told["type"], {**told["data"]["object"], **named}))
    await audit_chain.seal(paydue.database)
    return client


def _mail(client: int) -> dict[str, Any]:
    return {
        "key": "receipt:1", "channel": "mail", "kind": "receipt", "client_id": client,
        "state": "sent", "created_at": NOW, "next_try_at": NOW, "tries": 1,
        "recipient": "ada@example.com", "subject": "Your receipt", "text_body": "Dear Ada",
        "html_body": "<p>Dear Ada</p>", "facts": {"name": "Ada Lovelace"},
    }  # fmt: skip


async def _everything(database: Database) -> str:
    """Every value of every table, as text."""
    found = []
    async with database.snapshot() as tx:
        for table in Row.metadata.sorted_tables:
            found += [str(tuple(row)) for row in await tx.execute(select(table))]
    return "\n".join(found)


async def _sums(paydue: Paydue) -> list[Any]:
    """The amounts of every invoice and payment."""
    async with paydue.database.snapshot() as tx:
        invoices = await tx.execute(
            select(INVOICES.c.id, INVOICES.c.total, INVOICES.c.amountpaid, INVOICES.c.amountdue)
        )
        payments = await tx.execute(select(PAYMENTS.c.id, PAYMENTS.c.amount, PAYMENTS.c.counted))
        return [tuple(row) for row in (*invoices, *payments)]


async def test_an_erased_client_is_nowhere_to_be_read_and_every_sum_stays(
    paydue: Paydue, ada: int
) -> None:
    other = await paydue.a_client(name="Bob Byron", email="bob@example.com")
    before, sums = await _everything(paydue.database), await _sums(paydue)
    assert _told_in(before) == [*PERSONAL]

    done = await personal_data.erase(
        paydue.database, ada, who="Grace", reason="asked for it", now=NOW
    )

    after = await _everything(paydue.database)
    assert _told_in(after) == []
    assert await _sums(paydue) == sums
    assert (done.events > 0, done.invoices) == (True, 1)
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == ada)
    assert (row.name, row.inactive, row.stripe_customer_id) == (f"Erased client {ada}", True, None)
    (bob,) = await paydue.rows(CLIENTS, CLIENTS.c.id == other)
    assert (bob.name, bob.email) == ("Bob Byron", "bob@example.com")


async def test_an_erasure_stands_in_the_audit_and_leaves_it_and_the_books_whole(
    paydue: Paydue, ada: int
) -> None:
    await personal_data.erase(paydue.database, ada, who="Grace", reason="asked for it", now=NOW)
    await audit_chain.seal(paydue.database)

    async with paydue.database.snapshot() as tx:
        books = await journal_check.list_differences(tx)
        chain = await audit_chain.verify(tx, None)
    changes = await paydue.rows(CHANGES, CHANGES.c.field_name == "personal_data")

    assert (books, chain.faults, chain.unsealed) == ([], [], 0)
    assert [(one.who, one.new_value) for one in changes] == [
        ("Grace", f"client {ada} erased: asked for it")
    ]


async def test_an_event_that_comes_again_after_the_erasure_changes_nothing(
    paydue: Paydue, ada: int
) -> None:
    await personal_data.erase(paydue.database, ada, who="Grace", reason="asked for it", now=NOW)
    sums = await _sums(paydue)

    statuses = await paydue.deliver(*paydue.sandbox.events)

    assert set(statuses) == {200}
    assert await _sums(paydue) == sums
    after = await _everything(paydue.database)
    assert [one for one in ("Ada", "ada@") if one in after] == []


async def test_nothing_is_erased_while_money_is_under_way(paydue: Paydue, ada: int) -> None:
    unpaid = await LedgerActs(paydue.database).invoice(30, client_id=ada)
    before = await _everything(paydue.database)

    with pytest.raises(Refused, match=f"an invoice is not paid: {unpaid}"):
        await personal_data.erase(paydue.database, ada, who="Grace", reason="no", now=NOW)

    assert await _everything(paydue.database) == before


async def test_a_dispute_a_template_and_a_parked_event_are_waited_for(
    paydue: Paydue, ada: int
) -> None:
    (payment,) = [one for one in await paydue.payments() if one.client_id == ada]
    paydue.sandbox.open_dispute(payment.intent_id, reason="fraudulent")
    await paydue.deliver(*paydue.sandbox.events)
    async with paydue.database.transaction() as tx:
        template = {
            "id": -7, "client_id": ada, "is_recurring_invoice": True, "total": 0, "amountdue": 0,
        }  # fmt: skip
        await tx.execute(INVOICES.insert().values(template))
        own = EVENTS.c.intent_id == payment.intent_id
        await tx.execute(update(EVENTS).where(own).values(state="parked"))

    with pytest.raises(Refused) as said:
        await personal_data.erase(paydue.database, ada, who="Grace", reason="no", now=NOW)

    for words in ("a dispute is open", "a template still bills: -7", "an event is not applied"):
        assert words in str(said.value)


async def test_an_export_has_every_row_about_the_client_and_none_of_another(
    paydue: Paydue, ada: int
) -> None:
    await paydue.an_invoice(client=await paydue.a_client(name="Bob Byron"))
    await paydue.deliver(event("payment_intent.succeeded", intent(None, description="Bob Byron")))

    rows = [one async for one in personal_data.export(paydue.database, ada)]

    text = orjson.dumps(rows).decode()
    assert _told_in(text) == [*PERSONAL]
    assert "Bob Byron" not in text
    assert {one["table"] for one in rows} == {
        "client", "site", "invoice", "invoice_line", "invoice_change", "invoice_payment",
        "stripe_payment", "charge_attempt", "outbox_message", "stripe_event",
    }  # fmt: skip
    (own,) = [one for one in rows if one["table"] == "client"]
    assert (own["id"], own["email"]) == (ada, "ada@example.com")


async def test_a_client_that_there_is_not_is_named(paydue: Paydue) -> None:
    with pytest.raises(NotFound, match="client 999"):
        await personal_data.erase(paydue.database, 999, who="Grace", reason="no", now=NOW)

"""A link's page at Stripe ends with the link, and with the debt of its invoices."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe
from sqlalchemy import update

from app.ledger import link_sessions, pay_links
from app.ledger.link_sessions import SESSIONS
from app.payments.checkout.session_closing import SessionClosing
from app.sandbox.server import Sandbox
from tests.gate import Gate
from tests.harness import Paydue, settings_for
from tests.test_autopay_rules import post
from tests.test_cli import DONE, FAILED, Command, command
from tests.test_one_payable_way import taken
from tests.test_pay_links import (
    DUE,
    a_link,
    client,  # noqa: F401  the fixture of Stripe's client
    complete,
    hear,
    look,
    owed,
    press,
    sessions,
)

pytestmark = pytest.mark.anyio

EXPIRE = "POST /v1/checkout/sessions/{id}/expire"


async def revoke(paydue: Paydue) -> None:
    async with paydue.database.transaction() as tx:
        for one in await pay_links.list_links(tx, paydue.database.now()):
            await pay_links.revoke_link(tx, one.id, who="tests", now=paydue.database.now())


async def close(paydue: Paydue) -> str:
    """The worker's look."""
    return await paydue.node.session_closing().run()


async def states(paydue: Paydue) -> list[str]:
    return [one.state for one in await paydue.rows(SESSIONS, SESSIONS.c.id > 0)]


async def test_a_revoked_links_page_takes_no_money(
    paydue: Paydue,
    client: stripe.StripeClient,  # noqa: F811
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    session = (await press(paydue, path)).session
    before = await close(paydue)

    await revoke(paydue)
    after, later = await close(paydue), await close(paydue)

    assert before == "1 open, 0 closed, 0 without an answer"
    assert after == "1 open, 1 closed, 0 without an answer"
    assert later == "none open"
    assert await sessions(client) == [(session, "expired")]
    assert await states(paydue) == ["expired"]
    assert taken(paydue) == 0


PAID = "paid by hand"
PARTLY, VOIDED, DEARER = "paid in part", "voided", "made dearer"


@pytest.mark.parametrize("what", [PAID, PARTLY, VOIDED, DEARER])
async def test_a_page_that_would_take_more_than_is_owed_is_closed(
    paydue: Paydue,
    client: stripe.StripeClient,  # noqa: F811
    what: str,
) -> None:
    client_id = await paydue.a_client()
    invoices = [await paydue.an_invoice(client=client_id) for _ in range(2)]
    path = await a_link(paydue, client=client_id)
    session = (await press(paydue, path)).session
    acts: dict[str, tuple[str, Any]] = {
        PAID: ("InvoicePayment", [{"invoice_id": invoices[1], "amount": 120}]),
        PARTLY: ("InvoicePayment", [{"invoice_id": invoices[1], "amount": 1}]),
        VOIDED: (f"Invoice/{invoices[1]}/void", {}),
        DEARER: ("Invoice", [{"id": invoices[1], "total": 500}]),
    }

    status, _ = await post(paydue, *acts[what])
    await close(paydue)

    assert status < 300
    is_closed = what != DEARER
    assert await sessions(client) == [(session, "expired" if is_closed else "open")]
    if is_closed:
        page = await look(paydue, path)
        assert page.status == 200, "the link itself still shows what is left"


async def test_a_page_that_was_paid_before_the_link_was_revoked_stays_paid(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    complete(paydue, (await press(paydue, path)).session)

    await revoke(paydue)
    said = await close(paydue)
    await hear(paydue)

    assert said == "1 open, 1 closed, 0 without an answer"
    assert await states(paydue) == ["complete"]
    assert await owed(paydue, invoice) == [0]
    assert taken(paydue) == DUE


async def test_without_an_answer_of_stripe_it_is_shown_and_tried_again(
    paydue: Paydue,
    client: stripe.StripeClient,  # noqa: F811
    tmp_path: Path,
    database_url: str,
    stripe_url: str,
) -> None:
    run: Command = command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)
    invoice = await paydue.an_invoice()
    session = (await press(paydue, await a_link(paydue, invoice))).session
    (row,) = await paydue.rows(SESSIONS, SESSIONS.c.id > 0)
    paydue.sandbox.fault(EXPIRE, kind="status", status=500, times=1)

    revoked = await run("links", "revoke", str(row.link_id), "--by", "Ann")
    listed = await run("links", "list", "--all", "--json")
    too_soon = await close(paydue)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(SESSIONS).values(next_try_at=paydue.database.now()))
    at_last = await close(paydue)

    assert revoked.code == FAILED
    assert f"link {row.link_id} is revoked" in revoked.out
    assert f"its page {session} at Stripe may be paid until" in revoked.err
    assert "HTTP 500" in revoked.err
    (shown,) = listed.json()
    assert shown["open_session_id"] == session
    assert "HTTP 500" in shown["open_session_error"]
    assert too_soon == "1 open, 0 closed, 0 without an answer"
    assert at_last == "1 open, 1 closed, 0 without an answer"
    assert await sessions(client) == [(session, "expired")]


async def test_the_command_expires_the_page_at_once(
    paydue: Paydue, tmp_path: Path, database_url: str, stripe_url: str
) -> None:
    run: Command = command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)
    session = (await press(paydue, await a_link(paydue, await paydue.an_invoice()))).session
    (row,) = await paydue.rows(SESSIONS, SESSIONS.c.id > 0)

    before = await run("links", "list", "--json")
    done = await run("links", "revoke", str(row.link_id), "--by", "Ann")

    assert [one["open_session_id"] for one in before.json()] == [session]
    assert done.code == DONE
    assert done.out.endswith(f"its page {session} at Stripe is expired\n")


async def test_a_link_that_is_revoked_while_its_session_is_made_shows_none(
    gate: Gate, database_url: str, sandbox: Sandbox
) -> None:
    async with Paydue.running(settings_for(database_url, gate.url), sandbox) as paydue:
        path = await a_link(paydue, await paydue.an_invoice())
        made = gate.hold("POST", "/checkout/sessions")

        pressed = asyncio.create_task(press(paydue, path))
        await made.came()
        await revoke(paydue)
        made.let_go()
        found = await pressed
        shown = await states(paydue)

    assert found.status == 404
    open_ones = [one for one in sandbox.events if one["type"] == "checkout.session.expired"]
    assert (len(open_ones), shown) == (1, [])


async def test_what_ended_by_itself_is_asked_for_no_more(paydue: Paydue) -> None:
    await press(paydue, await a_link(paydue, await paydue.an_invoice()))
    long_ago = datetime.now(UTC) - link_sessions.OVER_AFTER - timedelta(seconds=5)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(SESSIONS).values(ends_at=long_ago))
    requests = len(paydue.sandbox.requests)

    await close(paydue)

    assert await states(paydue) == ["expired"]
    assert len(paydue.sandbox.requests) == requests
    assert isinstance(paydue.node.session_closing(), SessionClosing)


async def test_no_link_is_made_of_an_address_that_a_caller_writes(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    headers = {**await paydue.access(), "Host": "evil.example"}

    async with paydue.http.post(
        "/api/PayLink", json={"invoice_id": invoice}, headers=headers
    ) as answer:
        status, text = answer.status, await answer.text()
    page = await look(paydue, path, Host="evil.example")
    button = await press(paydue, path, Host="evil.example")

    assert status == 503
    assert "PAYDUE_PUBLIC_URL is not set" in text
    assert "evil" not in page.text
    assert button.status == 503
    assert not paydue.sandbox.requests
    assert "evil" not in str((await paydue.invoice(invoice)).extra)

"""A client objects to a coming charge by a button: it is held, and finance is told."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.ledger import autopay_pauses, charge_objections, outbox
from app.ledger.audit import CHANGES
from app.ledger.charge_objections import OBJECTIONS
from app.rules.mail_kind import MailKind
from tests.harness import Paydue, settings_for, today
from tests.mail_server import mail_server
from tests.mail_worker import mail_settings
from tests.test_cli import Command, command
from tests.test_mail import OUTBOX, Post
from tests.test_pay_links import Shown, look

pytestmark = pytest.mark.anyio

PUBLIC = "https://pay.example.com"
ADDRESS = re.compile(rf"{PUBLIC}(/object/[\w-]{{43}})")


async def press(paydue: Paydue, path: str) -> Shown:
    async with paydue.http.post(path) as answer:
        return Shown(answer.status, await answer.text(), dict(answer.headers))


async def a_coming_charge(post: Post, *invoices: int, more: int = 0, **settings: Any) -> str:
    """The mail of a charge in three days; answers the path of its address, or nothing."""
    paydue, now = post.paydue, post.paydue.database.now()
    row = await paydue.invoice(invoices[0])
    facts = {
        "amount": "120.00", "currency": "usd", "count": len(invoices) + more,
        "charge_on": (today() + timedelta(days=3)).isoformat(),
        "invoices": [{"id": one} for one in invoices],
    }  # fmt: skip
    message = charge_message(facts, row.client_id, now)
    await post.switch_on(MailKind.COMING_CHARGE)
    async with paydue.database.transaction() as tx:
        await outbox.queue(tx, [message])
    await post.send(**{"PAYDUE_PUBLIC_URL": PUBLIC, **settings})
    mail = post.server.mails[-1]
    texts = [part.get_content() for part in mail.walk() if not part.is_multipart()]
    found = [ADDRESS.findall(one) for one in texts]
    assert all(one == found[0] for one in found), "text and HTML have the same address"
    return str(found[0][0]) if found[0] else ""


def charge_message(facts: dict[str, Any], client_id: int, now: datetime) -> Any:
    occasion = f"tests {facts['invoices'][0]['id']}"
    return outbox.message(MailKind.COMING_CHARGE, occasion, facts, now=now, client_id=client_id)


async def a_due_invoice(paydue: Paydue, **columns: Any) -> int:
    client = await paydue.a_client(email="ann@client.example")
    return await paydue.an_invoice(client=client, due=today() + timedelta(days=3), **columns)


async def why(paydue: Paydue, invoice: int) -> dict[str, Any]:
    headers = await paydue.access()
    async with paydue.http.get(f"/api/Invoice/{invoice}/autopay", headers=headers) as answer:
        found: dict[str, Any] = await answer.json()
        return found


@pytest.fixture
def run(tmp_path: Path, database_url: str, stripe_url: str) -> Command:
    return command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)


async def test_the_button_holds_the_charge_and_opening_the_address_does_not(
    paydue: Paydue, run: Command
) -> None:
    async with mail_server() as server:
        post = Post(paydue, server)
        invoice = await a_due_invoice(paydue, invoicenumber="INV-5")
        path = await a_coming_charge(post, invoice)
    day = today() + timedelta(days=3)

    scanned = [await look(paydue, path) for _ in range(3)]
    before = await why(paydue, invoice)
    pressed, again = await press(paydue, path), await press(paydue, path)
    held = await why(paydue, invoice)
    charged = await paydue.autopay(day)
    listed = (await run("mail", "objections", "--json")).json()
    (one,) = await paydue.rows(autopay_pauses.PAUSES, autopay_pauses.PAUSES.c.id > 0)
    released = await run("pauses", "end", str(one.id), "--by", "Ann")
    after = await press(paydue, path)
    report = await paydue.autopay(day)

    assert {page.status for page in scanned} == {200}
    assert "INV-5" in scanned[0].text
    assert "<form" in scanned[0].text
    assert before["will_be_charged"]
    for shown in (pressed, again, after):
        assert shown.status == 200
        assert "None of this is charged automatically" in shown.text
        assert "<form" not in shown.text
    assert "the client objects to the charge of" in held["sentence"]
    assert not held["will_be_charged"]
    assert charged["charged"] == []
    assert listed[0]["objected_at"]
    assert released.code == 0
    assert [entry["invoice_id"] for entry in report["charged"]] == [invoice]
    (change,) = await paydue.rows(CHANGES, CHANGES.c.field_name == "autopay_pause")
    assert (change.invoice_id, change.who) == (invoice, charge_objections.BY_MAIL)


async def test_finance_is_told_once(database_url: str, sandbox: Any, stripe_url: str) -> None:
    async with mail_server() as server:
        settings = settings_for(database_url, stripe_url, **mail_settings(server.port))
        async with Paydue.running(settings, sandbox) as paydue:
            post = Post(paydue, server)
            invoice = await a_due_invoice(paydue)
            path = await a_coming_charge(post, invoice)
            await press(paydue, path)
            await press(paydue, path)
            await post.send()
            alerts = await paydue.rows(OUTBOX, OUTBOX.c.kind == "alert")

        told = server.to("finance@seller.example")

    assert [one.state for one in alerts] == ["sent"]
    assert len(told) == 1
    assert "objects to a charge" in str(told[0]["Subject"])
    body = told[0].get_body(("plain",))
    assert body is not None
    assert str(invoice) in body.get_content()


async def test_an_address_ends_with_its_charge_or_when_it_is_withdrawn(
    paydue: Paydue, run: Command
) -> None:
    async with mail_server() as server:
        post = Post(paydue, server)
        paths = [await a_coming_charge(post, await a_due_invoice(paydue)) for _ in range(2)]
    rows = await paydue.rows(OBJECTIONS, OBJECTIONS.c.id > 0)
    assert all(one.expires_at.date() == one.charge_on + timedelta(days=1) for one in rows)
    async with paydue.database.transaction() as tx:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await tx.execute(
            OBJECTIONS.update().where(OBJECTIONS.c.id == rows[0].id).values(expires_at=past)
        )
    withdrawn = await run("mail", "withdraw", str(rows[1].id), "--by", "Ann")

    pages = [await look(paydue, path) for path in (*paths, f"/object/{'x' * 43}", "/object/x")]
    pressed = [await press(paydue, path) for path in paths]

    assert withdrawn.code == 0
    assert {(one.status, one.text) for one in [*pages, *pressed]} == {(404, pages[0].text)}
    assert await paydue.rows(autopay_pauses.PAUSES, autopay_pauses.PAUSES.c.id > 0) == []


async def test_no_address_is_mailed_that_would_hold_a_part_or_that_nobody_can_reach(
    paydue: Paydue,
) -> None:
    async with mail_server() as server:
        post = Post(paydue, server)
        part = await a_coming_charge(post, await a_due_invoice(paydue), more=1)
        unreachable = await a_coming_charge(post, await a_due_invoice(paydue), PAYDUE_PUBLIC_URL="")

    assert (part, unreachable) == ("", "")
    assert await paydue.rows(OBJECTIONS, OBJECTIONS.c.id > 0) == []


async def test_a_charge_that_has_begun_is_said_not_to_be_held(paydue: Paydue) -> None:
    async with mail_server() as server:
        post = Post(paydue, server)
        invoice = await a_due_invoice(paydue)
        path = await a_coming_charge(post, invoice)
    confirm = "POST /v1/payment_intents/{id}/confirm"
    paydue.sandbox.fault(confirm, kind="drop", when="after", times=1)
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=20)
    await paydue.autopay(today() + timedelta(days=3))

    shown = await press(paydue, path)

    assert "can no longer be stopped here" in shown.text


async def test_what_is_paid_is_not_to_be_held(paydue: Paydue) -> None:
    async with mail_server() as server:
        post = Post(paydue, server)
        invoice = await a_due_invoice(paydue)
        path = await a_coming_charge(post, invoice)
    await paydue.autopay(today() + timedelta(days=3))

    shown = await look(paydue, path)
    await press(paydue, path)

    assert "nothing will be charged" in shown.text
    assert "<form" not in shown.text
    assert await paydue.rows(autopay_pauses.PAUSES, autopay_pauses.PAUSES.c.id > 0) == []

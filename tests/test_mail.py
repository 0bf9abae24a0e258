"""Mail is queued with what it tells, sent once, and never twice, whoever dies on the way."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.ledger import outbox
from app.mail.mail_delivery import DeliveryCounts
from app.rules.mail_kind import MailKind
from app.storage.column_types import table_of
from app.storage.tables.clients import Client
from app.storage.tables.outbox_messages import OutboxMessage
from tests.harness import Paydue, event
from tests.mail_server import STEPS, MailServer, mail_server
from tests.mail_worker import mail_settings
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

OUTBOX = table_of(OutboxMessage)
CLIENTS = table_of(Client)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Post:
    """A Paydue whose mail goes to a server of ours."""

    paydue: Paydue
    server: MailServer

    async def switch_on(self, *kinds: MailKind) -> None:
        async with self.paydue.database.transaction() as tx:
            await outbox.switch(tx, kinds or list(MailKind), is_on=True)

    async def send(self, **settings: Any) -> DeliveryCounts:
        node = self.paydue.node
        told = mail_settings(self.server.port, **settings)
        used = type(node.settings).model_validate(
            {**node.settings.model_dump(by_alias=True), **told}
        )
        return await replace(node, settings=used).mail_delivery().run()

    async def rows(self) -> list[Any]:
        return await self.paydue.rows(OUTBOX, OUTBOX.c.id > 0)

    async def states(self) -> list[tuple[str, str]]:
        return [(row.kind, row.state) for row in await self.rows()]

    async def a_paid_invoice(self, **columns: Any) -> int:
        """An invoice that autopay has charged, of a client with an address."""
        client = await self.paydue.a_client(**{"email": "ann@client.example", **columns})
        invoice = await self.paydue.an_invoice("120.00", client=client)
        await self.paydue.autopay()
        return invoice

    async def let_leases_end(self) -> None:
        async with self.paydue.database.transaction() as tx:
            is_leased = OUTBOX.c.lease_until.is_not(None)
            await tx.execute(update(OUTBOX).where(is_leased).values(lease_until=LONG_AGO))

    async def let_waits_end(self) -> None:
        async with self.paydue.database.transaction() as tx:
            await tx.execute(update(OUTBOX).values(next_try_at=LONG_AGO))


@pytest.fixture
async def post(paydue: Paydue) -> AsyncIterator[Post]:
    async with mail_server() as server:
        yield Post(paydue, server)


async def test_nothing_is_queued_or_sent_before_a_kind_is_switched_on(post: Post) -> None:
    await post.a_paid_invoice()
    await post.paydue.an_invoice(client=await post.paydue.a_client("insufficient_funds"))
    await post.paydue.autopay()

    counts = await post.send()

    assert counts == DeliveryCounts()
    assert await post.rows() == []
    assert post.server.mails == []


async def test_a_receipt_is_queued_with_the_payment_and_sent_once(post: Post) -> None:
    await post.switch_on(MailKind.RECEIPT)
    invoice = await post.a_paid_invoice(name="Ann & Söhne", language="de")
    await post.paydue.deliver(*post.paydue.sandbox.events)

    first = await post.send()
    second = await post.send()

    (mail,) = post.server.mails
    (row,) = await post.rows()
    assert (first.sent, second.sent) == (1, 0)
    assert mail["To"] == "ann@client.example"
    assert mail["Subject"] == "Zahlungsbestätigung über 120,00\xa0$"
    assert mail["Message-ID"] == row.message_id
    assert (row.state, row.invoice_id, row.recipient) == ("sent", invoice, mail["To"])
    text, html = parts_of(mail)
    assert "Guten Tag Ann & Söhne," in text
    assert "Ann &amp; Söhne" in html
    assert text.strip() == row.text_body.strip()


async def test_a_payment_of_long_ago_that_a_history_brings_is_not_told(post: Post) -> None:
    await post.switch_on(MailKind.RECEIPT)
    client = await post.paydue.a_client(email="ann@client.example")
    invoice = await post.paydue.an_invoice("120.00", client=client, take_auto_payment=False)
    old = int((datetime.now(UTC) - timedelta(days=30)).timestamp())
    paid = await post.paydue.own_intent(invoice, created=old)

    await post.paydue.deliver(event("payment_intent.succeeded", paid, created=old))

    assert (await post.paydue.invoice(invoice)).amountdue == 0
    assert await post.rows() == []


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        ("insufficient_funds", "declined", "We will try again on"),
        ("lost_card", "action_needed", "give us another payment method"),
        ("authentication_required", "action_needed", "give us another payment method"),
    ],
)
async def test_a_decline_is_told_by_the_kind_that_says_what_comes_next(
    post: Post, behaviour: str, kind: str, words: str
) -> None:
    await post.switch_on()
    client = await post.paydue.a_client(behaviour, email="ann@client.example")
    await post.paydue.an_invoice("120.00", client=client)
    await post.paydue.autopay()
    await post.paydue.autopay()

    await post.send()

    (mail,) = post.server.mails
    assert await post.states() == [(kind, "sent")]
    assert words in parts_of(mail)[0]


async def test_a_decline_is_not_told_once_its_invoice_is_paid(post: Post) -> None:
    await post.switch_on(MailKind.DECLINED)
    client = await post.paydue.a_client("insufficient_funds", email="ann@client.example")
    invoice = await post.paydue.an_invoice("120.00", client=client)
    await post.paydue.autopay()
    paid = await post.paydue.own_intent(invoice)
    await post.paydue.deliver(event("payment_intent.succeeded", paid))

    await post.send()

    (row,) = await post.rows()
    assert (row.state, row.error) == ("skipped", "nothing of it is owed any more")
    assert post.server.mails == []


async def test_a_dispute_is_told_to_finance_once(post: Post) -> None:
    await post.switch_on(MailKind.DISPUTE)
    invoice = await post.a_paid_invoice()
    payment = (await post.paydue.payments(invoice))[0]
    post.paydue.sandbox.open_dispute(payment.intent_id, amount=5000, reason="fraudulent")
    for _ in range(2):
        await post.paydue.deliver(*post.paydue.sandbox.events)

    await post.send()

    (mail,) = post.server.mails
    assert mail["To"] == "finance@seller.example"
    assert "$50.00" in str(mail["Subject"])
    assert "fraudulent" in parts_of(mail)[0]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"email": None}, "there is no mail address"),
        ({"email": "a@b.example\r\nBcc: x@y.example"}, "no mail address"),
        ({"email": "ann"}, "no mail address"),
        ({"mail_off": "receipt"}, "does not get this kind"),
        ({"mail_off": "all"}, "does not get this kind"),
    ],
)
async def test_a_client_who_cannot_or_will_not_get_it_is_skipped_and_the_row_says_why(
    post: Post, columns: dict[str, Any], why: str
) -> None:
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice(**columns)

    await post.send()

    (row,) = await post.rows()
    assert row.state == "skipped"
    assert why in row.error
    assert post.server.mails == []


async def test_no_text_of_others_makes_a_header_a_link_or_markup(post: Post) -> None:
    await post.switch_on(MailKind.RECEIPT)
    name = "<b>Ann</b>\r\nBcc: spy@evil.example\u202e"
    await post.a_paid_invoice(name=name)

    await post.send()

    (mail,) = post.server.mails
    text, html = parts_of(mail)
    assert post.server.envelopes == [("billing@seller.example", ["ann@client.example"])]
    assert mail["Bcc"] is None
    assert "<b>" not in html
    assert "\u202e" not in text + html
    assert "\nBcc:" not in text


# --- a server that fails -------------------------------------------------------------------------


async def test_a_server_that_is_away_or_puts_off_gets_the_mail_later(post: Post) -> None:
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice()
    for replies in ({"MAIL": "450 busy"}, {"RCPT": "451 greylisted"}, {"text": "452 full"}):
        post.server.replies = replies
        await post.send()
        (row,) = await post.rows()
        assert (row.state, row.error[:3]) == ("queued", next(iter(replies.values()))[:3])
        await post.let_waits_end()
    await post.send(PAYDUE_SMTP_PORT=9)
    await post.let_waits_end()
    post.server.replies = {}

    await post.send()

    assert len(post.server.mails) == 1
    assert await post.states() == [("receipt", "sent")]


async def test_a_mailbox_that_is_refused_is_shown_and_stops_no_other(post: Post) -> None:
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice(email="gone@client.example")
    await post.a_paid_invoice(email="two@client.example, gone@client.example")
    post.server.refused = {"gone@client.example"}

    counts = await post.send()

    lost, sent = await post.rows()
    assert (counts.sent, counts.failed) == (1, 1)
    assert (lost.state, sent.state) == ("failed", "sent")
    assert lost.error == "550 5.1.1 no such mailbox"
    assert "no such mailbox" in sent.error
    assert post.server.envelopes == [("billing@seller.example", ["two@client.example"])]


async def test_a_mail_that_could_not_be_sent_for_days_fails(post: Post) -> None:
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice()
    post.server.replies = {"RCPT": "451 greylisted"}
    async with post.paydue.database.transaction() as tx:
        await tx.execute(update(OUTBOX).values(created_at=LONG_AGO))

    await post.send()

    assert await post.states() == [("receipt", "failed")]


@pytest.mark.parametrize("step", ["DATA", "text"])
async def test_a_mail_without_an_answer_is_sent_again_by_a_person_only(
    post: Post, step: str
) -> None:
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice()
    post.server.drops_at = step
    await post.send()
    before = len(post.server.mails)
    post.server.drops_at = ""
    await post.let_waits_end()
    await post.send()
    assert await post.states() == [("receipt", "unknown")]
    assert len(post.server.mails) == before == (step == "text")

    async with post.paydue.database.transaction() as tx:
        await outbox.retry(tx, (await post.rows())[0].id, now=post.paydue.database.now())
    await post.send()

    assert await post.states() == [("receipt", "sent")]
    assert len({mail["Message-ID"] for mail in post.server.mails}) == 1


async def test_a_worker_that_lost_its_lease_sends_nothing(post: Post) -> None:
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice()

    async def take_over() -> None:
        post.server.meanwhile = None
        await post.let_leases_end()
        await post.send()

    post.server.meanwhile = take_over

    await post.send()

    assert len(post.server.mails) == 1
    assert await post.states() == [("receipt", "sent")]


# --- a worker that dies --------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_worker_mails_nothing_twice(
    post: Post, database_url: str, stripe_url: str, step: str
) -> None:
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice()
    child = await _a_worker(post, database_url, stripe_url)
    died_at = _kill_at(post.server, step, child)

    async with asyncio.timeout(wait_limit(60)):
        code = await child.wait()
    post.server.stop = lambda step: None
    await post.let_leases_end()
    await post.send()
    await post.let_leases_end()
    await post.send()

    (state,) = [state for _, state in await post.states()]
    assert (died_at, code) == ([step], -signal.SIGKILL)
    if step in ("DATA", "text"):  # after the mark nobody knows, and nobody sends it again
        assert state == "unknown"
        assert len(post.server.mails) == (step == "text")
    else:
        assert state == "sent"
        assert len(post.server.mails) == 1


def _kill_at(server: MailServer, step: str, child: asyncio.subprocess.Process) -> list[str]:
    died_at: list[str] = []

    def stop(reached: str) -> None:
        if reached == step and not died_at:
            died_at.append(reached)
            os.kill(child.pid, signal.SIGKILL)

    server.stop = stop
    return died_at


async def _a_worker(post: Post, database_url: str, stripe_url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.mail_worker", database_url, stripe_url, str(post.server.port),
        cwd=Path(__file__).parents[1],
    )  # fmt: skip


def parts_of(mail: Any) -> tuple[str, str]:
    """The text and the HTML of a mail."""
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return text.get_content().replace("\r\n", "\n"), html.get_content()

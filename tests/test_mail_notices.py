"""Coming charges, reminders, statements and expiring cards are told in time, and once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from app.ledger import autopay_pauses
from app.ledger.payment_promises import promise
from app.rules.card_expiry import CardExpiry, expiry_of, notice_due
from app.rules.mail_kind import MailKind
from tests.harness import CLIENTS, INVOICES, Paydue, today
from tests.mail_server import mail_server
from tests.test_mail import OUTBOX, Post, parts_of

pytestmark = pytest.mark.anyio

MORNING = datetime(today().year, today().month, today().day, 9, tzinfo=UTC)


@dataclass
class Days:
    """A Paydue whose notices have a clock of their own."""

    post: Post
    now: datetime = MORNING

    async def queue(self, **settings: Any) -> str:
        node = self.post.paydue.node
        used = node.settings.model_copy(update=settings)
        return str(await replace(node, clock=lambda: self.now, settings=used).notices().run())

    async def send(self) -> None:
        await self.post.let_waits_end()
        await self.post.send()

    async def told(self) -> list[tuple[str, int | None]]:
        return [(row.kind, row.client_id) for row in await self.post.rows()]


@pytest.fixture
async def days(paydue: Paydue) -> AsyncIterator[Days]:
    async with mail_server() as server:
        yield Days(Post(paydue, server))


async def test_a_charge_is_told_once_some_days_before_in_one_mail_a_client(days: Days) -> None:
    post, paydue = days.post, days.post.paydue
    await post.switch_on(MailKind.COMING_CHARGE)
    client = await paydue.a_client(email="ann@client.example", language="fr")
    soon, later = today() + timedelta(days=3), today() + timedelta(days=10)
    for total, due in (("120.00", soon), ("30.50", soon), ("99.00", later), ("7.00", today())):
        await paydue.an_invoice(total, client=client, due=due)
    paused = await paydue.an_invoice("55.00", due=soon)
    async with paydue.database.transaction() as tx:
        await autopay_pauses.pause(
            tx, client_id=None, invoice_id=paused, reason="?", until=None, who="t", now=MORNING
        )

    said = [await days.queue() for _ in range(3)]
    await days.send()

    (mail,) = post.server.mails
    text, _ = parts_of(mail)
    assert said == ["1 coming_charge", "none", "none"]
    assert "150,50\xa0$US" in str(mail["Subject"])
    assert [amount for amount in ("120,00", "30,50", "99,00", "7,00") if amount in text] == [
        "120,00",
        "30,50",
    ]


async def test_a_coming_charge_that_was_paid_before_the_mail_went_is_not_told(days: Days) -> None:
    post = days.post
    await post.switch_on(MailKind.COMING_CHARGE)
    client = await post.paydue.a_client(email="ann@client.example")
    await post.paydue.an_invoice(client=client, due=today() + timedelta(days=2))
    await days.queue()
    async with post.paydue.database.transaction() as tx:
        await tx.execute(update(INVOICES).values(amountdue=0, paymentstatus=2))

    await days.send()

    assert await post.states() == [("coming_charge", "skipped")]


async def test_nobody_is_written_to_at_night_or_of_a_kind_that_is_off(days: Days) -> None:
    await days.post.paydue.an_invoice(due=today() + timedelta(days=2))
    assert await days.queue() == "none"
    await days.post.switch_on()

    days.now = MORNING.replace(hour=7, minute=59)

    assert await days.queue() == "none"
    days.now = MORNING
    assert "coming_charge" in await days.queue()


async def test_a_client_gets_one_reminder_of_all_that_is_overdue_and_no_second_for_a_week(
    days: Days,
) -> None:
    post, paydue = days.post, days.post.paydue
    await post.switch_on(MailKind.REMINDER)
    client = await paydue.a_client(email="ann@client.example")
    plain = {"take_auto_payment": False, "client": client}
    for total, age in (("120.00", 8), ("30.00", 2), ("55.00", 0)):
        await paydue.an_invoice(total, due=today() - timedelta(days=age), **plain)
    fresh = await paydue.a_client(email="bob@client.example")
    await paydue.an_invoice(due=today() - timedelta(days=6), take_auto_payment=False, client=fresh)

    first = [await days.queue(), await days.queue()]
    await days.send()
    days.now += timedelta(days=6)
    before = await days.queue()
    days.now += timedelta(days=1)
    after = await days.queue()

    (mail,) = post.server.mails
    text, _ = parts_of(mail)
    assert first == ["1 reminder", "none"]
    assert str(mail["Subject"]) == "Reminder: $150.00 is overdue"
    assert "55.00" not in text
    assert before == "1 reminder"  # of Bob's, which was not old enough
    assert after == "1 reminder"
    assert await days.told() == [("reminder", client), ("reminder", fresh), ("reminder", client)]


async def test_a_promise_to_pay_pauses_reminders_until_its_day_has_passed(days: Days) -> None:
    paydue = days.post.paydue
    await days.post.switch_on(MailKind.REMINDER)
    old = today() - timedelta(days=30)
    invoice = await paydue.an_invoice(due=old, take_auto_payment=False)
    async with paydue.database.transaction() as tx:
        day = today() + timedelta(days=2)
        await promise(tx, invoice, day, note="on the phone", who="Ada", now=MORNING)

    said = []
    for _ in range(4):
        said.append(await days.queue())
        days.now += timedelta(days=1)

    assert said == ["none", "none", "none", "1 reminder"]


async def test_a_statement_comes_once_a_month_and_not_in_the_middle(days: Days) -> None:
    paydue = days.post.paydue
    await days.post.switch_on(MailKind.STATEMENT)
    client = await paydue.a_client(email="ann@client.example")
    await paydue.an_invoice("120.00", client=client, take_auto_payment=False)
    await paydue.an_invoice("80.00", client=client, currency_iso="eur", take_auto_payment=False)

    said = []
    for day in (1, 1, 2, 3, 4, 28):
        days.now = MORNING.replace(day=day)
        said.append(await days.queue())
    await days.send()

    assert said == ["1 statement", "none", "none", "none", "none", "none"]
    assert str(days.post.server.mails[0]["Subject"]) == "Open items: €80.00 + $120.00"


async def test_a_card_that_expires_is_told_30_15_and_3_days_before(days: Days) -> None:
    paydue = days.post.paydue
    await days.post.switch_on(MailKind.CARD_EXPIRING)
    client = await paydue.a_client(email="ann@client.example")
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    expiry = expiry_of(await paydue.node.gateway.payment_method(row.stripe_payment_method_id))
    assert expiry is not None
    end = datetime(*expiry.last_day.timetuple()[:3], 9, tzinfo=UTC)
    await paydue.an_invoice(client=client, due=end.date())

    said = {}
    for before in (31, 30, 29, 15, 2, 0, -1):
        days.now = end - timedelta(days=before)
        said[before] = await days.queue()

    once = "1 card_expiring"
    assert said == {31: "none", 30: once, 29: "none", 15: once, 2: once, 0: "none", -1: "none"}


def test_a_notice_that_could_not_be_given_is_made_up_for_alone() -> None:
    expiry = CardExpiry("Visa", 2027, 2)
    end = expiry.last_day

    assert end.isoformat() == "2027-02-28"
    assert [notice_due(expiry, end - timedelta(days=n)) for n in (40, 31, 30, 16, 15, 4, 3, 0)] == [
        None, None, 30, 30, 15, 15, 3, 3,
    ]  # fmt: skip
    assert notice_due(expiry, end + timedelta(days=1)) is None


@pytest.mark.parametrize(
    "method",
    [{}, {"card": None}, {"card": {}}, {"card": {"exp_year": "2027", "exp_month": 2}},
     {"card": {"exp_year": 2027, "exp_month": 13}}, {"card": {"exp_year": 0, "exp_month": 1}}],
)  # fmt: skip
def test_a_method_without_a_sound_expiry_has_none(method: dict[str, Any]) -> None:
    assert expiry_of(method) is None


async def test_the_api_lists_mails_and_sends_one_again_by_its_own_scope(days: Days) -> None:
    post, paydue = days.post, days.post.paydue
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice(email=None)
    await days.send()
    (row,) = await post.rows()

    async def ask(method: str, path: str, *scopes: str) -> tuple[int, Any]:
        headers = await paydue.access(*scopes)
        async with paydue.http.request(method, f"/api/{path}", json={}, headers=headers) as answer:
            return answer.status, await answer.json()

    refused, _ = await ask("GET", "Mail", "read:customers")
    status, listed = await ask("GET", "Mail?state=skipped", "read:mail")
    retried, again = await ask("POST", f"Mail/{row.id}/retry", "edit:mail")
    twice, _ = await ask("POST", f"Mail/{row.id}/retry", "edit:mail")

    assert (refused, status, retried, twice) == (403, 200, 200, 400)
    assert [one["kind"] for one in listed["mails"]] == ["receipt"]
    assert again["state"] == "queued"
    async with paydue.database.transaction() as tx:
        await tx.execute(delete(OUTBOX))
    assert (await ask("POST", f"Mail/{row.id}/retry", "edit:mail"))[0] == 404

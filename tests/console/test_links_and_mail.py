"""Pay links and mail in the console: shown as they are, revoked, sent again, promised."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.console.people.roles import Role
from app.ledger import outbox, pay_links
from app.ledger.link_sessions import SESSIONS
from app.ledger.payment_promises import PROMISES
from app.rules.mail_kind import MailKind
from app.storage.tables.outbox_messages import OutboxState
from tests.console.browser import Browser
from tests.console.furnished import signed_in
from tests.harness import Paydue, today
from tests.test_link_sessions import EXPIRE
from tests.test_pay_links import a_link, look, press

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(paydue: Paydue) -> Browser:
    return await signed_in(paydue, paydue.http, Role.SUPPORT)


async def a_mail(paydue: Paydue, **columns: Any) -> int:
    now = paydue.database.now()
    async with paydue.database.transaction() as tx:
        told = outbox.message(MailKind.RECEIPT, "tests", {}, now=now)
        await outbox.queue(tx, [told])
        await tx.execute(update(outbox.OUTBOX).values(columns))
    (row,) = await paydue.rows(outbox.OUTBOX, outbox.OUTBOX.c.id > 0)
    return int(row.id)


async def test_a_link_is_listed_and_revoked_with_its_page_at_stripe(
    paydue: Paydue, browser: Browser
) -> None:
    invoice = await paydue.an_invoice(invoicenumber="INV-77")
    path = await a_link(paydue, invoice)
    await press(paydue, path)
    (link,) = await paydue.rows(pay_links.LINKS, pay_links.LINKS.c.id > 0)

    before = await browser.get("/links")
    done = await browser.submit(f"/links/{link.id}/revoke")
    after, every = await browser.get("/links"), await browser.get("/links?show=all")
    again = await browser.get(f"/links/{link.id}/revoke")

    assert "INV-77" in before.text
    assert "Page at Stripe" in before.text
    assert done.location == "/links?done=The+link+is+revoked."
    assert "INV-77" not in after.text
    assert "by support," in every.text
    assert (await look(paydue, path)).status == 404
    (session,) = await paydue.rows(SESSIONS, SESSIONS.c.id > 0)
    assert session.state == "expired"
    assert again.status == 404


async def test_where_stripe_does_not_answer_the_page_says_that_it_may_be_paid(
    paydue: Paydue, browser: Browser
) -> None:
    await press(paydue, await a_link(paydue, await paydue.an_invoice()))
    (link,) = await paydue.rows(pay_links.LINKS, pay_links.LINKS.c.id > 0)
    paydue.sandbox.fault(EXPIRE, kind="status", status=500, times=1)

    done = await browser.submit(f"/links/{link.id}/revoke")
    shown = await browser.get(done.location)

    assert "may still be paid: see below" in shown.text
    assert "May still be paid" in shown.text
    assert "HTTP 500" in shown.text


async def test_a_mail_is_shown_as_it_was_sent_and_can_run_nothing(
    paydue: Paydue, browser: Browser
) -> None:
    html = "<html><body><script>alert(1)</script><p>Thank you</p></body></html>"
    message = await a_mail(
        paydue, state=OutboxState.SENT, subject="<b>Receipt</b>", recipient="ann@client.example",
        text_body="Thank you <script>", html_body=html, sent_at=paydue.database.now(),
    )  # fmt: skip

    listed = await browser.get("/mails")
    page = await browser.get(f"/mails/{message}")
    body = await browser.get(f"/mails/{message}/body")
    again = await browser.get(f"/mails/{message}/again")
    none = await browser.get("/mails?state=failed")

    assert "&lt;b&gt;Receipt&lt;/b&gt;" in listed.text
    assert "ann@client.example" in page.text
    assert 'sandbox=""' in page.text
    assert "Thank you &lt;script&gt;" in page.text
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    assert body.text == html
    policy = body.headers["Content-Security-Policy"]
    assert policy.endswith("; sandbox")
    assert "script-src" not in policy
    assert "frame-ancestors 'self'" in policy
    assert again.status == 400
    assert "No mail is like that" in none.text


@pytest.mark.parametrize("state", [OutboxState.FAILED, OutboxState.UNKNOWN])
async def test_a_mail_that_was_not_sent_is_sent_again_by_a_person(
    paydue: Paydue, browser: Browser, state: OutboxState
) -> None:
    message = await a_mail(paydue, state=state, error="550 5.1.1 no such user")

    page = await browser.get(f"/mails/{message}")
    form = await browser.get(f"/mails/{message}/again")
    done = await browser.submit(f"/mails/{message}/again")

    assert "550 5.1.1 no such user" in page.text
    assert ("it may come twice" in form.text) == (state == OutboxState.UNKNOWN)
    assert done.location.startswith(f"/mails/{message}?done=")
    (row,) = await paydue.rows(outbox.OUTBOX, outbox.OUTBOX.c.id > 0)
    assert (row.state, row.error) == ("queued", None)


async def test_a_promise_is_noted_changed_and_taken_back(paydue: Paydue, browser: Browser) -> None:
    invoice = await paydue.an_invoice()
    path, day = f"/invoices/{invoice}/promise", (today() + timedelta(days=5)).isoformat()

    noted = await browser.submit(path, {"day": day, "note": "by phone"})
    shown = await browser.get(path)
    (row,) = await promises(paydue)
    late = await browser.submit(path, {"day": "2020-01-01"})
    wrong = await browser.submit(path, {"day": "soon"})
    back = await browser.submit(path, {"day": ""})

    assert noted.location == f"/invoices/{invoice}?done=The+promise+is+noted."
    assert day in shown.text
    assert (row.promised_on.isoformat(), row.note, row.made_by) == (day, "by phone", "support")
    assert (late.status, wrong.status) == (400, 400)
    assert "taken+back" in back.location
    assert await promises(paydue) == []


async def promises(paydue: Paydue) -> list[Any]:
    async with paydue.database.snapshot() as tx:
        return list(await tx.execute(PROMISES.select()))


async def test_a_viewer_reads_no_mail_and_revokes_nothing(paydue: Paydue) -> None:
    viewer = await signed_in(paydue, paydue.http, Role.VIEWER)
    message = await a_mail(paydue, state=OutboxState.SENT)
    await a_link(paydue, await paydue.an_invoice())
    (link,) = await paydue.rows(pay_links.LINKS, pay_links.LINKS.c.id > 0)

    paths = (f"/mails/{message}", f"/mails/{message}/body", f"/links/{link.id}/revoke")
    answers = [(await viewer.get(path)).status for path in paths]

    assert answers == [403, 403, 403]
    assert "Revoke…" not in (await viewer.get("/links")).text

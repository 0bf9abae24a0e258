"""A house in which most things have happened, for tests that look at pages."""

import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import aiohttp
from sqlalchemy import update

from app.console.console_routes import CONSOLE_ROUTES
from app.console.pages.ledger_acts import LedgerContext
from app.console.people import users
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.console.routing import ConsoleRoute
from app.halo.engine.codec import codec_of
from app.halo.resource_writers import WRITERS
from app.halo.resources.autopay_limit_resource import AUTOPAY_LIMITS
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.ledger import approvals, autopay_pauses, outbox, pay_links
from app.ledger.approvals import Held
from app.payments.autopay import run_history
from app.payments.autopay.report import Outcome, OutcomeKind, RunReport
from app.payments.autopay.run_history import RunState
from app.rules.home import Home
from app.rules.mail_kind import MailKind
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.autopay_policies import AutopayPause, AutopayRule, AutopayRun
from app.storage.tables.outbox_messages import OutboxState
from app.storage.tables.stripe_payouts import StripePayout
from tests.balance import StripeBalance, with_balance
from tests.console.browser import Browser
from tests.harness import Paydue, event, intent, settings_for

PAYOUTS = table_of(StripePayout)
PAUSES = table_of(AutopayPause)
RULES = table_of(AutopayRule)
RUNS = table_of(AutopayRun)


@contextlib.asynccontextmanager
async def furnished(url: str, **settings: Any) -> AsyncIterator[Paydue]:
    sandbox = Sandbox(seed=0)
    async with (
        sandbox.running(),
        with_balance(sandbox) as balance,
        Paydue.running(settings_for(url, balance.url, **settings), sandbox) as one,
    ):
        await _fill(one, balance)
        yield one


async def a_link(house: Paydue, role: Role, login: str = "") -> str:
    """A new user's link, which signs in once."""
    login = login or role
    act = Act("tests", datetime.now(UTC))
    async with house.database.transaction() as tx:
        await users.add_user(tx, login, name="Ada", role=role, act=act)
        return await users.issue_link(tx, await users.load_user(tx, login), act)


async def signed_in(house: Paydue, http: aiohttp.ClientSession, role: Role) -> Browser:
    link = await a_link(house, role)
    browser = Browser(http)
    shown = await browser.follow(link)
    assert shown.status == 303, shown.text
    return browser


async def _fill(paydue: Paydue, balance: StripeBalance) -> None:
    """A paid invoice with a refund, a dispute and a payout; a decline; credit; a parked event."""
    client = await paydue.a_client(name="Acme Dental", email="desk@acme.example")
    invoice = await paydue.an_invoice("120.00", client=client, invoicenumber="INV-7001")
    declined = await paydue.a_client("insufficient_funds", name="Bolt Bakery")
    await paydue.an_invoice("30.00", client=declined, invoicenumber="INV-7002")
    await paydue.autopay()
    payment = (await paydue.payments(invoice))[0]
    refund = paydue.sandbox.refund(payment.charge_id, amount=2000)
    paydue.sandbox.open_dispute(payment.intent_id, amount=5000, reason="fraudulent")
    balance.pays_out(
        balance.moves("charge", 12000, fee=378, source=payment.charge_id),
        balance.moves("refund", -2000, source=refund["id"]),
    )
    await paydue.deliver(*paydue.sandbox.events)
    unknown = {
        "id": "re_unknown",
        "object": "refund",
        "amount": 100,
        "currency": "usd",
        "charge": "ch_unknown",
        "payment_intent": "pi_unknown",
        "status": "succeeded",
        "created": int(time.time()),
    }
    await paydue.deliver(
        event("payment_intent.succeeded", intent(None, id="pi_unapplied", amount=12050)),
        event("refund.created", unknown),
    )
    await paydue.reconcile()
    paused = await paydue.a_client(name="Late Ltd")
    async with paydue.database.transaction() as tx:
        await autopay_pauses.pause(
            tx, client_id=paused, invoice_id=None, reason="a new card is on its way", until=None,
            who="ada", now=datetime.now(UTC),
        )  # fmt: skip
        held = Held(
            invoice, client, Decimal("20.00"), Decimal("120.00"), "usd",
            "more than 15.00 USD a charge", "Large ones",
        )  # fmt: skip
        await approvals.hold(tx, [held], now=datetime.now(UTC))
        await _write_policy(tx, client)
        await _write_mail(tx, client, invoice)
        subject = pay_links.LinkSubject(invoice, None)
        await pay_links.make_link(
            tx, subject, url_of=lambda token: f"/pay/{token}", who="ada", now=datetime.now(UTC)
        )
    await _keep_runs(paydue, invoice)


async def _write_mail(tx: Tx, client: int, invoice: int) -> None:
    """A mail that bounced after it was rendered, and one that waits."""
    now = datetime.now(UTC)
    facts = {"amount": "120.00", "currency": "usd", "invoices": [], "method": "Visa 4242"}
    kinds = (MailKind.RECEIPT, MailKind.REMINDER)
    written = [
        outbox.message(kind, "furnished", facts, now=now, client_id=client, invoice_id=invoice)
        for kind in kinds
    ]
    await outbox.queue(tx, written)
    sent = {
        "state": OutboxState.FAILED, "error": "550 5.1.1 no such user", "tries": 1,
        "recipient": "desk@acme.example", "subject": "Receipt for USD 120.00",
        "text_body": "Thank you for USD 120.00.", "message_id": "<1@paydue.example>",
        "html_body": "<html><body><h1>Receipt</h1><p>Thank you for USD 120.00.</p></body></html>",
    }  # fmt: skip
    is_receipt = outbox.OUTBOX.c.kind == MailKind.RECEIPT
    await tx.execute(update(outbox.OUTBOX).where(is_receipt).values(sent))


async def _write_policy(tx: Tx, client: int) -> None:
    """A rule, and a limit of a client."""
    rule = {"name": "Large ones", "action": "ask", "amount_from": "10000", "weekdays": "mon,thu"}
    limit = {"kind": "day", "currency": "usd", "amount": "500", "client_id": client}
    context = LedgerContext(now=datetime.now(UTC), who="ada", home=Home("usd", "UTC"))
    for resource, record in ((AUTOPAY_RULES, rule), (AUTOPAY_LIMITS, limit)):
        await WRITERS[resource](tx, codec_of(resource).parse_request([record]), **context)


async def _keep_runs(paydue: Paydue, invoice: int) -> None:
    """A dry run and a run of the same day, of which one invoice fared otherwise."""
    day = datetime.now(UTC).date()
    charged = Outcome(OutcomeKind.CHARGED, invoice, Decimal(120), "usd", "pi_foreseen")
    held = Outcome(
        OutcomeKind.HELD, invoice, Decimal(120), "usd", reason="Stripe refuses the key",
        change="another key",
    )  # fmt: skip
    for is_dry, outcome in ((True, charged), (False, held)):
        report = RunReport(day, dry_run=is_dry)
        report.add(outcome)
        record = await run_history.begin_run(
            paydue.database, day, who="cron", is_dry=is_dry, revision=None
        )
        await record.finish(report, RunState.FINISHED)
        report.close()


# Pages that are about what was ticked on another one.
_QUERIES = {"/approvals/selected": "?id=1"}


async def page_paths(house: Paydue) -> dict[str, str]:
    """The address of each page that is read, with ids that exist."""
    payment = (await house.payments(1))[0]
    (payout,) = await house.rows(PAYOUTS, PAYOUTS.c.id > 0)
    values = {
        "intent_id": quote(payment.intent_id),
        "invoice_id": "1",
        "client_id": "1",
        "payment_id": str(payment.id),
        "payout_id": quote(payout.payout_id),
        "rule_id": str((await house.rows(RULES, RULES.c.id > 0))[0].id),
        "at": "1764237600000000",
        "of": "3",
        "run_id": str((await house.rows(RUNS, RUNS.c.is_dry.is_(False)))[-1].id),
        "link_id": str((await house.rows(pay_links.LINKS, pay_links.LINKS.c.id > 0))[0].id),
        "message_id": str((await house.rows(outbox.OUTBOX, outbox.OUTBOX.c.id > 0))[0].id),
        "pause_id": str((await house.rows(PAUSES, PAUSES.c.id > 0))[0].id),
        "event_id": quote((await house.events())[0].event_id),
    }
    return {
        route.path: route.path.format(**values) + _QUERIES.get(route.path, "")
        for route in CONSOLE_ROUTES
        if isinstance(route, ConsoleRoute) and "GET" in (route.methods or ())
    }

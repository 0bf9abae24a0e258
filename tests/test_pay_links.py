"""A pay link shows what is owed and leads to one Checkout Session; nobody pays an invoice twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
import stripe
from sqlalchemy import select, update

from app.ledger import pay_links
from app.ledger.pay_links import LINKS, LinkSubject
from app.payments.autopay import leases
from app.payments.autopay.leases import LeaseHolder
from app.payments.checkout import link_checkout as checkout
from tests.harness import CLIENTS, INVOICES, KEY, Paydue, today
from tests.patience import wait_limit
from tests.test_autopay_rules import post
from tests.test_one_payable_way import taken

pytestmark = pytest.mark.anyio

DUE = 12_000
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
RETRIEVE = "GET /v1/payment_intents/{id}"
CHECKOUT = "https://checkout.stripe.com/c/pay/"


class Shown(NamedTuple):
    """An answer of the page."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def session(self) -> str:
        """The session that it leads to."""
        assert self.status == 303, self.text
        assert self.headers["Location"].startswith(CHECKOUT)
        return self.headers["Location"].removeprefix(CHECKOUT)


@pytest.fixture
async def client(stripe_url: str) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.AIOHTTPClient(timeout=wait_limit(2))
    yield stripe.StripeClient(KEY, base_addresses={"api": stripe_url}, http_client=http)
    await http.close_async()


async def a_link(
    paydue: Paydue, invoice: int | None = None, client: int | None = None, **more: Any
) -> str:
    """The path of a new link."""

    async def work(tx: Any) -> str:
        made = await pay_links.make_link(
            tx,
            LinkSubject(invoice, client),
            url_of=lambda token: f"/pay/{token}",
            who="tests",
            now=paydue.database.now(),
            **more,
        )
        return made.url

    return await paydue.database.with_retry(work)


async def look(paydue: Paydue, path: str, **headers: str) -> Shown:
    async with paydue.http.get(path, headers=headers) as answer:
        return Shown(answer.status, await answer.text(), dict(answer.headers))


async def press(paydue: Paydue, path: str, currency: str = "usd", **headers: str) -> Shown:
    """The button, as a browser without cookies and scripts sends it."""
    form = {"currency": currency}
    async with paydue.http.post(path, data=form, headers=headers, allow_redirects=False) as answer:
        return Shown(answer.status, await answer.text(), dict(answer.headers))


def complete(paydue: Paydue, session: str, **choices: Any) -> None:
    paydue.sandbox.complete_checkout(session, **choices)


async def hear(paydue: Paydue) -> None:
    """Stripe delivers all that has happened."""
    assert set(await paydue.deliver(*paydue.sandbox.events)) <= {200}


async def owed(paydue: Paydue, *invoices: int) -> list[Decimal]:
    return [(await paydue.invoice(one)).amountdue for one in invoices]


async def sessions(client: stripe.StripeClient) -> list[tuple[str, str]]:
    """All sessions, the oldest first: id and status."""
    found = await client.v1.checkout.sessions.list_async({"limit": 100})
    return [(one.id, str(one.status)) for one in reversed(found.data)]


# --- one invoice -----------------------------------------------------------------------------


async def test_a_link_shows_what_is_owed_is_paid_and_says_so(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice(invoicenumber="INV-7", take_auto_payment=False)
    path = await a_link(paydue, invoice)

    before = await look(paydue, path)
    session = (await press(paydue, path)).session
    complete(paydue, session)
    await hear(paydue)
    after, again = await look(paydue, f"{path}?paid=1"), await press(paydue, path)

    assert "INV-7" in before.text
    assert "Pay USD 120.00" in before.text.replace("\u00a0", " ")
    assert await owed(paydue, invoice) == [0]
    (paid,) = await paydue.payments(invoice)
    assert (paid.amount, paid.evidence) == (Decimal(120), "metadata")
    assert "Thank you" in after.text
    assert "Paid" in after.text
    assert "<form" not in after.text
    assert again.status == 409
    assert "Paid" in again.text
    assert taken(paydue) == DUE


async def test_the_same_button_finds_the_same_session(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)

    at_once = await asyncio.gather(*(press(paydue, path) for _ in range(8)))
    later = await press(paydue, path)

    assert len({one.session for one in [*at_once, later]}) == 1
    assert len(await sessions(client)) == 1


async def test_another_amount_gets_another_session_and_the_first_takes_nothing(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    first = (await press(paydue, path)).session
    body = [{"invoice_id": invoice, "amount": 20}]
    assert (await post(paydue, "InvoicePayment", body))[0] == 200

    second = (await press(paydue, path)).session

    assert await sessions(client) == [(first, "expired"), (second, "open")]
    complete(paydue, second)
    await hear(paydue)
    assert await owed(paydue, invoice) == [0]
    assert taken(paydue) == 10_000


async def test_a_session_that_expired_is_replaced(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    first = (await press(paydue, path)).session
    found = await client.v1.checkout.sessions.retrieve_async(first)
    await client.v1.checkout.sessions.expire_async(first)

    second = (await press(paydue, path)).session

    life = found.expires_at - found.created
    assert 30 * 60 <= life <= 35 * 60
    assert await sessions(client) == [(first, "expired"), (second, "open")]


async def test_a_session_without_an_answer_is_made_once_under_its_key(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    paydue.sandbox.fault("POST /v1/checkout/sessions", kind="drop", when="after", times=1)

    found = await press(paydue, path)

    assert await sessions(client) == [(found.session, "open")]


async def test_without_stripe_nothing_is_opened_and_the_visitor_is_told(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    paydue.sandbox.fault("POST /v1/checkout/sessions", kind="status", status=500, times=1)

    found, after = await press(paydue, path), await press(paydue, path)

    assert found.status == 503
    assert "Nothing was charged" in found.text
    assert after.session


# --- beside autopay --------------------------------------------------------------------------


async def test_autopay_closes_the_page_and_charges_once(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    session = (await press(paydue, path)).session

    report = await paydue.autopay()
    again = await press(paydue, path)

    assert [one["invoice_id"] for one in report["charged"]] == [invoice]
    assert await sessions(client) == [(session, "expired")]
    assert (again.status, "Paid" in again.text) == (409, True)
    assert taken(paydue) == DUE


async def test_a_page_that_was_paid_keeps_autopay_from_charging_before_any_webhook(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    complete(paydue, (await press(paydue, path)).session)

    again = await press(paydue, path)
    report = await paydue.autopay()

    assert (again.status, "Paid" in again.text) == (409, True)
    assert report["charged"] == []
    assert taken(paydue) == DUE
    assert await owed(paydue, invoice) == [0]


async def test_a_bank_debit_by_the_link_is_waited_for_by_all(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    session = (await press(paydue, path)).session
    complete(paydue, session, payment_method="pm_usBankAccount")

    again, report = await press(paydue, path), await paydue.autopay()

    assert again.status == 409
    assert "processing" in again.text
    assert report["charged"] == []
    assert taken(paydue) == 0


async def test_a_running_charge_is_told_and_nothing_is_opened(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    paydue.sandbox.fault(CONFIRM, kind="drop", when="after", times=1)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=20)
    report = await paydue.autopay()
    assert len(report["unknown"]) == 1

    shown, pressed = await look(paydue, path), await press(paydue, path)

    for one in (shown, pressed):
        assert "An automatic payment has just begun" in one.text
        assert "<form" not in one.text
    assert await sessions(client) == []
    assert taken(paydue) == DUE


async def test_after_a_decline_the_link_pays_and_the_declined_intent_is_closed(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    customer = await paydue.a_client(behaviour="insufficient_funds")
    invoice = await paydue.an_invoice(client=customer)
    (declined,) = (await paydue.autopay())["declined"]
    path = await a_link(paydue, invoice)

    session = (await press(paydue, path)).session
    intent = await client.v1.payment_intents.retrieve_async(declined["intent_id"])
    complete(paydue, session)
    await hear(paydue)
    later = await paydue.autopay(today() + timedelta(days=20))

    assert intent.status == "canceled"
    assert later["charged"] == []
    assert await owed(paydue, invoice) == [0]
    assert taken(paydue) == DUE


async def test_a_page_that_nobody_paid_leaves_autopay_its_next_try(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    customer = await paydue.a_client(behaviour=["insufficient_funds", "succeed"])
    invoice = await paydue.an_invoice(client=customer)
    (declined,) = (await paydue.autopay())["declined"]
    await press(paydue, await a_link(paydue, invoice))

    reports = [await paydue.autopay(today() + timedelta(days=20 + day)) for day in range(2)]

    charged = [one["invoice_id"] for report in reports for one in report["charged"]]
    assert charged == [invoice]
    assert declined["intent_id"] is not None
    assert {status for _, status in await sessions(client)} == {"expired"}
    assert taken(paydue) == DUE


async def test_a_charge_that_was_claimed_meanwhile_closes_the_session_before_it_is_shown(
    paydue: Paydue, client: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    claim, claims = checkout.PayLinkCheckout._claim, list[int]()

    async def claimed(self: Any, link: Any, plan: Any, holder: LeaseHolder) -> int | None:
        found = await claim(self, link, plan, holder)
        if not claims:  # the process slept here, its lease ended, and autopay took the invoice
            async with paydue.database.transaction() as tx:
                now = paydue.database.now()
                await leases.release_customer_lease(tx, plan.lease_key, holder, now=now)
            paydue.sandbox.fault(CONFIRM, kind="drop", when="after", times=1)
            paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=20)
            assert len((await paydue.autopay())["unknown"]) == 1
        claims.append(invoice)
        return found

    monkeypatch.setattr(checkout.PayLinkCheckout, "_claim", claimed)
    found = await press(paydue, path)

    assert found.status == 409
    assert [status for _, status in await sessions(client)] == ["expired"]
    assert taken(paydue) == DUE


async def test_a_bank_debit_heard_of_meanwhile_closes_the_session_before_it_is_shown(
    paydue: Paydue, client: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    claim = checkout.PayLinkCheckout._claim

    async def claimed(self: Any, link: Any, plan: Any, holder: LeaseHolder) -> int | None:
        found = await claim(self, link, plan, holder)
        async with paydue.database.transaction() as tx:  # the lease is ours all the while
            pending = update(INVOICES).where(INVOICES.c.id == invoice)
            await tx.execute(pending.values(payments_pending=1))
        return found

    monkeypatch.setattr(checkout.PayLinkCheckout, "_claim", claimed)
    found = await press(paydue, path)

    assert found.status == 409
    assert [status for _, status in await sessions(client)] == ["expired"]


# --- a client's balance ----------------------------------------------------------------------


async def test_a_balance_link_pays_several_invoices_by_one_session(paydue: Paydue) -> None:
    client_id = await paydue.a_client()
    mine = [await paydue.an_invoice(total, client=client_id) for total in ("10.00", "20.50")]
    yen = await paydue.an_invoice("500", client=client_id, currency_iso="jpy")
    other = await paydue.an_invoice()
    path = await a_link(paydue, client=client_id)

    page = await look(paydue, path)
    session = (await press(paydue, path)).session
    complete(paydue, session)
    await hear(paydue)

    assert page.text.count("<form") == 2
    assert "Pay USD 30.50" in page.text.replace("\u00a0", " ")
    assert await owed(paydue, *mine, yen, other) == [0, 0, 500, 120]
    shares = [(await paydue.payments(one))[0] for one in mine]
    assert [one.amount for one in shares] == [Decimal("10.00"), Decimal("20.50")]
    assert len({one.intent_id for one in shares}) == 1


@pytest.mark.parametrize("first", ["session", "intent"])
async def test_events_in_any_order_share_a_balance_alike(paydue: Paydue, first: str) -> None:
    client_id = await paydue.a_client()
    mine = [await paydue.an_invoice(total, client=client_id) for total in ("10.00", "20.50")]
    path = await a_link(paydue, client=client_id)
    complete(paydue, (await press(paydue, path)).session)
    events = sorted(
        paydue.sandbox.events,
        key=lambda one: one["type"].startswith("checkout") == (first == "intent"),
    )

    assert set(await paydue.deliver(*events)) == {200}

    assert await owed(paydue, *mine) == [0, 0]
    amounts = sorted(one.amount for one in await paydue.payments())
    assert amounts == [Decimal("10.00"), Decimal("20.50")]


async def test_links_of_an_invoice_and_of_the_balance_are_one_payable_way(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    client_id = await paydue.a_client()
    one, two = [await paydue.an_invoice(client=client_id) for _ in range(2)]
    alone, balance = await a_link(paydue, two), await a_link(paydue, client=client_id)

    first = (await press(paydue, balance)).session
    second = (await press(paydue, alone)).session
    assert await sessions(client) == [(first, "expired"), (second, "open")]
    complete(paydue, second)
    third = (await press(paydue, balance)).session
    complete(paydue, third)
    await hear(paydue)

    assert await owed(paydue, one, two) == [0, 0]
    assert taken(paydue) == 2 * DUE


async def test_all_links_at_once_open_at_most_one_payable_page(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    client_id = await paydue.a_client()
    invoices = [await paydue.an_invoice(client=client_id) for _ in range(3)]
    paths = [await a_link(paydue, one) for one in invoices[:1]]
    paths += [await a_link(paydue, client=client_id) for _ in range(3)]

    await asyncio.gather(*(press(paydue, path) for path in paths), paydue.autopay())
    for session, status in await sessions(client):
        if status == "open":
            complete(paydue, session)
    await hear(paydue)
    await paydue.autopay()

    assert await owed(paydue, *invoices) == [0, 0, 0]
    assert taken(paydue) == 3 * DUE
    assert not paydue.sandbox.ledger.double_charges()


async def test_a_client_without_a_stripe_customer_pays_as_a_guest(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    client_id = await paydue.a_client(stripe_customer_id=None)
    mine = [await paydue.an_invoice(client=client_id) for _ in range(2)]
    path, alone = await a_link(paydue, client=client_id), await a_link(paydue, mine[1])

    first = (await press(paydue, path)).session
    second = (await press(paydue, alone)).session
    third = (await press(paydue, path)).session
    complete(paydue, third)
    await hear(paydue)

    statuses = dict(await sessions(client))
    assert (statuses[first], statuses[second]) == ("expired", "expired")
    assert await owed(paydue, *mine) == [0, 0]


async def test_many_invoices_are_paid_oldest_first(paydue: Paydue) -> None:
    client_id = await paydue.a_client()
    mine = [
        await paydue.an_invoice("1.00", client=client_id, due=today() - timedelta(days=200 - day))
        for day in range(103)
    ]
    path = await a_link(paydue, client=client_id)

    page = await look(paydue, path)
    complete(paydue, (await press(paydue, path)).session)
    await hear(paydue)

    assert "Only the oldest" in page.text
    assert await owed(paydue, *mine) == [0] * 100 + [1] * 3


# --- who may come in -------------------------------------------------------------------------


async def test_unknown_expired_and_revoked_links_are_answered_alike(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    expired, revoked = await a_link(paydue, invoice), await a_link(paydue, invoice)
    async with paydue.database.transaction() as tx:
        ids = list(await tx.scalars(select(LINKS.c.id).order_by(LINKS.c.id)))
        past = datetime.now(UTC) - timedelta(seconds=1)
        await tx.execute(update(LINKS).where(LINKS.c.id == ids[0]).values(expires_at=past))
        await pay_links.revoke_link(tx, ids[1], who="tests", now=paydue.database.now())
    unknown = f"/pay/{'x' * 43}"

    answers = [await look(paydue, path) for path in (expired, revoked, unknown, "/pay/x")]
    answers += [await press(paydue, path) for path in (expired, revoked, unknown, "/pay/x")]
    answers += [await press(paydue, f"{path}/portal") for path in (expired, revoked, unknown)]

    assert {(one.status, one.text) for one in answers} == {(404, answers[0].text)}
    assert not paydue.sandbox.requests


async def test_the_page_is_kept_nowhere_and_can_run_and_load_nothing_of_others(
    paydue: Paydue,
) -> None:
    path = await a_link(paydue, await paydue.an_invoice())

    answers = [await look(paydue, path), await press(paydue, path), await look(paydue, "/pay/x")]

    for one in answers:
        policy = one.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert one.headers["Cache-Control"] == "no-store"
        assert one.headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in one.headers
        assert "<script" not in one.text
        assert " style=" not in one.text


async def test_a_name_on_the_page_is_only_text(paydue: Paydue) -> None:
    client_id = await paydue.a_client(name="<script>alert(1)</script>\u202e")
    invoice = await paydue.an_invoice(client=client_id, invoicenumber='"><img src=x>')
    page = await look(paydue, await a_link(paydue, invoice))

    assert "<script" not in page.text
    assert "<img" not in page.text
    assert "\u202e" not in page.text


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "zahlen"),
        ("fr,de;q=0.5", "zahlen"),
        ("en-GB,de;q=0.5", "Pay USD"),
        ("", "Pay USD"),
        ("*;q=x,,;;q=,\u00fc", "Pay USD"),
    ],
)
async def test_the_page_speaks_the_language_of_the_browser(
    paydue: Paydue, wanted: str, said: str
) -> None:
    path = await a_link(paydue, await paydue.an_invoice())
    page = await look(paydue, path, **{"Accept-Language": wanted})

    assert said in page.text.replace("\u00a0", " ")


async def test_a_link_that_is_pressed_too_often_is_slowed_down_by_itself(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice(voided=True)
    other = await a_link(paydue, await paydue.an_invoice())
    async with paydue.database.transaction() as tx:
        where = INVOICES.c.id == invoice
        await tx.execute(update(INVOICES).where(where).values(voided=False))
    path = await a_link(paydue, invoice)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(INVOICES).where(where).values(voided=True))

    answers = [await press(paydue, path) for _ in range(40)]

    assert {one.status for one in answers} == {409, 429}
    limited = next(one for one in answers if one.status == 429)
    assert int(limited.headers["Retry-After"]) > 0
    assert (await press(paydue, other)).status == 303


async def test_payment_methods_are_changed_only_where_the_link_says_so(paydue: Paydue) -> None:
    client_id = await paydue.a_client()
    await paydue.an_invoice(client=client_id)
    plain = await a_link(paydue, client=client_id)
    open_ = await a_link(paydue, client=client_id, allows_portal=True)

    refused, found = await press(paydue, f"{plain}/portal"), await press(paydue, f"{open_}/portal")

    assert "portal" not in (await look(paydue, plain)).text
    assert "/portal" in (await look(paydue, open_)).text
    assert refused.status == 404
    assert found.status == 303
    assert found.headers["Location"].startswith("https://billing.stripe.com/")


# --- the API ---------------------------------------------------------------------------------


async def test_the_api_makes_lists_and_revokes_links(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()

    status, made = await post(paydue, "PayLink", {"invoice_id": invoice, "days": 3})
    shown = (await paydue.invoice(invoice)).extra["generic_online_invoice_payment_url"]
    path = made["url"].removeprefix(paydue.url)
    page = await look(paydue, path)
    headers = await paydue.access()
    async with paydue.http.get(f"/api/PayLink?invoice_id={invoice}", headers=headers) as answer:
        (listed,) = (await answer.json())["links"]
    async with paydue.http.delete(f"/api/PayLink/{made['id']}", headers=headers) as answer:
        assert answer.status == 200
    gone = await look(paydue, path)

    assert status == 201
    assert shown == made["url"]
    assert page.status == 200
    assert "token_hash" not in listed
    assert path.rpartition("/")[2] not in str(listed)
    assert gone.status == 404
    extra = (await paydue.invoice(invoice)).extra
    assert "generic_online_invoice_payment_url" not in extra


async def test_a_revoked_link_leaves_the_address_of_a_newer_one(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    _, old = await post(paydue, "PayLink", {"invoice_id": invoice})
    _, new = await post(paydue, "PayLink", {"invoice_id": invoice})

    headers = await paydue.access()
    async with paydue.http.delete(f"/api/PayLink/{old['id']}", headers=headers) as answer:
        assert answer.status == 200

    extra = (await paydue.invoice(invoice)).extra
    assert extra["generic_online_invoice_payment_url"] == new["url"]
    assert new["url"] != old["url"]


REFUSED: Sequence[tuple[Any, int]] = [
    ({}, 400),
    ([], 400),
    ({"invoice_id": 1, "client_id": 1}, 400),
    ({"invoice_id": 999_999}, 404),
    ({"client_id": 999_999}, 404),
    ({"invoice_id": 1, "days": 0}, 400),
    ({"invoice_id": 1, "days": 401}, 400),
]


@pytest.mark.parametrize(("body", "status"), REFUSED)
async def test_no_link_is_made_of_nonsense(paydue: Paydue, body: Any, status: int) -> None:
    assert (await post(paydue, "PayLink", body))[0] == status
    assert (await post(paydue, "PayLink", body, "read:invoices"))[0] == 403


async def test_the_token_is_in_no_table_but_its_invoices_and_in_no_log(
    paydue: Paydue, capfd: pytest.CaptureFixture[str]
) -> None:
    client_id = await paydue.a_client()
    await paydue.an_invoice(client=client_id)
    path = await a_link(paydue, client=client_id)
    token = path.rpartition("/")[2]
    await look(paydue, path)
    await press(paydue, path)

    async with paydue.database.snapshot() as tx:
        rows = [str(tuple(row)) for row in await tx.execute(select(LINKS))]
        rows += [str(tuple(row)) for row in await tx.execute(select(INVOICES))]
        rows += [str(tuple(row)) for row in await tx.execute(select(CLIENTS))]
    said = capfd.readouterr()

    assert not [one for one in rows if token in one]
    assert token not in said.out + said.err


async def test_a_link_lives_with_its_invoice(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    headers = await paydue.access()
    async with paydue.http.delete(f"/api/Invoice/{invoice}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()

    assert (await look(paydue, path)).status == 404


async def test_a_card_that_was_declined_on_the_page_leaves_the_page_payable(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    session = (await press(paydue, path)).session
    complete(paydue, session, payment_method="pm_card_chargeDeclined")

    again = (await press(paydue, path)).session
    complete(paydue, again)
    await hear(paydue)

    assert again == session
    assert await owed(paydue, invoice) == [0]
    assert taken(paydue) == DUE

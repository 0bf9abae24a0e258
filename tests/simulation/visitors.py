"""Visitors of pay links and of HaloPSA's screens, who are shown a page or given a secret."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping

from app.errors import Refused, Unavailable
from app.ledger import pay_links
from app.ledger.pay_links import LinkSubject, StoredPayLink
from app.payments.checkout.invoice_intents import MADE_FOR, InvoiceIntents
from app.payments.checkout.link_checkout import LINK_KEY, Opened, PayLinkCheckout
from app.payments.checkout.owed_invoices import load_owed
from app.rules.consolidation import shares_in
from tests.simulation.world import World, now

PAGE = "https://pay.example.com/pay/x"
# Stripe's answers take up to so long: then tasks take turns in between.
_ANSWER_S = 0.2


async def press_button(w: World) -> bool:
    """One visitor presses the button of a link, of an invoice or of a client's balance."""
    link = await _a_link(w)
    currency = await _currency(w, link)
    if currency is None:
        return False
    await _press(w, link, currency)
    return True


async def press_at_once(w: World, run: Awaitable[bool]) -> bool:
    """Visitors press buttons while autopay runs; a lease may end while its holder still sleeps."""
    links = [await _a_link(w) for _ in range(w.random.randint(1, 3))]
    wanted = [(link, await _currency(w, link)) for link in links]
    if all(currency is None for _, currency in wanted):
        asyncio.ensure_future(run).cancel()
        return False

    async def answer_slowly() -> None:
        await asyncio.sleep(w.random.random() * _ANSWER_S)
        if w.random.random() < 0.1:
            w.did["customer lease lost"] += 1
            await w.write("DELETE FROM customer_turn")

    w.switch.before_call = answer_slowly
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_await(run))
            for link, currency in wanted:
                if currency is not None:
                    group.create_task(_press(w, link, currency))
    finally:
        w.switch.before_call = None
    return True


async def ask_on_screen(w: World) -> bool:
    """A screen of HaloPSA's asks for an intent that its user confirms, at once or much later."""
    row = await w.row(w.random.choice(w.invoices))
    if row.voided or row.amountdue <= 0:
        return False
    intents = InvoiceIntents(w.database, w.node.gateway, w.node.installation)
    try:
        found = await intents.create([row.id], None)
    except (Refused, Unavailable) as error:
        w.did["screen waits"] += 1
        w.story.append(f"      invoice {row.id}: {error.message}")
        return True
    w.secrets.add(found["id"])
    w.story.append(f"      invoice {row.id}: {found['id']}")
    return True


async def _await(run: Awaitable[bool]) -> bool:
    return await run


async def _press(w: World, link: StoredPayLink, currency: str) -> None:
    checkout = PayLinkCheckout(w.database, w.node.gateway, w.node.installation)
    try:
        found = await checkout.open(link, currency, PAGE)
    except Unavailable:
        w.story.append(f"      link {link.id}: Stripe cannot be asked")
        return
    if not isinstance(found, Opened):
        w.did["pay link waits"] += 1
        states = {one.invoice_id: str(one.state) for one in found.owed.invoices}
        w.story.append(f"      link {link.id} waits: {states}")
        return
    session = found.url.rpartition("/")[2]
    w.shown.add(session)
    w.did["pay link opened"] += 1
    w.story.append(f"      link {link.id} shows {session[:14]}")


async def _a_link(w: World) -> StoredPayLink:
    """The link that a visitor has: an older one, or one that is made now."""
    row = await w.row(w.random.choice(w.invoices))
    is_of_client = w.random.random() < 0.4
    subject = LinkSubject(None, row.client_id) if is_of_client else LinkSubject(row.id, None)
    async with w.database.snapshot() as tx:
        known = await pay_links.list_links(tx, now())
    found = [one for one in known if (one.invoice_id, one.client_id) == subject]
    if found and w.random.random() < 0.8:
        return found[0]
    if row.voided:
        subject = LinkSubject(None, row.client_id)
    async with w.transaction() as tx:
        made = await pay_links.make_link(
            tx, subject, url_of=lambda token: f"/pay/{token}", days=400, who="simulation", now=now()
        )
    async with w.database.snapshot() as tx:
        known = await pay_links.list_links(tx, now())
    return next(one for one in known if one.id == made.id)


async def _currency(w: World, link: StoredPayLink) -> str | None:
    """A currency in which the page has a button."""
    async with w.database.snapshot() as tx:
        currencies = (await load_owed(tx, link)).currencies()
    return w.random.choice(currencies) if currencies else None


# --- for the judge ---------------------------------------------------------------------------


def is_of_customer(metadata: Mapping[str, str]) -> bool:
    """Whether a link or a screen of ours made it, for the customer to pay."""
    return LINK_KEY in metadata or MADE_FOR in metadata


def _shown(w: World, *statuses: str) -> list[int]:
    """The invoices of pages and intents that somebody was given, once for each in these states."""
    sessions = [one for one in w.sandbox.state["sessions"].rows() if one["id"] in w.shown]
    intents = w.sandbox.state["payment_intents"].rows()
    given = [*sessions, *(one for one in intents if one["id"] in w.secrets)]
    return [
        invoice
        for one in given
        if one["status"] in statuses
        for invoice in shares_in(one["metadata"]) or {int(one["metadata"]["invoice_id"]): 0}
    ]


_UNPAID = ("open", "requires_payment_method", "requires_confirmation", "requires_action")
_PAID = ("complete", "processing", "succeeded")


def asked_for(w: World) -> set[int]:
    """The invoices for which somebody has a page or an intent of ours open, or has paid one."""
    return {*_shown(w, *_UNPAID, *_PAID)}


def check_pages(w: World) -> None:
    """At most one page or intent that somebody was given can take the money of an invoice."""
    asked = Counter(_shown(w, *_UNPAID))
    several = {invoice: pages for invoice, pages in asked.items() if pages > 1}
    assert not several, f"pages that can take the same money: {several}"

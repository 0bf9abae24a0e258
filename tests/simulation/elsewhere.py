"""Money that moves without Paydue, and what changes under it: other payers, methods, old copies."""

import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.ledger import autopay_pauses
from app.payments import payouts
from app.payments.reconciliation import cursor
from app.rules import money
from app.rules.claim import INSTALLATION_KEY
from app.sandbox.account.stripe_errors import StripeRefusal
from app.sandbox.stripe_api import customers_api, payment_intents_api, payment_methods_api
from tests.simulation import charges, people, visitors
from tests.simulation.world import CARDS, World, now

# Stripe forgets an idempotency key after so many hours.
KEYS_LAST_H = 24
_VISA = {"payment_method": "pm_card_visa", "return_url": "https://example.com"}


async def pay_in_another_way(w: World) -> bool:
    """The portal, the Dashboard or a second program takes a part, the whole, or too much."""
    invoice = w.random.choice(w.invoices)
    row = await w.row(invoice)
    currency = w.random.choice((row.currency_iso,) * 4 + ("eur",))
    part = w.random.choice((Decimal("0.3"), Decimal(1), Decimal(2)))
    amount = money.rounded((row.amountdue or row.total) * part, row.currency_iso)
    customer = w.customer_of[row.client_id] if w.random.random() < 0.7 else None
    minor = max(money.to_minor(amount, row.currency_iso), 50)
    intent = pay(w, minor, currency, {"invoice_id": str(invoice)}, customer)["id"]
    w.aside.add(intent)
    if currency != row.currency_iso:
        w.never_fits.add(intent)
    if customer is None:
        w.unbelieved.add(intent)
    return True


async def pay_a_second_installation(w: World) -> bool:
    """Another Paydue on the same account charges an invoice of its own that has the same number."""
    metadata = {INSTALLATION_KEY: "other", "invoice_id": str(w.random.choice(w.invoices))}
    intent = pay(w, 2500, "usd", {**metadata, "attempt": "1"})
    w.foreign.add(intent["id"])
    return True


def pay(
    w: World,
    amount: int,
    currency: str,
    metadata: dict[str, str],
    customer: str | None = None,
    method: str = "pm_card_visa",
) -> Any:
    """A payment that somebody else has made."""
    params = {**_VISA, "amount": amount, "currency": currency, "confirm": True}
    params["payment_method"] = method
    if method == "pm_usBankAccount":
        params["payment_method_types"] = ["us_bank_account"]
        params["mandate_data"] = {"customer_acceptance": {"type": "offline"}}
    if customer is not None:
        params["customer"] = customer
    return payment_intents_api.create(w.sandbox.state, {**params, "metadata": metadata})


def ask(w: World, amount: int, currency: str, metadata: dict[str, str], customer: str) -> Any:
    """An intent of somebody else's that waits for a card."""
    params = {"amount": amount, "currency": currency, "customer": customer, "metadata": metadata}
    return payment_intents_api.create(w.sandbox.state, params)


async def pay_on_a_page(w: World) -> bool:
    """The client enters a card on a page that is still open."""
    intents = w.sandbox.state["payment_intents"]
    asked = [one for one in intents.rows() if one["id"] in w.sessions or one["id"] in w.secrets]
    payable = sorted(one["id"] for one in asked if one["status"] in _PAYABLE)
    if not payable:
        return False
    payment_intents_api.confirm(w.sandbox.state, dict(_VISA), w.random.choice(payable))
    return True


async def cancel_at_stripe(w: World) -> bool:
    """Somebody cancels an unfinished intent in the Dashboard, whoever made it."""
    intents = w.sandbox.state["payment_intents"].rows()
    open_ones = sorted(one["id"] for one in intents if one["status"] in _CANCELABLE)
    if not open_ones:
        return False
    try:
        payment_intents_api.cancel(w.sandbox.state, {}, w.random.choice(open_ones))
    except StripeRefusal:
        return False  # its Checkout Session is still open
    return True


async def client_pays_a_declined_intent(w: World) -> bool:
    """The client follows a link to the intent that Paydue could not collect.

    Not where a Checkout Session asks for the same: to pay both is the client's own doing.
    """
    open_ones = [
        one
        for one in w.sandbox.state["payment_intents"].rows()
        if charges.is_ours(w, one) and one["last_payment_error"] and one["status"] in _PAYABLE
    ]
    asked = {*w.sessions.values()} | visitors.asked_for(w)
    free = sorted(one["id"] for one in open_ones if not asked & charges.shares_of(one).keys())
    if not free:
        return False
    intent = w.random.choice(free)
    w.paid_by_client.add(intent)
    payment_intents_api.confirm(w.sandbox.state, dict(_VISA), intent)
    return True


_PAYABLE = ("requires_payment_method", "requires_confirmation")
_CANCELABLE = (*_PAYABLE, "requires_action")


async def change_method(w: World) -> bool:
    """A new card: the client's own, or the default that Stripe has for the customer."""
    client = w.random.choice(sorted(w.customer_of))
    customer = w.customer_of[client]
    method = f"{customer}_method{len(w.sandbox.state['payment_methods'])}"
    w.sandbox.add_payment_method(method, customer=customer, behaviour=w.random.choice(CARDS))
    settings = {"invoice_settings": {"default_payment_method": method}}
    customers_api.update(w.sandbox.state, settings, customer)
    await w.write(
        "UPDATE client SET stripe_payment_method_id = :method WHERE id = :client"
        " AND stripe_payment_method_id IS NOT NULL",
        method=method,
        client=client,
    )
    return True


async def detach_method(w: World) -> bool:
    """The client removes a card, and Paydue hears of it later."""
    customer = w.random.choice(sorted(w.customer_of.values()))
    attached = [
        one["id"]
        for one in w.sandbox.state["payment_methods"].rows()
        if one["customer"] == customer
    ]
    if not attached:
        return False
    try:
        payment_methods_api.detach(w.sandbox.state, {}, w.random.choice(sorted(attached)))
    except StripeRefusal:
        return False
    return True


# --- an older copy of the database ---------------------------------------------------------------


@dataclass(frozen=True)
class OlderCopy:
    """The database and what we know beside it, as they were."""

    database: sqlite3.Connection
    aged: int
    days: int
    invoices: list[int]
    by_hand: dict[int, Decimal]
    assigned: dict[str, int]


async def copy_database(w: World) -> bool:
    if w.raw is None:
        return False
    copy = sqlite3.connect(":memory:")
    w.raw.backup(copy)
    assigned = {one: w.told_of[one] for one in w.assigned}
    w.copy = OlderCopy(copy, w.aged, w.days, [*w.invoices], {**w.by_hand}, assigned)
    return True


async def restore_database(w: World) -> bool:
    """The copy comes back, hours or days later, with a cursor or without one."""
    old, w.copy = w.copy, None
    if w.raw is None or old is None:
        return False
    for _ in range(w.random.choice((0, 0, 1, 5))):  # in which nothing ran
        await w.pass_day(25 * 3600)
    hours = (w.aged - old.aged) // 3600
    w.story.append(f"      a copy {hours} hours old")
    if hours >= KEYS_LAST_H:
        w.did["copy older than the keys restored"] += 1
    await _put_back(w, old)
    await w.age_database(w.aged - old.aged)
    await w.age_dates(w.days - old.days)
    lost = _acts_of_people(w, old)
    _forget(w, old)
    await w.note_due()
    pause_id = await _pause_autopay(w, None)
    if w.random.random() < 0.4:
        await _forget_cursor(w)
    w.sandbox.clear_faults()
    if w.random.random() < 0.5:  # otherwise the next run finds it out, before it charges anything
        await w.node.reconciliation().run()
        await w.node.autopay().recover()
    else:
        (await w.node.autopay().run(w.day)).close()
    await _do_again(w, lost)
    async with w.transaction() as tx:
        await autopay_pauses.end_pause(tx, pause_id, who="simulation", now=now())
    await w.note_due()
    return True


@dataclass(frozen=True, slots=True)
class ActsOfPeople:
    """What people did since a copy was made, on invoices that the copy has."""

    by_hand: dict[int, Decimal]
    assigned: dict[str, int]


def _acts_of_people(w: World, old: OlderCopy) -> ActsOfPeople:
    nothing = Decimal(0)
    by_hand = {one: w.by_hand.get(one, nothing) - old.by_hand.get(one, nothing)
               for one in old.invoices}  # fmt: skip
    new = {one: w.told_of[one] for one in w.assigned - old.assigned.keys()}
    return ActsOfPeople(
        {one: amount for one, amount in by_hand.items() if amount > 0},
        {intent: invoice for intent, invoice in sorted(new.items()) if invoice in old.invoices},
    )


async def _pause_autopay(w: World, invoice: int | None) -> int:
    """As `paydue db restore` does: nothing is charged until people have done again what is lost."""
    async with w.transaction() as tx:
        return await autopay_pauses.pause(
            tx, client_id=None, invoice_id=invoice, reason="restored", until=None,
            who="simulation", now=now(),
        )  # fmt: skip


async def _do_again(w: World, lost: ActsOfPeople) -> None:
    """People type and assign again; what is refused while a debit is on its way stays paused."""
    done = {}
    for invoice, amount in lost.by_hand.items():
        row = await w.row(invoice)
        done[invoice] = await people.enter_by_hand(w, row, min(amount, row.amountdue))
    for intent, invoice in lost.assigned.items():
        done[invoice] = await people.assign_intent(w, intent, invoice) and done.get(invoice, True)
    for invoice in sorted(one for one, is_done in done.items() if not is_done):
        await _pause_autopay(w, invoice)


async def _forget_cursor(w: World) -> None:
    w.story.append("      without a cursor")
    w.did["copy without a cursor restored"] += 1
    for name in (cursor.CURSOR, cursor.COMPLETED, payouts.CURSOR):
        await w.write("DELETE FROM fact WHERE name = :name", name=name)


async def _put_back(w: World, old: OlderCopy) -> None:
    assert w.raw is not None, "only SQLite has copies"
    tables = [
        name
        for (name,) in old.database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'"
            " AND name NOT LIKE '%fts%' AND name <> 'pace'"
        )
    ]
    w.raw.execute("BEGIN IMMEDIATE")
    w.raw.execute("PRAGMA defer_foreign_keys = ON")
    for table in tables:
        w.raw.execute(f'DELETE FROM "{table}"')
        rows = old.database.execute(f'SELECT * FROM "{table}"').fetchall()
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            w.raw.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)
    w.raw.execute("COMMIT")
    old.database.close()


def _forget(w: World, old: OlderCopy) -> None:
    """Only the books know what was entered by hand, so what the copy lacks has never been."""
    w.later = sorted({*w.later, *w.invoices} - {*old.invoices})
    w.invoices, w.by_hand = old.invoices, old.by_hand
    for intent in w.assigned - old.assigned.keys():
        del w.told_of[intent]
    w.assigned = {*old.assigned}
    w.declined_on.clear()
    w.forgotten |= {
        one["id"] for one in w.sandbox.state["payment_intents"].rows() if charges.is_ours(w, one)
    }

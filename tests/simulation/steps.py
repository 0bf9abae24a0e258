"""What may happen in a world. Each step says whether there was anything for it to do."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.errors import InvalidField, Refused
from app.ledger import invoicing, void_and_delete
from app.payments.autopay.report import Outcome, OutcomeKind
from app.payments.stripe.gateway import NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited
from app.payments.webhook import dead_letters, inbox
from app.rules import money
from app.sandbox.account.stripe_errors import StripeRefusal
from app.sandbox.server import Sandbox
from app.sandbox.stripe_api import checkout_api
from tests.simulation import charges, elsewhere, people, refunds, visitors
from tests.simulation.world import HOME, NEVER_MADE, InvoiceRow, Step, World, line, now

NO_ANSWER = (NoAnswer, StripeRateLimited, RequestRefused, NotAuthorized)
HOUR = 3600

# --- the service's own work ------------------------------------------------------------------


async def autopay(w: World) -> bool:
    try:
        report = await w.node.autopay().run(w.day, _assert_sound)
    except NO_ANSWER:  # a run charges nothing while it cannot know what Stripe knows
        return False
    report.close()
    return True


async def autopay_meanwhile(w: World) -> bool:
    """A run, and before one of its calls somebody pays, credits, voids or takes a card away."""
    w.switch.meanwhile, w.switch.calls_before = (lambda: _meanwhile(w)), w.random.randint(0, 12)
    try:
        return await autopay(w)
    finally:
        w.switch.meanwhile = None


async def _meanwhile(w: World) -> None:
    name = w.random.choice(MEANWHILE)
    before = await _amounts_due(w)
    w.story.append(f"      meanwhile {name}")
    w.did["meanwhile"] += await KINDS[name][1](w)
    # What this run has charged already was due before; only what has changed now is due anew.
    now_due = await _amounts_due(w)
    w.due |= {one: due for one, due in now_due.items() if before.get(one) != due}


async def _amounts_due(w: World) -> dict[int, int]:
    return {invoice: due for invoice, due in await w.look("SELECT id, amountdue FROM invoice")}


MEANWHILE = (
    "checkout completed",
    "checkout completed",
    "page paid",
    "payment in another way",
    "payment in another way",
    "payment by hand",
    "credit note applied",
    "invoice voided",
    "total lowered",
    "method detached",
    "intent cancelled in the Dashboard",
    "intent cancelled in the Dashboard",
    "delivery",
)


async def press_buttons_at_once(w: World) -> bool:
    """Visitors of pay links, while autopay runs."""
    return await visitors.press_at_once(w, autopay(w))


async def next_day(w: World) -> bool:
    """A day passes: keys at Stripe are forgotten, timers end, the next run is another day's."""
    await w.pass_day(w.random.choice((24, 25, 30)) * HOUR)
    return True


async def minutes_pass(w: World) -> bool:
    await w.pass_time(w.random.choice((70, 130, 700)))
    return True


async def recover(w: World) -> bool:
    try:
        await w.node.autopay().recover(_assert_sound)
        await w.node.refunds().recover()
    except NO_ANSWER:
        return False
    return True


async def press_retry(w: World) -> bool:
    """Support has an invoice tried now, which a decline has put off."""
    invoice = w.random.choice(w.invoices)
    charges.allow_again(w, invoice)
    try:
        outcome = await w.node.autopay().retry(invoice, reason="asked", who="simulation")
    except Refused as refusal:
        w.story.append(f"      {refusal.message}")
        return True
    except NO_ANSWER:
        return False
    _assert_sound(outcome)
    return True


def _assert_sound(outcome: Outcome) -> None:
    """A failure stops no other invoice, so a run does not end by it; it is one all the same."""
    assert outcome.kind != OutcomeKind.FAILED, f"invoice {outcome.invoice_id}: {outcome.reason}"


async def reconcile(w: World) -> bool:
    try:
        await w.node.reconciliation().run()
    except NO_ANSWER:
        return False
    w.lost.clear()
    return True


async def replay(w: World) -> bool:
    at = datetime.now(UTC) + timedelta(minutes=w.random.choice((1, 15, 3000)))
    done = await dead_letters.retry_due(w.database, w.node.installation, at)
    return bool(done.applied or done.parked)


# --- what becomes of events ------------------------------------------------------------------


async def deliver(w: World) -> bool:
    """Some of what waits, in any order, each once or several times, in one batch or many."""
    if not w.waiting:
        return False
    w.random.shuffle(w.waiting)
    count = w.random.randint(1, len(w.waiting))
    batch, w.waiting = w.waiting[:count], w.waiting[count:]
    await received(w, [one for one in batch for _ in range(w.random.choice((1, 1, 1, 2, 5)))])
    return True


async def received(w: World, events: list[Any]) -> None:
    """In batches of any size; a batch of one goes the whole way that a request goes."""
    w.random.shuffle(events)
    while events:
        size = w.random.choice((1, 3, 8, 30))
        batch, events = events[:size], events[size:]
        if len(batch) == 1:
            await w.receive(batch[0])
        else:
            await inbox.store_and_apply(w.database, [w.arrival(one) for one in batch])


async def duplicate(w: World) -> bool:
    """A second Event object for a change that has just got one."""
    just = w.sandbox.clock.stamp() - 60
    made = w.sandbox.state.events.rows()
    found = [one for one in made if one.type != NEVER_MADE and one.created >= just]
    if not found:
        return False
    w.sandbox.duplicate_event(w.random.choice(found).id)
    w.collect()
    return True


async def deliver_again(w: World) -> bool:
    """A resend, long after the first delivery."""
    made = [one for one in w.sandbox.state.events.rows() if one.type != NEVER_MADE]
    await received(w, [w.random.choice(made) for _ in range(3)])
    return True


async def lose(w: World) -> bool:
    """Some of what waits is never delivered; Stripe still lists it."""
    dropped = [one for one in w.waiting if w.random.random() < 0.4]
    w.waiting = [one for one in w.waiting if one not in dropped]
    w.lost |= {one.id for one in dropped}
    return bool(dropped)


async def never_make(w: World) -> bool:
    """An intent changed and Stripe made no event of it: only the intent itself tells."""
    found = [one for one in w.waiting if one.type.startswith("payment_intent.")]
    if not found:
        return False
    gone = w.random.choice(found)
    w.waiting.remove(gone)
    gone.type = NEVER_MADE
    return True


# --- what goes wrong at Stripe ---------------------------------------------------------------

CALLS = (
    "POST /v1/payment_intents",
    "POST /v1/payment_intents/{id}/confirm",
    "POST /v1/payment_intents/{id}/confirm",
    "POST /v1/payment_intents/{id}/cancel",
    "GET /v1/payment_intents/{id}",
    "GET /v1/payment_intents",
    "GET /v1/checkout/sessions",
    "POST /v1/checkout/sessions/{id}/expire",
    "POST /v1/checkout/sessions",
    "GET /v1/customers/{id}",
    "GET /v1/events",
    "POST /v1/refunds",
    "GET /v1/refunds",
)
FAULTS: dict[str, dict[str, Any]] = {
    "drop before": {"kind": "drop", "when": "before"},
    "drop after": {"kind": "drop", "when": "after"},
    "500 before": {"kind": "status", "when": "before"},
    "500 after": {"kind": "status", "when": "after"},
    "503 after": {"kind": "status", "when": "after", "status": 503},
    "truncate": {"kind": "truncate", "when": "after"},
    "html": {"kind": "html200", "when": "after"},
    "conflict": {"kind": "conflict"},
    "429": {"kind": "rate_limit"},
    "unauthorized": {"kind": "unauthorized"},
    "lock_timeout": {"kind": "lock_timeout"},
    "missing": {"kind": "missing"},
}


async def fault(w: World) -> bool:
    name = w.random.choice(list(FAULTS))
    call = w.random.choice(CALLS)
    of = "customer" if name == "missing" and "{id}" not in call else None
    w.sandbox.fault(call, times=w.random.randint(1, 2), nth=None, param=of, **FAULTS[name])
    w.did[f"fault: {name}"] += 1
    w.story.append(f"      {name} at {call}")
    return True


async def work_with_another_key(w: World) -> bool:
    """Somebody sets the key of another account: there, nothing of ours has ever been."""
    w.switch.sandbox = Sandbox(seed=w.seed + 1)
    try:
        for work in w.random.sample((autopay, recover, reconcile), k=2):
            await work(w)
    finally:
        w.switch.sandbox = w.sandbox
    return True


# --- what people and banks do ----------------------------------------------------------------


def _charges(w: World) -> list[Any]:
    rows = w.sandbox.state["charges"].rows()
    found = [one for one in rows if one["status"] == "succeeded"]
    return sorted((one for one in found if one["payment_intent"] not in w.foreign), key=_stable)


def _stable(thing: Any) -> tuple[int, str]:
    return thing["amount"], thing["id"]


async def refund(w: World) -> bool:
    charges = [one for one in _charges(w) if one["amount_refunded"] < one["amount"]]
    if not charges:
        return False
    one = w.random.choice(charges)
    left = one["amount"] - one["amount_refunded"]
    amount = w.random.choice((left, max(1, left // 3)))
    outcome = w.random.choice(("succeeded", "pending", "fails", "requires_action"))
    try:
        w.sandbox.refund(one["id"], amount, outcome)
    except StripeRefusal:
        return False  # charged back
    return True


async def dispute(w: World) -> bool:
    charges = [one for one in _charges(w) if not one["disputed"]]
    if not charges:
        return False
    one = w.random.choice(charges)
    amount = w.random.choice((one["amount"], one["amount"], one["amount"] // 2 or 1))
    status = w.random.choice(("needs_response", "needs_response", "warning_needs_response", "lost"))
    w.sandbox.open_dispute(one["id"], amount, status)
    return True


async def end_dispute(w: World) -> bool:
    """Won or lost; a lost one is won late."""
    open_ones = [
        one
        for one in w.sandbox.state["disputes"].rows()
        if one["status"] in {"needs_response", "warning_needs_response", "lost"}
    ]
    if not open_ones:
        return False
    one = w.random.choice(sorted(open_ones, key=_stable))
    match one["status"]:
        case "lost":
            w.did["dispute won late"] += 1
            end = "won"
        case "warning_needs_response":
            end = "warning_closed"
        case _:
            end = w.random.choice(("won", "lost"))
    w.sandbox.close_dispute(one["id"], end)
    return True


async def pay_by_hand(w: World) -> bool:
    invoice = w.random.choice(w.invoices)
    row = await w.row(invoice)
    if row.voided or row.amountdue <= 0:
        return False
    part = w.random.choice((1, 3))
    return await people.enter_by_hand(w, row, money.rounded(row.amountdue / part, row.currency_iso))


async def pay_refunded_by_hand(w: World) -> bool:
    """The client pays in another way after a refund or a dispute, which may yet turn out well."""
    rows = [await w.row(one) for one in w.invoices]
    due = [one for one in rows if one.payments_reversed and one.amountdue > 0]
    if not due:
        return False
    row = w.random.choice(due)
    return await people.enter_by_hand(w, row, row.amountdue)


async def credit(w: World) -> bool:
    """Support credits an invoice in part or whole, or tries to give more than the note has."""
    row = await w.row(w.random.choice(w.invoices))
    if row.voided or row.amountdue < 1 or w.later:  # whose ids are promised
        return False
    of_note = money.rounded(row.amountdue / w.random.choice((1, 3)), row.currency_iso)
    note = await w.save_credit_note(row.client_id, of_note)
    w.copy = None  # only the books know of it, so a copy from before would ask for the money again
    if w.random.random() < 0.2:
        await _give_too_much(w, row, of_note * 2, note)
    await people.enter_by_hand(w, row, of_note, note)
    return True


async def _give_too_much(w: World, row: InvoiceRow, amount: Decimal, note: int) -> None:
    try:
        given = await people.enter_by_hand(w, row, amount, note)
    except InvalidField:
        return
    assert not given, f"credit note {note} has given {amount}, more than it has"


async def void(w: World) -> bool:
    invoice = w.random.choice(w.invoices)
    row = await w.row(invoice)
    if row.voided:
        return False
    is_moving = row.payments_pending or await people.is_under_way(w, invoice)
    try:
        async with w.transaction() as tx:
            await void_and_delete.void(tx, invoice, now=now(), who="simulation")
    except Refused:  # money was paid on it, or a charge of it is under way
        return False
    assert not is_moving, f"invoice {invoice} voided while a payment is under way"
    w.copy = None  # only the books know of it, so a copy from before would ask for the money again
    return True


async def lower_total(w: World) -> bool:
    """A declined intent of the old amount must not be payable any more."""
    invoice = w.random.choice(w.invoices)
    row = await w.row(invoice)
    if row.voided or row.amountpaid or row.payments_pending or row.total < 2:
        return False
    price = money.rounded(row.total / 2, row.currency_iso)
    given = {"id": invoice, "lines": [line(price)]}
    is_moving = await people.is_under_way(w, invoice)
    try:
        async with w.transaction() as tx:
            await invoicing.save(tx, [given], now=now(), who="simulation", home=HOME)
    except Refused:  # while a charge of it is under way
        return False
    assert not is_moving, f"invoice {invoice} edited while a charge is under way"
    w.copy = None  # as for a void
    return True


async def open_checkout(w: World) -> bool:
    """Somebody sends the client a page to pay one invoice, or anybody who has the link."""
    invoice = w.random.choice(w.invoices)
    row = await w.row(invoice)
    if not await _may_be_asked_for(w, row):
        return False
    is_guest = w.random.random() < 0.3
    minor = money.to_minor(row.amountdue, row.currency_iso)
    price = {"currency": row.currency_iso, "unit_amount": str(minor), "product_data": {"name": "x"}}
    by_reference = w.random.random() < 0.5
    named: dict[str, Any] = (
        {"client_reference_id": str(invoice)}
        if by_reference
        else {"metadata": {"invoice_id": str(invoice)}}
    )
    session = checkout_api.create(
        w.sandbox.state,
        {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": "1"}],
            **({} if is_guest else {"customer": w.customer_of[row.client_id]}),
            **named,
        },
    )
    w.sessions[session["id"]] = invoice
    if is_guest:
        w.guests.add(session["id"])
    return True


async def _may_be_asked_for(w: World, row: InvoiceRow) -> bool:
    """One page an invoice: to pay two of them is the client's own doing."""
    is_open = row.amountdue > 0 and not row.voided and not row.payments_pending
    if not is_open or row.payments_reversed or row.id in w.sessions.values():
        return False  # to ask again for what was given back would be a second charge, and right
    if row.id in visitors.asked_for(w):
        return False
    if await people.is_under_way(w, row.id) or await _paid_before(w, row.id):
        return False
    return row.id not in charges.paid_by_client(w)


async def open_page(w: World) -> bool:
    """The client's portal makes an intent for an invoice, and asks for a card."""
    row = await w.row(w.random.choice(w.invoices))
    if not await _may_be_asked_for(w, row):
        return False
    minor = money.to_minor(row.amountdue, row.currency_iso)
    customer = w.customer_of[row.client_id]
    intent = elsewhere.ask(w, minor, row.currency_iso, {"invoice_id": str(row.id)}, customer)
    w.sessions[intent["id"]] = row.id
    return True


async def _paid_before(w: World, invoice: int) -> bool:
    """A payment that came before its invoice waits for the worker to attach it."""
    return bool(await w.look(_PAID_BEFORE_SQL, invoice=invoice))


_PAID_BEFORE_SQL = """
    SELECT stripe_payment.id FROM stripe_payment JOIN invoice_payment USING (intent_id)
    WHERE claimed_invoice_id = :invoice AND invoice_id IS NULL"""


async def complete_checkout(w: World) -> bool:
    found = w.sandbox.state["sessions"].rows()
    payable = w.sessions.keys() | w.shown
    open_ones = sorted(
        one["id"] for one in found if one["status"] == "open" and one["id"] in payable
    )
    if not open_ones:
        return False
    session = w.random.choice(open_ones)
    card = w.random.choice(
        ("pm_card_visa", "pm_card_visa", "pm_usBankAccount", "pm_card_chargeDeclined")
    )
    done = w.sandbox.complete_checkout(session, card)
    if done["payment_intent"] and session in w.sessions:
        w.told_of[done["payment_intent"]] = w.sessions[session]
        if session in w.guests:
            w.guests.add(done["payment_intent"])
            w.unbelieved.add(done["payment_intent"])  # once another amount is due
    return True


async def pay_before_the_invoice(w: World) -> bool:
    """Money for an invoice that does not exist here yet, as when another system is ahead."""
    invoice = w.next_invoice
    w.later.append(invoice)
    elsewhere.pay(w, 2500, "usd", {"invoice_id": str(invoice)})
    w.collect()
    told = [one for one in w.waiting if one.subject.get("metadata", {}).get("invoice_id")]
    await received(
        w, [one for one in told if one.subject["metadata"]["invoice_id"] == str(invoice)]
    )
    return True


async def the_invoice_comes(w: World) -> bool:
    if not w.later:
        return False
    await w.save_invoice(Decimal(25))
    assert w.invoices[-1] == w.later.pop(0)
    return True


async def pay_for_nothing_named(w: World) -> bool:
    """Money that names no invoice: any amount of anybody's, or what a client owes for one."""
    if w.random.random() < 0.4:
        elsewhere.pay(w, 2500, "usd", {})
        return True
    row = await w.row(w.random.choice(w.invoices))
    if row.voided or row.amountdue < 1 or await people.is_under_way(w, row.id):
        return False
    minor = money.to_minor(row.amountdue, row.currency_iso)
    method = w.random.choice(("pm_card_visa", "pm_usBankAccount"))
    customer = w.customer_of[row.client_id]
    intent = elsewhere.pay(w, minor, row.currency_iso, {}, customer, method)
    w.unnamed[intent["id"]] = customer
    return True


async def assign(w: World) -> bool:
    """A person says what a payment is for, that named nothing."""
    rows = [row for row in await w.look(_UNNAMED_SQL) if row[1] not in w.told_of]
    free = [invoice for (invoice,) in await w.look(_FREE_SQL)]
    if not rows or not free:
        return False
    (_, intent), invoice = w.random.choice(rows), w.random.choice(free)
    return await people.assign_intent(w, intent, invoice)


_UNNAMED_SQL = """
    SELECT invoice_payment.id, intent_id
    FROM invoice_payment JOIN stripe_payment USING (intent_id)
    WHERE invoice_id IS NULL AND claimed_invoice_id IS NULL ORDER BY intent_id"""
_FREE_SQL = """
    SELECT id FROM invoice WHERE amountdue > 0 AND currency_iso = 'usd' AND id NOT IN (
        SELECT invoice_id FROM charge_attempt WHERE state IN ('open', 'unknown', 'processing')
        UNION SELECT invoice_id FROM charge_attempt_share WHERE is_unresolved)
    ORDER BY id"""


KINDS: dict[str, tuple[int, Step]] = {
    "autopay run": (6, autopay),
    "autopay run meanwhile": (5, autopay_meanwhile),
    "next day": (4, next_day),
    "minutes pass": (3, minutes_pass),
    "recovery": (2, recover),
    "reconciliation": (2, reconcile),
    "replay of parked events": (3, replay),
    "delivery": (7, deliver),
    "second event object": (1, duplicate),
    "late redelivery": (1, deliver_again),
    "event lost": (2, lose),
    "event never made": (1, never_make),
    "fault": (5, fault),
    "key of another account": (1, work_with_another_key),
    "refund": (3, refund),
    "dispute": (3, dispute),
    "dispute ends": (4, end_dispute),
    "refund from Paydue": (4, refunds.refund_from_paydue),
    "payment by hand": (1, pay_by_hand),
    "payment by hand after a refund": (3, pay_refunded_by_hand),
    "credit note applied": (2, credit),
    "invoice voided": (1, void),
    "total lowered": (1, lower_total),
    "checkout opened": (4, open_checkout),
    "checkout completed": (6, complete_checkout),
    "pay link pressed": (4, visitors.press_button),
    "pay links pressed at once": (4, press_buttons_at_once),
    "screen asks for an intent": (3, visitors.ask_on_screen),
    "page opened": (2, open_page),
    "page paid": (3, elsewhere.pay_on_a_page),
    "payment before its invoice": (1, pay_before_the_invoice),
    "invoice after its payment": (3, the_invoice_comes),
    "payment that names nothing": (2, pay_for_nothing_named),
    "payment assigned by hand": (5, assign),
    "payment in another way": (2, elsewhere.pay_in_another_way),
    "payment of a second installation": (1, elsewhere.pay_a_second_installation),
    "declined intent paid by the client": (2, elsewhere.client_pays_a_declined_intent),
    "intent cancelled in the Dashboard": (2, elsewhere.cancel_at_stripe),
    "retry pressed": (2, press_retry),
    "method changed": (1, elsewhere.change_method),
    "method detached": (1, elsewhere.detach_method),
    "database copied": (2, elsewhere.copy_database),
    "older copy restored": (5, elsewhere.restore_database),
}

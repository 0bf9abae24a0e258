"""Does the money add up? After every step by our own books, at the end by Stripe's."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy.dialects import sqlite

from app.ledger import journal_check
from app.payments.webhook.event_types import HANDLERS
from app.rules import money
from app.rules.attempt import AttemptStep
from app.rules.invoice import InvoiceKind
from app.rules.payment import PaymentState
from app.storage.tables.stripe_events import EventState
from tests.simulation import charges, refunds, visitors
from tests.simulation.world import NEVER_MADE, World

UNPAID, PART_PAID, PAID = 0, 1, 2


_PAYMENTS_SQL = """
    SELECT invoice_id, state, amount, amount_refunded, amount_lost, disputed, counted, currency_iso
    FROM invoice_payment"""
_INVOICES_SQL = f"""
    SELECT id, total, amountpaid, amountdue, paymentstatus, payments_pending, payments_reversed,
           voided, datepaid
    FROM invoice WHERE invoicetype <> {InvoiceKind.CREDIT_NOTE:d}"""
_MILLIONTHS = 10**6


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment as the database holds it: amounts in millionths, whole numbers."""

    invoice_id: int | None
    state: int
    amount: int
    refunded: int
    lost: int
    disputed: bool
    counted: int
    currency: str


async def check_books(w: World) -> None:
    """Checks what holds at every moment."""
    of_invoice: defaultdict[int | None, list[Paid]] = defaultdict(list)
    for row in await w.look(_PAYMENTS_SQL):
        one = Paid(*row)
        _check_payment(one)
        of_invoice[one.invoice_id].append(one)
    due = {}
    for row in await w.look(_INVOICES_SQL):
        _check_invoice(row, of_invoice[row[0]])
        due[row[0]] = row[3]
        w.totals[row[0]] = max(row[1], w.totals.get(row[0], 0))
        _check_excess(w, row)
    _check_charged_once(w)
    visitors.check_pages(w)
    charges.check(w)
    await _check_attempts(w)
    await _check_parked(w)
    await _check_shares(w)
    await _check_taken(w)
    await _check_notes(w)
    await _check_journal(w)
    w.due = due


def _check_payment(one: Paid) -> None:
    left = one.amount - one.refunded - one.lost
    assert one.counted == (left if one.state == PaymentState.SUCCEEDED else 0), one
    smallest = _MILLIONTHS // 10 ** money.exponent(one.currency)
    for value in (one.amount, one.refunded, one.lost, one.counted):
        assert isinstance(value, int), one
        assert value >= 0, one
        assert value % smallest == 0, one


def _check_invoice(row: Any, payments: list[Paid]) -> None:
    number, total, paid, due, status, pending, reversed_, voided, datepaid = row
    assert paid == sum(one.counted for one in payments), f"invoice {number}: {paid} paid"
    left = 0 if voided else max(total - paid, 0)
    assert due == left, f"invoice {number}: {due} due, {left} left"
    expected = PAID if paid >= total else PART_PAID if paid else UNPAID
    assert max(status, 0) == expected, f"invoice {number}: status {status}"
    assert (datepaid is not None) == (expected == PAID), f"invoice {number}: paid on {datepaid}"
    now_pending = sum(one.state == PaymentState.PROCESSING for one in payments)
    assert pending == now_pending, f"invoice {number}: {pending} pending"
    back = sum(bool(one.refunded or one.lost or one.disputed) for one in payments)
    assert reversed_ == back, f"invoice {number}: {reversed_} reversed"


def _check_excess(w: World, row: Any) -> None:
    """An invoice takes no more than it owes; only money that comes back to us may exceed it."""
    number, total, paid = row[:3]
    tables = w.sandbox.state.tables
    nothing_back = not len(tables["refunds"]) and not len(tables["disputes"])
    if nothing_back and total == w.totals[number]:
        assert paid <= total, f"invoice {number} of {total} has taken {paid}"


async def _check_attempts(w: World) -> None:
    """An attempt ends in the transaction that books the end of its payment.

    One that had been confirmed and whose intent was cancelled is looked at soon: a bank may have
    declined before.
    """
    late = [tuple(row) for row in await w.look(_ENDED_BUT_OPEN_SQL)]
    assert not late, f"attempts open after their payment has ended: {late}"


_ENDED_BUT_OPEN_SQL = f"""
    SELECT charge_attempt.id, charge_attempt.intent_id FROM charge_attempt
    JOIN stripe_payment ON stripe_payment.intent_id = charge_attempt.intent_id
    WHERE charge_attempt.state IN ('open', 'unknown', 'processing')
        AND stripe_payment.state IN ({PaymentState.CANCELED:d}, {PaymentState.SUCCEEDED:d})
        AND NOT (stripe_payment.state = {PaymentState.CANCELED:d}
            AND charge_attempt.step = '{AttemptStep.CONFIRMING}')"""


async def _check_parked(w: World) -> None:
    """An event of money for an invoice that is not here waits, and is tried again."""
    applied = [event for (event,) in await w.look(_TOO_EARLY_SQL)]
    assert not applied, f"events that do not wait for their invoice: {applied}"


_TOO_EARLY_SQL = f"""
    SELECT event_id FROM stripe_event JOIN stripe_payment USING (intent_id)
    WHERE stripe_event.state = '{EventState.APPLIED}' AND type = 'payment_intent.succeeded'
        AND claimed_invoice_id > 0 AND claimed_invoice_id NOT IN (SELECT id FROM invoice)"""


def _check_charged_once(w: World) -> None:
    """Nobody pays an invoice twice: by Stripe's own ledger, whatever we believe."""
    paid: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for taken in w.sandbox.ledger.charges():
        if not taken.is_standing or _is_theirs(w, taken.payment_intent):
            continue
        shares = _shares_of(w, taken.payment_intent)
        if len(shares) > 1 and taken.net < taken.amount:
            continue  # Stripe does not say which of them the money went back of
        if taken.payment_intent in w.guests and not _is_charged_as_well(w, taken, shares):
            continue
        for invoice, minor in shares.items():
            net = minor if len(shares) > 1 else taken.net
            paid[invoice][taken.payment_intent] = _millionths(net, taken.currency)
    for invoice, found in paid.items():
        is_twice = len(found) > 1 and sum(found.values()) > w.totals.get(invoice, 0)
        assert not is_twice, f"invoice {invoice} of {w.totals.get(invoice)} is paid twice: {found}"


def _is_charged_as_well(w: World, taken: Any, shares: dict[int, int]) -> bool:
    """A guest is believed by the amount alone: where we took the very same, we should have seen."""
    ours = [one for one in w.sandbox.ledger.charges() if charges.is_ours(w, _metadata(one))]
    asked = [charges.shares_of({**_metadata(one), "amount": one.amount}) for one in ours]
    return any(taken.amount == one.get(invoice) for one in asked for invoice in shares)


def _metadata(charge: Any) -> dict[str, Any]:
    return {"metadata": charge.metadata}


def _is_theirs(w: World, intent_id: str) -> bool:
    """Others took it without asking us, or it named nothing and a person assigned it."""
    metadata = w.sandbox.state["payment_intents"].get(intent_id)["metadata"]
    named_nothing = not metadata and not w.sandbox.state["sessions"].rows(intent_id)
    return named_nothing or intent_id in w.aside


def _shares_of(w: World, intent_id: str) -> dict[int, int]:
    """The invoices that an intent is for, each with its minor units."""
    if intent_id in w.never_fits | w.foreign:
        return {}
    intent = w.sandbox.state["payment_intents"].get(intent_id)
    if intent["metadata"].get("invoice_id"):
        return charges.shares_of(intent)
    told = w.told_of.get(intent_id)
    return {} if told is None else {told: intent["amount"]}


async def check_told(w: World) -> None:
    """Once everything has been told, our books are Stripe's."""
    await check_books(w)
    await _check_states(w)
    await _check_cents(w)
    await _check_allocation(w)


async def check_end(w: World) -> None:
    """At rest nothing waits any more, either."""
    await check_told(w)
    await _check_events(w)
    await _check_payable(w)
    await refunds.check_requests(w)
    unsaid = [tuple(row) for row in await w.look(_UNSAID_SQL)]
    assert not unsaid, f"attempts declined without a word of the bank's: {unsaid}"
    open_ones = await w.look(_OPEN_ATTEMPTS_SQL)
    assert not open_ones, f"attempts left open: {[tuple(row) for row in open_ones]}"


_UNSAID_SQL = """
    SELECT id, invoice_id, reason FROM charge_attempt
    WHERE state = 'declined' AND code IS NULL AND decline_code IS NULL"""
_OPEN_ATTEMPTS_SQL = """
    SELECT id, invoice_id, state, step, intent_id, reason FROM charge_attempt
    WHERE state IN ('open', 'unknown', 'processing')"""


async def _check_states(w: World) -> None:
    ours: dict[str, int] = {intent: state for intent, state in await w.look(_STATES_SQL)}
    made = w.sandbox.state["payment_intents"].rows()
    theirs = {one["id"]: _state(one) for one in made if one["id"] not in w.foreign}
    wrong = {
        intent: (ours.get(intent), state)
        for intent, state in theirs.items()
        if ours.get(intent) != state
    }
    assert not wrong, f"(ours, Stripe's): {wrong}"
    assert ours.keys() <= theirs.keys()


_STATES_SQL = "SELECT intent_id, state FROM stripe_payment"


def _state(intent: Any) -> PaymentState:
    match intent["status"]:
        case "succeeded":
            return PaymentState.SUCCEEDED
        case "canceled":
            return PaymentState.CANCELED
        case "processing":
            return PaymentState.PROCESSING
        case "requires_action":
            return PaymentState.REQUIRES_ACTION
    return PaymentState.FAILED if intent["last_payment_error"] else PaymentState.CREATED


async def _check_cents(w: World) -> None:
    """Every cent that Stripe took stands in our books: allocated, given back, or unapplied."""
    ours = {row[0]: tuple(row)[1:] for row in await w.look(_CENTS_SQL)}
    for taken in w.sandbox.ledger.charges():
        if taken.payment_intent in w.foreign:
            continue
        each = (taken.amount, taken.refunded, taken.lost, max(taken.net, 0))
        truth = tuple(_millionths(one, taken.currency) for one in each)
        found = ours.get(taken.payment_intent)
        assert found == truth, f"{taken.payment_intent}: {found} booked, {truth} at Stripe"


_CENTS_SQL = """
    SELECT stripe_payment.intent_id, stripe_payment.amount, stripe_payment.amount_refunded,
        stripe_payment.amount_lost, sum(counted)
    FROM stripe_payment JOIN invoice_payment USING (intent_id)
    GROUP BY stripe_payment.id"""


def _millionths(minor: int, currency: str) -> int:
    return int(money.from_minor(minor, currency) * _MILLIONTHS)


async def _check_taken(w: World) -> None:
    """No money stands in our books that Stripe has not taken."""
    taken = {
        one.payment_intent: _millionths(one.amount, one.currency)
        for one in w.sandbox.ledger.charges()
    }
    booked = {intent: amount for intent, amount in await w.look(_BOOKED_SQL)}
    invented = {one: amount for one, amount in booked.items() if taken.get(one) != amount}
    assert not invented, f"booked and not taken: {invented}"


_BOOKED_SQL = f"""
    SELECT intent_id, amount FROM stripe_payment WHERE state = {PaymentState.SUCCEEDED:d}"""


async def _check_notes(w: World) -> None:
    """A credit note is never owed to us."""
    owed = await w.look(_OWED_NOTES_SQL)
    assert not owed, f"credit notes that somebody is to pay: {[tuple(row) for row in owed]}"


_OWED_NOTES_SQL = f"""
    SELECT id, amountdue FROM invoice
    WHERE invoicetype = {InvoiceKind.CREDIT_NOTE:d} AND amountdue <> 0"""


async def _check_journal(w: World) -> None:
    """The journal follows from the invoices and payments: no entry is missing, none is twice."""
    if w.raw is None:
        async with w.database.snapshot() as tx:
            differences: list[Any] = await journal_check.differences(tx)
    else:
        differences = [
            (name, *row) for name, sql in _journal_sql().items() for row in w.raw.execute(sql)
        ]
    assert not differences, f"the journal: {differences}"


@cache
def _journal_sql() -> dict[str, str]:
    """The same checks as SQLite's texts: asked after every step, they are compiled once."""
    engine = sqlite.dialect()
    return {
        name: str(one.compile(dialect=engine, compile_kwargs={"literal_binds": True}))
        for name, one in journal_check._CHECKS.items()
    }


async def _check_payable(w: World) -> None:
    """Of our intents only the last declined one of an invoice can still be paid, by the client."""
    expected = {intent for (intent,) in await w.look(_DECLINED_SQL)}
    payable = {
        one["id"]
        for one in w.sandbox.state["payment_intents"].rows()
        if charges.is_ours(w, one) and one["status"].startswith("requires_")
    }
    expected |= w.forgotten
    assert payable <= expected, f"intents that nobody goes on with: {payable - expected}"


_DECLINED_SQL = """
    SELECT intent_id FROM charge_attempt AS one
    WHERE state IN ('declined', 'refused') AND NOT EXISTS (
        SELECT 1 FROM charge_attempt AS later WHERE later.invoice_id = one.invoice_id
            AND later.number > one.number AND later.intent_id <> one.intent_id)"""


async def _check_shares(w: World) -> None:
    """The shares of a payment add up to it, and are of its state."""
    wrong = [tuple(row) for row in await w.look(_SHARES_SQL)]
    assert not wrong, f"(intent, its amount, its shares'): {wrong}"


_SHARES_SQL = """
    SELECT stripe_payment.intent_id, stripe_payment.amount, sum(invoice_payment.amount)
    FROM stripe_payment LEFT JOIN invoice_payment USING (intent_id)
    GROUP BY stripe_payment.id, stripe_payment.amount, stripe_payment.state
    HAVING stripe_payment.amount <> sum(invoice_payment.amount) OR count(invoice_payment.id) = 0
        OR min(invoice_payment.state) <> stripe_payment.state
        OR max(invoice_payment.state) <> stripe_payment.state"""


async def _check_allocation(w: World) -> None:
    """Money pays the invoice it is for and no other, and lies about only where nothing is due."""
    due = {number: amount for number, amount in await w.look(_DUE_SQL)}
    given_back = await refunds.by_name(w)
    by_hand: defaultdict[int, int] = defaultdict(int)
    for intent, invoice, counted in await w.look(_COUNTED_SQL):
        if intent is None:
            by_hand[invoice] += counted
            continue
        meant = _shares_of(w, intent)
        if invoice is not None:
            assert invoice in meant, f"{intent} is for {set(meant)} and pays {invoice}"
        elif intent not in w.unbelieved:
            for one in meant:
                left = due.get(one, 0) - given_back.get((intent, one), 0)
                assert left <= 0, f"{intent} lies about while {left} of {one} is due"
    strangers = [tuple(row) for row in await w.look(_STRANGERS_SQL)]
    assert not strangers, f"believed without a customer: {strangers}"
    entered = {invoice: int(amount * _MILLIONTHS) for invoice, amount in w.by_hand.items()}
    assert by_hand == entered, f"by hand: {dict(by_hand)} booked, {entered} entered"


_STRANGERS_SQL = """
    SELECT intent_id, claimed_invoice_id FROM stripe_payment
    WHERE stripe_customer_id IS NULL AND evidence = 'customer'"""
_DUE_SQL = "SELECT id, amountdue FROM invoice"
_COUNTED_SQL = "SELECT intent_id, invoice_id, counted FROM invoice_payment WHERE counted > 0"


async def _check_events(w: World) -> None:
    """No event is ever lost: each is kept once, and none still waits."""
    made = {one.id for one in w.sandbox.state.events.rows() if one.type in HANDLERS}
    rows = await w.look("SELECT event_id, state, error, intent_id, type FROM stripe_event")
    assert made <= {row[0] for row in rows}, "events lost"
    done = (EventState.APPLIED, EventState.IGNORED)
    waiting = [tuple(row) for row in rows if row[1] not in done and row[3] not in w.never_fits]
    assert not waiting, f"events that still wait: {waiting}"
    forgotten = [tuple(row) for row in rows if row[3] in w.never_fits and row[1] in done]
    taken = [row for row in forgotten if row[4] == "payment_intent.succeeded"]
    assert not taken, f"events that no invoice could take, and that nobody is shown: {taken}"
    assert NEVER_MADE not in HANDLERS

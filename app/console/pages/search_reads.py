"""The hits of a search, each with the reason why it matched. Every question has an index."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, or_, select, union_all

from app.console.language import N_, _
from app.console.pages.search_terms import Amount, SearchTerms
from app.console.pages.wording import (
    InvoiceFacts,
    ShownState,
    Tone,
    ViewerTime,
    event_state,
    invoice_state,
    method_name,
    payment_state,
    payout_state,
    shown_amount,
)
from app.rules.payment import PaymentState, PaymentStatus
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.fulltext import TRIGRAM, search_parameters
from app.storage.prepared import projection
from app.storage.tables.clients import CLIENT_SEARCH, Client
from app.storage.tables.invoices import INVOICE_SEARCH, Invoice
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_payouts import BalanceTransaction, StripePayout
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal

INTENTS = table_of(StripePayment)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
EVENTS = table_of(StripeEvent)
REVERSALS = table_of(StripeReversal)
REQUESTS = table_of(RefundRequest)
PAYOUTS = table_of(StripePayout)
TRANSACTIONS = table_of(BalanceTransaction)

# So many of a kind fit under the box; a list shows them all.
HITS_MAX = 6
# The payment methods that end in four digits, as they are stored: with them an index finds a card.
_METHODS = """visa mastercard amex discover diners jcb unionpay eftpos_au link sepa_debit
us_bank_account bacs_debit au_becs_debit acss_debit nz_bank_account""".split()


class Hit(NamedTuple):
    """Something that was found, where it is shown, and why it matched."""

    group: str
    icon: str
    href: str
    title: str
    why: str
    state: ShownState | None = None


class _Payment(NamedTuple):
    intent_id: str
    state: int
    amount: Decimal
    currency_iso: str
    amount_refunded: Decimal
    disputed: bool
    payment_method_name: str | None
    intent_date: datetime | None
    state_at: datetime
    reason: str | None
    client_name: str | None


class _Invoice(NamedTuple):
    id: int
    invoicenumber: str | None
    total: Decimal
    amountdue: Decimal
    currency_iso: str
    voided: bool
    paymentstatus: int
    payments_pending: int
    payments_reversed: int
    take_auto_payment: bool
    include_in_autopay: bool
    duedate: date | None
    client_name: str | None


class _Client(NamedTuple):
    id: int
    name: str
    email: str | None
    stripe_customer_id: str | None
    inactive: bool


async def find_hits(tx: Tx, terms: SearchTerms, times: ViewerTime) -> list[Hit]:
    """Everything that the text may mean; nothing when it means nothing we know."""
    if terms.object_id is not None:
        return await _by_object_id(tx, terms.object_id, times)
    found: list[Hit] = []
    if terms.filters is not None:
        found.append(
            Hit(
                N_("Lists"),
                "search",
                terms.filters,
                _("Payments: %(terms)s", terms=terms.text),
                _("Filters"),
            )
        )
    found += await _payments(tx, terms, times)
    found += await _invoices(tx, terms, times)
    found += await _clients(tx, terms)
    return found


# --- ids ---------------------------------------------------------------------------------------


async def _by_object_id(tx: Tx, object_id: str, times: ViewerTime) -> list[Hit]:
    """The hits of an id, by the kind that its beginning names."""
    find = _FINDERS.get(object_id.partition("_")[0])
    return await find(tx, object_id, times) if find else []


async def _intent(tx: Tx, intent_id: str, times: ViewerTime) -> list[Hit]:
    found = await intent_hits(tx, [intent_id], _("Its id"), times)
    return found or await _unbooked(tx, intent_id)


async def _charge(tx: Tx, charge_id: str, times: ViewerTime) -> list[Hit]:
    wanted = _newest(INTENTS.c.charge_id == charge_id)
    return await _payment_hits(
        tx, wanted, _("Its charge is %(charge_id)s", charge_id=charge_id), times
    )


async def _session(tx: Tx, session_id: str, times: ViewerTime) -> list[Hit]:
    intents = await _set(tx, EVENTS.c.intent_id, EVENTS.c.object_id == session_id)
    return await intent_hits(
        tx, intents, _("Paid by checkout session %(session_id)s", session_id=session_id), times
    )


async def _customer(tx: Tx, object_id: str, times: ViewerTime) -> list[Hit]:
    return await _clients_where(
        tx, _of_stripe(object_id), _("Its Stripe id is %(object_id)s", object_id=object_id)
    )


def _of_stripe(object_id: str) -> ColumnElement[bool]:
    return or_(
        CLIENTS.c.stripe_customer_id == object_id,
        CLIENTS.c.stripe_payment_method_id == object_id,
        CLIENTS.c.stripe_saved_method_id == object_id,
    )


async def _unbooked(tx: Tx, intent_id: str) -> list[Hit]:
    """An intent that only events name: none of them could be applied yet."""
    found = await tx.scalar(select(EVENTS.c.id).where(EVENTS.c.intent_id == intent_id).limit(1))
    if found is None:
        return []
    why = _("Only events name it, and none could be applied yet")
    state = ShownState(Tone.WAIT, "tray", _("Not booked"))
    return [Hit(N_("Payments"), "card", f"/payments/{intent_id}", intent_id, why, state)]


async def _event(tx: Tx, event_id: str, times: ViewerTime) -> list[Hit]:
    columns = (EVENTS.c.type, EVENTS.c.state, EVENTS.c.received_at)
    row = (await tx.execute(select(*columns).where(EVENTS.c.event_id == event_id))).one_or_none()
    if row is None:
        return []
    why = _("Its id, received %(time)s", time=times.full(row.received_at))
    return [Hit(N_("Events"), "bolt", f"/events/{event_id}", row.type, why, event_state(row.state))]


async def _of_reversal(tx: Tx, object_id: str, times: ViewerTime) -> list[Hit]:
    named = await _set(tx, REVERSALS.c.intent_id, REVERSALS.c.id == object_id)
    return await intent_hits(
        tx, named, _("%(object_id)s is of this payment", object_id=object_id), times
    )


async def _payout(tx: Tx, payout_id: str, times: ViewerTime) -> list[Hit]:
    columns = (PAYOUTS.c.amount, PAYOUTS.c.currency_iso, PAYOUTS.c.status, PAYOUTS.c.arrival_date)
    row = (await tx.execute(select(*columns).where(PAYOUTS.c.payout_id == payout_id))).one_or_none()
    if row is None:
        return []
    title = _("Payout of %(amount)s", amount=shown_amount(row.amount, row.currency_iso).text)
    why = _("Its id, arrives %(day)s", day=times.day(row.arrival_date))
    return [
        Hit(N_("Payouts"), "bank", f"/payouts/{payout_id}", title, why, payout_state(row.status))
    ]


async def _transaction(tx: Tx, transaction_id: str, times: ViewerTime) -> list[Hit]:
    payouts = await _set(
        tx, TRANSACTIONS.c.payout_id, TRANSACTIONS.c.transaction_id == transaction_id
    )
    return [hit for payout_id in payouts for hit in await _payout(tx, payout_id, times)]


async def _set(tx: Tx, column: ColumnElement[str], condition: ColumnElement[bool]) -> list[str]:
    wanted = select(column).where(condition, column.is_not(None)).distinct().limit(HITS_MAX)
    return list(await tx.scalars(wanted))


_FINDERS: Mapping[str, Callable[[Tx, str, ViewerTime], Awaitable[list[Hit]]]] = {
    "pi": _intent,
    "ch": _charge,
    "py": _charge,
    "evt": _event,
    "re": _of_reversal,
    "pyr": _of_reversal,
    "dp": _of_reversal,
    "du": _of_reversal,
    "issfr": _of_reversal,
    "cs": _session,
    "po": _payout,
    "txn": _transaction,
    "cus": _customer,
    "pm": _customer,
}


# --- payments ----------------------------------------------------------------------------------


async def _payments(tx: Tx, terms: SearchTerms, times: ViewerTime) -> list[Hit]:
    found: list[Hit] = []
    if terms.amount is not None:
        found += await _payment_hits(tx, _newest(_is_amount(terms.amount)), _("Its amount"), times)
    if terms.last_four is not None:
        ends = _("Paid with a method ending in %(last_four)s", last_four=terms.last_four)
        found += await _payment_hits(tx, _newest_of_methods(terms.last_four), ends, times)
    return found


def _is_amount(amount: Amount) -> ColumnElement[bool]:
    same = INTENTS.c.amount == amount.value
    return same & (INTENTS.c.currency_iso == amount.currency) if amount.currency else same


async def intent_hits(tx: Tx, intents: Collection[str], why: str, times: ViewerTime) -> list[Hit]:
    return await _payment_hits(tx, _newest(INTENTS.c.intent_id.in_(intents)), why, times)


def _newest(condition: ColumnElement[bool]) -> Select[int]:
    return select(INTENTS.c.id).where(condition).order_by(INTENTS.c.id.desc()).limit(HITS_MAX)


def _newest_of_methods(last_four: str) -> Select[int]:
    """Of each method by itself: an index then gives the newest first, however many there are."""
    each = [
        select(_newest(INTENTS.c.payment_method_name == f"{method} {last_four}").subquery().c.id)
        for method in _METHODS
    ]
    found = union_all(*each).subquery()
    return select(found.c.id).order_by(found.c.id.desc()).limit(HITS_MAX)


async def _payment_hits(tx: Tx, ids: Select[int], why: str, times: ViewerTime) -> list[Hit]:
    own = [INTENTS.c[name] for name in _Payment._fields[:-1]]
    wanted = (
        select(*own, CLIENTS.c.name.label("client_name"))
        .join_from(INTENTS, CLIENTS, CLIENTS.c.id == INTENTS.c.client_id, isouter=True)
        .where(INTENTS.c.id.in_(list(await tx.scalars(ids))))
        .order_by(INTENTS.c.id.desc())
    )
    return [_payment_hit(_Payment._make(row), why, times) for row in await tx.execute(wanted)]


def _payment_hit(row: _Payment, why: str, times: ViewerTime) -> Hit:
    amount = shown_amount(row.amount, row.currency_iso)
    whose = row.client_name or _("no client")
    told = (
        why,
        times.day_of(row.intent_date or row.state_at),
        method_name(row.payment_method_name),
    )
    return Hit(
        N_("Payments"),
        "card",
        f"/payments/{row.intent_id}",
        f"{amount.text}, {whose}",
        ", ".join(one for one in told if one),
        payment_state(_status(row), None, times, row.reason)._replace(why=None),
    )


def _status(row: _Payment) -> int:
    if row.state != PaymentState.SUCCEEDED:
        return row.state
    if row.disputed:
        return PaymentStatus.DISPUTED
    if row.amount_refunded:
        is_whole = row.amount_refunded >= row.amount
        return PaymentStatus.REFUNDED if is_whole else PaymentStatus.PART_REFUNDED
    return PaymentStatus.SUCCEEDED


# --- invoices ----------------------------------------------------------------------------------


async def _invoices(tx: Tx, terms: SearchTerms, times: ViewerTime) -> list[Hit]:
    found: dict[int, Hit] = {}
    exact = [INVOICES.c.invoicenumber.in_({terms.text, terms.text.upper()})]
    for why, ids in (
        (_("Its number"), select(INVOICES.c.id).where(*exact)),
        (_("Its id"), select(INVOICES.c.id).where(INVOICES.c.id == (terms.number or 0))),
        *_by_total(terms.amount),
        *_by_part_of_number(terms.text),
    ):
        if len(found) < HITS_MAX:
            for row in await _invoice_rows(tx, ids, terms):
                found.setdefault(row.id, _invoice_hit(row, why, times))
    return list(found.values())[:HITS_MAX]


def _by_total(amount: Amount | None) -> Iterator[tuple[str, Select[int]]]:
    if amount is not None:
        wanted = select(INVOICES.c.id).where(INVOICES.c.total == amount.value)
        if amount.currency:
            wanted = wanted.where(INVOICES.c.currency_iso == amount.currency)
        yield _("Its total"), wanted


def _by_part_of_number(text: str) -> Iterator[tuple[str, Select[int]]]:
    if len(text) >= TRIGRAM:
        yield (
            _("In its number or reference"),
            select(INVOICES.c.id).where(INVOICE_SEARCH.holds("q")),
        )


async def _invoice_rows(tx: Tx, ids: Select[int], terms: SearchTerms) -> Sequence[_Invoice]:
    columns = [INVOICES.c[name] for name in _Invoice._fields[:-1]]
    found = ids.where(INVOICES.c.id > 0).limit(HITS_MAX)
    wanted = (
        select(*columns, CLIENTS.c.name.label("client_name"))
        .join_from(INVOICES, CLIENTS, CLIENTS.c.id == INVOICES.c.client_id, isouter=True)
        .where(INVOICES.c.id.in_(list(await tx.scalars(found, search_parameters("q", terms.text)))))
        .order_by(INVOICES.c.id.desc())
    )
    return [_Invoice._make(row) for row in await tx.execute(wanted)]


def _invoice_hit(row: _Invoice, why: str, times: ViewerTime) -> Hit:
    left = shown_amount(row.amountdue, row.currency_iso)
    total = shown_amount(row.total, row.currency_iso)
    owes = (
        _("%(left)s left to pay", left=left.text)
        if row.amountdue > 0
        else _("total %(total)s", total=total.text)
    )
    facts = InvoiceFacts(
        row.voided,
        row.paymentstatus,
        row.amountdue,
        row.payments_pending,
        row.payments_reversed,
        row.take_auto_payment or row.include_in_autopay,
        row.duedate,
    )
    number = row.invoicenumber or _("Invoice %(invoice_id)s", invoice_id=row.id)
    return Hit(
        N_("Invoices"),
        "doc",
        f"/invoices/{row.id}",
        f"{number}, {row.client_name or _('no client')}",
        f"{why}, {owes}",
        invoice_state(facts, times)._replace(why=None),
    )


# --- clients -----------------------------------------------------------------------------------


async def _clients(tx: Tx, terms: SearchTerms) -> list[Hit]:
    if terms.email is not None:
        same = CLIENTS.c.email.in_({terms.email, terms.email.lower()})
        return await _clients_where(tx, same, _("Its e-mail address"))
    if len(terms.text) < TRIGRAM or terms.filters is not None:
        return []
    values = search_parameters("q", terms.text)
    return await _clients_where(tx, CLIENT_SEARCH.holds("q"), _("In its name"), values)


async def _clients_where(
    tx: Tx, condition: ColumnElement[bool], why: str, values: dict[str, str] | None = None
) -> list[Hit]:
    found = select(CLIENTS.c.id).where(condition).limit(HITS_MAX)
    ids = list(await tx.scalars(found, values or {}))
    wanted = select(*projection(CLIENTS, _Client)).where(CLIENTS.c.id.in_(ids))
    rows = [_Client._make(row) for row in await tx.execute(wanted.order_by(CLIENTS.c.name))]
    return [_client_hit(row, why) for row in rows]


def _client_hit(row: _Client, why: str) -> Hit:
    state = ShownState(Tone.NONE, "pause", _("Inactive")) if row.inactive else None
    told = f"{why}, {row.stripe_customer_id or _('no Stripe customer')}"
    return Hit(N_("Clients"), "people", f"/clients/{row.id}", row.name, told, state)

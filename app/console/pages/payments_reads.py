"""The list of payments: one row for each share that an invoice, or no invoice, has of one."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, or_, select

from app.console.language import N_, _, find_decimal
from app.console.pages.listing import FilterField, RowCondition, Window
from app.console.pages.wording import (
    LastTry,
    ShownAmount,
    ShownState,
    Tone,
    ViewerTime,
    method_name,
    payment_state,
    shown_amount,
)
from app.rules import money
from app.rules.payment import PaymentStatus
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.fulltext import TRIGRAM, search_parameters
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.clients import CLIENT_SEARCH, Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_payments import StripePayment

SHARES = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
ATTEMPTS = table_of(ChargeAttempt)

# Clients of a name and invoices of a number: a filter that means more of them is too wide.
NAMED_MAX = 10
_DAYS_MAX = 3660

STATES = (
    ("succeeded", N_("Succeeded")),
    ("processing", N_("Processing")),
    ("waiting", N_("Needs the client")),
    ("declined", N_("Not paid yet or declined")),
    ("refunded", N_("Refunded")),
    ("disputed", N_("Disputed")),
    ("canceled", N_("Canceled")),
    ("unapplied", N_("On no invoice")),
)
_STATUSES: dict[str, tuple[int, ...]] = {
    "succeeded": (PaymentStatus.SUCCEEDED, PaymentStatus.PART_REFUNDED),
    "processing": (PaymentStatus.PROCESSING,),
    "waiting": (PaymentStatus.REQUIRES_ACTION,),
    "declined": (PaymentStatus.FAILED,),
    "refunded": (PaymentStatus.PART_REFUNDED, PaymentStatus.REFUNDED),
    "disputed": (PaymentStatus.DISPUTED, PaymentStatus.DISPUTE_LOST),
    "canceled": (PaymentStatus.CANCELED,),
}
FIELDS = (
    FilterField("state", N_("State"), STATES),
    FilterField("days", N_("Last days"), hint="7"),
    FilterField("amount", N_("Amount"), hint="120.50"),
    FilterField("currency", N_("Currency"), hint="EUR"),
    FilterField("client", N_("Client"), hint=N_("name or id")),
    FilterField("invoice", N_("Invoice"), hint=N_("number or id")),
)
VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (N_("All"), {}),
    (N_("Today"), {"days": "1"}),
    (N_("Last 7 days"), {"days": "7"}),
    (N_("Declined this week"), {"state": "declined", "days": "7"}),
    (N_("Disputed"), {"state": "disputed"}),
    (N_("On no invoice"), {"state": "unapplied"}),
)


class ListedPayment(NamedTuple):
    """A share of a payment, as a row of the list."""

    id: int
    intent_id: str | None
    invoice_id: int | None
    client_id: int | None
    date: datetime
    amount: Decimal
    counted: Decimal
    status: int
    payment_method_name: str | None
    currency_iso: str
    amount_refunded: Decimal
    invoicenumber: str | None
    client_name: str | None


class PaymentLine(NamedTuple):
    """A row in words."""

    row: ListedPayment
    href: str
    amount: ShownAmount
    minor: int
    places: int
    state: ShownState
    method: str
    when: str


async def payments_window(
    tx: Tx, values: Mapping[str, str], times: ViewerTime
) -> tuple[Window, list[str]]:
    """The window of the filters, and what is wrong with those that could not be read."""
    errors: list[str] = []
    base: list[ColumnElement[bool]] = []
    if "client" in values:
        base.append(SHARES.c.client_id.in_(await find_clients(tx, values["client"])))
    if "invoice" in values:
        base.append(SHARES.c.invoice_id.in_(await find_invoices(tx, values["invoice"])))
    if "amount" in values:
        amount = _amount(values["amount"])
        if amount is None:
            errors.append(
                _("Amount: %(given)s is no amount such as 120.50", given=values["amount"])
            )
        else:
            base.append(_is_of_amount(amount))
    wanted = [*_by_state(values), *_by_days(values, times.now, errors), *_by_currency(values)]
    columns = ("status", "invoice_id")
    return Window(SHARES, base, wanted, columns, "counted", "date"), errors


def _by_state(values: Mapping[str, str]) -> list[RowCondition]:
    state = values.get("state")
    if state is None:
        return []
    if state == "unapplied":
        return [lambda one: one["invoice_id"].is_(None) & (one["counted"] > 0)]
    return [lambda one: one["status"].in_(_STATUSES[state])]


def _by_days(values: Mapping[str, str], now: datetime, errors: list[str]) -> list[RowCondition]:
    given = values.get("days")
    if given is None:
        return []
    if not given.isascii() or not given.isdigit() or not 0 < int(given) <= _DAYS_MAX:
        errors.append(
            _("Last days: %(given)s is not 1 to %(days_max)s", given=given, days_max=_DAYS_MAX)
        )
        return []
    since = now - timedelta(days=int(given))
    return [lambda one: one["date"] >= since]


def _by_currency(values: Mapping[str, str]) -> list[RowCondition]:
    currency = values.get("currency")
    return [lambda one: one["currency_iso"] == currency.lower()] if currency else []


def _amount(given: str) -> Decimal | None:
    found = find_decimal(given)
    if found is None or not found.is_finite() or not 0 < found < money.MINOR_MAX:
        return None
    return found if found == round(found, 3) else None


def _is_of_amount(amount: Decimal) -> ColumnElement[bool]:
    """Payments of this amount at Stripe, found by its index, and shares of it among their rows."""
    intents = (
        select(INTENTS.c.intent_id)
        .where(INTENTS.c.amount == amount)
        .order_by(INTENTS.c.id.desc())
        .limit(1000)
    )
    return SHARES.c.intent_id.in_(select(intents.subquery().c.intent_id))


async def find_clients(tx: Tx, given: str) -> list[int]:
    """Clients by id, or by a part of the name."""
    if given.isascii() and given.isdigit() and len(given) < 19:
        return [int(given)]
    if len(given) < TRIGRAM:
        same = select(CLIENTS.c.id).where(CLIENTS.c.name == given)
        return list(await tx.scalars(same.limit(NAMED_MAX)))
    wanted = select(CLIENTS.c.id).where(CLIENT_SEARCH.holds("q")).limit(NAMED_MAX)
    return list(await tx.scalars(wanted, search_parameters("q", given)))


async def find_invoices(tx: Tx, given: str) -> list[int]:
    """Invoices by number, or by id."""
    named: ColumnElement[bool] = INVOICES.c.invoicenumber.in_({given, given.upper()})
    if given.isascii() and given.isdigit() and len(given) < 19:
        named = or_(named, INVOICES.c.id == int(given))
    return list(await tx.scalars(select(INVOICES.c.id).where(named).limit(NAMED_MAX)))


async def load_payment_lines(tx: Tx, ids: Collection[int], times: ViewerTime) -> list[PaymentLine]:
    """These rows in words, the newest first."""
    rows = await load_listed_payments(tx, ids)
    tries = await load_last_tries(tx, {row.intent_id for row in rows if row.intent_id})
    return [_line(row, tries.get(row.intent_id or ""), times) for row in rows]


async def load_listed_payments(tx: Tx, ids: Collection[int]) -> list[ListedPayment]:
    own = [SHARES.c[name] for name in ListedPayment._fields[:-2]]
    wanted = (
        select(*own, INVOICES.c.invoicenumber, CLIENTS.c.name.label("client_name"))
        .join_from(SHARES, INVOICES, INVOICES.c.id == SHARES.c.invoice_id, isouter=True)
        .outerjoin(CLIENTS, CLIENTS.c.id == SHARES.c.client_id)
        .where(SHARES.c.id.in_(ids))
        .order_by(SHARES.c.id.desc())
    )
    return [ListedPayment._make(row) for row in await tx.execute(wanted)]


async def load_last_tries(tx: Tx, intents: Collection[str]) -> dict[str, LastTry]:
    """The newest attempt of ours on each intent."""
    if not intents:
        return {}
    newest = (
        select(func.max(ATTEMPTS.c.id))
        .where(ATTEMPTS.c.intent_id.in_(intents))
        .group_by(ATTEMPTS.c.intent_id)
    )
    columns = [ATTEMPTS.c[name] for name in LastTry._fields]
    rows = await tx.execute(select(ATTEMPTS.c.intent_id, *columns).where(ATTEMPTS.c.id.in_(newest)))
    return {row[0]: LastTry._make(row[1:]) for row in rows}


def _line(row: ListedPayment, last: LastTry | None, times: ViewerTime) -> PaymentLine:
    minor = int(row.amount.scaleb(money.exponent(row.currency_iso)))
    return PaymentLine(
        row,
        _href(row),
        shown_amount(row.amount, row.currency_iso),
        minor,
        money.exponent(row.currency_iso),
        _state(row, last, times),
        method_name(row.payment_method_name) or ("" if row.intent_id else _("By hand")),
        times.short(row.date),
    )


def _href(row: ListedPayment) -> str:
    if row.intent_id is not None:
        return f"/payments/{row.intent_id}"
    return f"/invoices/{row.invoice_id}" if row.invoice_id else "/unapplied"


def _state(row: ListedPayment, last: LastTry | None, times: ViewerTime) -> ShownState:
    state = payment_state(row.status, last, times)
    if row.invoice_id is None and row.counted > 0:
        return ShownState(Tone.WAIT, "coin", _("On no invoice"))
    if row.status == PaymentStatus.PART_REFUNDED:
        back = shown_amount(row.amount_refunded, row.currency_iso)
        return state._replace(why=_("%(back)s given back", back=back.number))
    return state

"""The candidates of autopay: flagged invoices, each with its client and its newest attempt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    tuple_,
)

from app.ledger.approvals import ChargeApproval
from app.ledger.autopay_pauses import Pause
from app.ledger.autopay_policy import REVISION
from app.rules.attempt import AttemptState
from app.rules.autopay_limit import AmountLimit
from app.rules.autopay_rule import Decision
from app.rules.invoice import hold_of
from app.rules.payment import FINAL
from app.rules.retry import VerdictSubject
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare, attempt_ids_of
from app.storage.tables.clients import Client
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice
from app.storage.tables.stripe_payments import StripePayment

INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
ATTEMPTS = table_of(ChargeAttempt)
INTENTS = table_of(StripePayment)
SHARES = table_of(ChargeAttemptShare)
FACTS = table_of(InstallationValue)

# Ids and a few columns of 200 invoices: memory stays flat however many are due.
PAGE = 200


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """The invoice's newest attempt and its end."""

    number: int
    state: AttemptState
    next_try_on: date | None
    reason: str | None
    code: str | None
    intent_id: str | None
    about: VerdictSubject
    charge_id: str | None
    network_forbids: bool
    # It charged other invoices too: its intent is for more than this one's amount.
    is_consolidated: bool = False
    # Our books have its intent as paid or canceled: it can take nothing more.
    intent_has_ended: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """All that people decided about an invoice's automatic charge, as it was read with it."""

    decision: Decision
    limits: Sequence[AmountLimit]
    pause: Pause | None
    approval: ChargeApproval | None
    total: Decimal
    # The invoice's date, or its due day without one.
    made_on: date | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A flagged invoice with all that decides whether it is charged."""

    invoice_id: int
    invoicenumber: str | None
    duedate: date | None
    amount: Decimal
    currency: str
    voided: bool
    posted: bool
    # The reason why it may not go out to the customer yet: somebody must review or approve it.
    held_back: str | None
    pending: int
    reversed: int
    client_id: int | None
    client_inactive: bool
    timezone: str | None
    customer_id: str | None
    payment_method_id: str | None
    saved_method_id: str | None
    last: LastAttempt | None
    # take_auto_payment or include_in_autopay: each alone is the client's consent.
    is_flagged: bool = True
    # The client's wish; None is the setting.
    consolidate: bool | None = None
    # Of autopay's rules, limits and pauses; None while nobody has decided anything.
    policy_revision: int | None = None
    # What was decided about it: ruling.Policies reads it.
    ruling: Ruling | None = None


Position = tuple[date, int]


async def list_due(
    tx: Tx, day: date, after: Position | None, *, flagged: bool = True
) -> Sequence[Candidate]:
    """Flagged invoices due on or before a day that have something left to pay, by day and id.

    Those without a flag, where a rule may take them, are a list of their own.
    """
    return await _page(tx, after, _DUE_PAGES[flagged], day=day)


async def list_due_alone(
    tx: Tx, day: date, after: Position | None, *, consolidates: bool
) -> Sequence[Candidate]:
    """Those of them that are charged one by one. `consolidates` is the setting."""
    return await _page(tx, after, _ALONE_PAGES[consolidates], day=day)


async def list_due_without_client(tx: Tx, day: date, after: Position | None) -> Sequence[Candidate]:
    """Flagged ones that nobody can be charged for."""
    return await _page(tx, after, _WITHOUT_CLIENT_PAGES, day=day)


async def list_due_of_client(
    tx: Tx, day: date, after: Position | None, *, client_id: int, unflagged: bool = False
) -> Sequence[Candidate]:
    """Those of one client. A run asks for each client: so the statement is a prepared one."""
    last_day, last_id = after or (date.min, 0)
    found = await _OF_CLIENT[unflagged].all(
        tx, client_id=client_id, day=day, last_day=last_day, last_id=last_id
    )
    return [_candidate(row) for row in found]


async def list_due_clients(
    tx: Tx, day: date, after: int, *, consolidates: bool | None, unflagged: bool = False
) -> Sequence[int]:
    """Clients with such invoices whose invoices are charged together, by id.

    `consolidates` is the setting; None lists all clients with such invoices.
    """
    found = await _DUE_CLIENTS[consolidates, unflagged].all(tx, day=day, after=after)
    return [row.id for row in found]


async def list_settled(tx: Tx, day: date, after: Position | None) -> Sequence[Candidate]:
    """Flagged invoices due on that very day with nothing left to pay: reported this once."""
    return await _page(tx, after, _SETTLED_PAGES, day=day)


def position(one: Candidate) -> Position:
    """The place of a listed invoice in its pages; a list holds none without a due date."""
    assert one.duedate is not None, "the lists compare it"
    return one.duedate, one.invoice_id


async def find_candidate(tx: Tx, invoice_id: int) -> Candidate | None:
    """One invoice as it is, unlocked: it may be another when it is looked at again."""
    found = await _FOUND.all(tx, invoice_id=invoice_id)
    return _candidate(found[0]) if found else None


async def find_candidates(tx: Tx, invoice_ids: Iterable[int]) -> dict[int, Candidate]:
    """Some invoices as they are, unlocked."""
    found = await _FOUND_SOME.all(tx, ids=sorted(invoice_ids))
    return {row.id: _candidate(row) for row in found}


async def lock_candidates(tx: Tx, invoice_ids: Iterable[int]) -> dict[int, Candidate]:
    """Invoices, read again under their locks, which are taken in the order of their ids."""
    found = await _LOCKED.all(tx, ids=sorted(invoice_ids))
    return {row.id: _candidate(row) for row in found}


# --- statements --------------------------------------------------------------------------------


class _CandidateRow(NamedTuple):
    """An invoice, its client and its newest attempt, side by side."""

    id: int
    invoicenumber: str | None
    duedate: date | None
    amountdue: Decimal
    currency_iso: str
    take_auto_payment: bool
    include_in_autopay: bool
    voided: bool
    posted: bool
    reviewrequired: bool
    approval_status: int
    payments_pending: int
    payments_reversed: int
    client_id: int | None
    inactive: bool | None
    timezone: str | None
    stripe_customer_id: str | None
    stripe_payment_method_id: str | None
    stripe_saved_method_id: str | None
    consolidate: bool | None
    policy_revision: str | None
    last_number: int | None
    last_state: str | None
    last_next_try_on: date | None
    last_reason: str | None
    last_code: str | None
    last_intent_id: str | None
    last_payment_method_id: str | None
    last_payment_method_version: str | None
    last_amount_minor: int | None
    last_currency: str | None
    last_customer_id: str | None
    last_charge_id: str | None
    last_network_forbids: bool | None
    last_is_consolidated: bool | None
    last_share_minor: int | None
    intent_state: int | None


_LAST = ATTEMPTS.alias("last")
_LAST_SHARE = SHARES.alias("last_share")
_LAST_FIELDS = [name for name in _CandidateRow._fields if name.startswith("last_")]


# Read in the same statement as the invoice: a decision that was made before is never missed.
_REVISION = (
    select(FACTS.c.value)
    .where(FACTS.c.name == literal_column(f"'{REVISION}'"))
    .scalar_subquery()
    .label("policy_revision")
)


def _candidates() -> Select[*tuple[Any, ...]]:
    # Attempts of one invoice are begun under its lock, so the newest has the largest id.
    of_it = attempt_ids_of(INVOICES.c.id).subquery()
    newest = select(func.max(of_it.c.id)).scalar_subquery()
    return select(
        INVOICES.c.id,
        INVOICES.c.invoicenumber,
        INVOICES.c.duedate,
        INVOICES.c.amountdue,
        INVOICES.c.currency_iso,
        INVOICES.c.take_auto_payment,
        INVOICES.c.include_in_autopay,
        INVOICES.c.voided,
        INVOICES.c.posted,
        INVOICES.c.reviewrequired,
        INVOICES.c.approval_status,
        INVOICES.c.payments_pending,
        INVOICES.c.payments_reversed,
        INVOICES.c.client_id,
        CLIENTS.c.inactive,
        CLIENTS.c.timezone,
        CLIENTS.c.stripe_customer_id,
        CLIENTS.c.stripe_payment_method_id,
        CLIENTS.c.stripe_saved_method_id,
        CLIENTS.c.consolidate,
        _REVISION,
        *(_LAST.c[name.removeprefix("last_")].label(name) for name in _LAST_FIELDS[:-1]),
        _LAST_SHARE.c.amount_minor.label(_LAST_FIELDS[-1]),
        INTENTS.c.state.label("intent_state"),
    ).select_from(
        INVOICES.outerjoin(CLIENTS, CLIENTS.c.id == INVOICES.c.client_id)
        .outerjoin(_LAST, _LAST.c.id == newest)
        .outerjoin(INTENTS, INTENTS.c.intent_id == _LAST.c.intent_id)
        .outerjoin(
            _LAST_SHARE,
            and_(
                _LAST_SHARE.c.attempt_id == _LAST.c.id,
                _LAST_SHARE.c.invoice_id == INVOICES.c.id,
            ),
        )
    )


_CANDIDATES = _candidates()
_FOUND = PreparedStatement(
    _CANDIDATES.where(INVOICES.c.id == bindparam("invoice_id")), _CandidateRow
)
_IN_ORDER = _CANDIDATES.where(any_of(INVOICES.c.id, "ids")).order_by(INVOICES.c.id)
_FOUND_SOME = PreparedStatement(_IN_ORDER, _CandidateRow)
_LOCKED = PreparedStatement(_IN_ORDER.with_for_update(of=INVOICES), _CandidateRow)
_IS_INVOICE = INVOICES.c.is_recurring_invoice.is_(False)
_IS_FLAGGED = (or_(INVOICES.c.take_auto_payment, INVOICES.c.include_in_autopay), _IS_INVOICE)
_IS_UNFLAGGED = (
    not_(INVOICES.c.take_auto_payment),
    not_(INVOICES.c.include_in_autopay),
    _IS_INVOICE,
)
# By whether invoices without a flag are taken too.
_TAKEN = {False: _IS_FLAGGED, True: (_IS_INVOICE,)}


def _of_client(*conditions: ColumnElement[bool]) -> PreparedStatement[_CandidateRow]:
    return PreparedStatement(
        _CANDIDATES.where(
            *conditions,
            INVOICES.c.duedate <= bindparam("day"),
            HAS_AMOUNT_DUE,
            INVOICES.c.client_id == bindparam("client_id"),
            tuple_(INVOICES.c.duedate, INVOICES.c.id)
            > tuple_(bindparam("last_day", type_=Date()), bindparam("last_id", type_=BigInteger())),
        )
        .order_by(INVOICES.c.duedate, INVOICES.c.id)
        .limit(literal_column(str(PAGE))),
        _CandidateRow,
    )


_OF_CLIENT = {unflagged: _of_client(*taken) for unflagged, taken in _TAKEN.items()}


class _Pages(NamedTuple):
    """A list's first page, and each that comes after a position."""

    first: PreparedStatement[_CandidateRow]
    following: PreparedStatement[_CandidateRow]


def _pages(
    *conditions: ColumnElement[bool], taken: Sequence[ColumnElement[bool]] = _IS_FLAGGED
) -> _Pages:
    at = (INVOICES.c.duedate, INVOICES.c.id)
    first = _CANDIDATES.where(*taken, *conditions).order_by(*at).limit(PAGE)
    after = tuple_(bindparam("after_on", type_=Date()), bindparam("after_id", type_=BigInteger()))
    following = first.where(tuple_(*at) > after)
    return _Pages(
        PreparedStatement(first, _CandidateRow), PreparedStatement(following, _CandidateRow)
    )


_IS_DUE = (INVOICES.c.duedate <= bindparam("day"), HAS_AMOUNT_DUE)
_WISH = CLIENTS.c.consolidate
_DUE_PAGES = {True: _pages(*_IS_DUE), False: _pages(*_IS_DUE, taken=_IS_UNFLAGGED)}
_WITHOUT_CLIENT_PAGES = _pages(*_IS_DUE, INVOICES.c.client_id.is_(None))
_SETTLED_PAGES = _pages(INVOICES.c.duedate == bindparam("day"), INVOICES.c.amountdue <= 0)
# By the setting: whether clients without a wish of their own have their invoices charged together.
_ALONE_PAGES = {
    True: _pages(*_IS_DUE, or_(_WISH.is_(False), INVOICES.c.client_id.is_(None))),
    False: _pages(*_IS_DUE, or_(_WISH.is_(False), _WISH.is_(None))),
}


class _ClientId(NamedTuple):
    id: int


def _due_clients(
    wish: ColumnElement[bool], taken: Sequence[ColumnElement[bool]]
) -> PreparedStatement[_ClientId]:
    return PreparedStatement(
        select(CLIENTS.c.id)
        .join_from(INVOICES, CLIENTS, CLIENTS.c.id == INVOICES.c.client_id)
        .where(*taken, *_IS_DUE, wish, CLIENTS.c.id > bindparam("after"))
        .distinct()
        .order_by(CLIENTS.c.id)
        .limit(PAGE),
        _ClientId,
    )


_WISHES = {
    True: or_(_WISH.is_(True), _WISH.is_(None)),
    False: _WISH.is_(True),
    None: true(),
}
_DUE_CLIENTS = {
    (consolidates, unflagged): _due_clients(wish, taken)
    for consolidates, wish in _WISHES.items()
    for unflagged, taken in _TAKEN.items()
}


async def _page(
    tx: Tx, after: Position | None, pages: _Pages, **values: object
) -> Sequence[Candidate]:
    if after is None:
        found = await pages.first.all(tx, **values)
    else:
        after_on, after_id = after
        found = await pages.following.all(tx, after_on=after_on, after_id=after_id, **values)
    return [_candidate(row) for row in found]


def _candidate(row: _CandidateRow) -> Candidate:
    return Candidate(
        invoice_id=row.id,
        invoicenumber=row.invoicenumber,
        duedate=row.duedate,
        amount=row.amountdue,
        currency=row.currency_iso,
        voided=row.voided,
        posted=row.posted,
        held_back=hold_of(review_required=row.reviewrequired, approval_status=row.approval_status),
        pending=row.payments_pending,
        reversed=row.payments_reversed,
        client_id=row.client_id,
        client_inactive=bool(row.inactive),
        timezone=row.timezone,
        # Earlier versions stored the "" that clients of the API write for none.
        customer_id=row.stripe_customer_id or None,
        payment_method_id=row.stripe_payment_method_id or None,
        saved_method_id=row.stripe_saved_method_id,
        last=_last_attempt(row),
        is_flagged=row.take_auto_payment or row.include_in_autopay,
        consolidate=row.consolidate,
        policy_revision=None if row.policy_revision is None else int(row.policy_revision),
    )


def _last_attempt(row: _CandidateRow) -> LastAttempt | None:
    if row.last_number is None or row.last_state is None:
        return None
    assert row.last_amount_minor is not None, "an attempt has its amount"
    assert row.last_currency is not None, "and its currency"
    return LastAttempt(
        number=row.last_number,
        state=AttemptState(row.last_state),
        next_try_on=row.last_next_try_on,
        reason=row.last_reason,
        code=row.last_code,
        intent_id=row.last_intent_id,
        about=VerdictSubject(
            amount_minor=row.last_share_minor or row.last_amount_minor,
            currency=row.last_currency,
            customer_id=row.last_customer_id,
            payment_method_id=row.last_payment_method_id,
            payment_method_version=row.last_payment_method_version,
        ),
        charge_id=row.last_charge_id,
        network_forbids=bool(row.last_network_forbids),
        is_consolidated=bool(row.last_is_consolidated),
        intent_has_ended=row.intent_state in FINAL,
    )

"""How automatic charges ended in a span of days: declines by reason and method, and recoveries."""

from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, and_, case, exists, func, or_, select

from app.rules import money
from app.rules.attempt import AttemptState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import ChargeAttempt, attempt_ids_of
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_payments import StripePayment

ATTEMPTS = table_of(ChargeAttempt)
INVOICES = table_of(Invoice)
INTENTS = table_of(StripePayment)

SUCCEEDED = "succeeded"
# A card's or an account's own digits make no method of their own.
_DIGITS = "0123456789 .*•"


class ChargeResult(NamedTuple):
    """Charges of one method, currency and end; `reason` is `succeeded` or why it was declined."""

    method: str
    currency: str
    reason: str
    charges: int
    amount: Decimal


async def load_results(tx: Tx, first: date, last: date) -> list[ChargeResult]:
    """The charges that ended by a bank's word on these business days, both included.

    A charge that is tried again is counted at each of its tries. A method is the card's brand or
    the kind of account, as Stripe names it.
    """
    method = func.coalesce(func.rtrim(INTENTS.c.payment_method_name, _DIGITS), "unknown")
    reason = case(
        (ATTEMPTS.c.state == AttemptState.SUCCEEDED, SUCCEEDED),
        else_=func.coalesce(ATTEMPTS.c.decline_code, ATTEMPTS.c.code, "unknown"),
    )
    statement = (
        select(method, ATTEMPTS.c.currency, reason, func.count(), func.sum(ATTEMPTS.c.amount_minor))
        .outerjoin(INTENTS, INTENTS.c.intent_id == ATTEMPTS.c.intent_id)
        .where(_ended_within(ATTEMPTS, first, last))
        .group_by(method, ATTEMPTS.c.currency, reason)
    )
    found = [
        ChargeResult(name, currency, why, count, money.from_minor(int(minor), currency))
        for name, currency, why, count, minor in await tx.execute(statement)
    ]
    return sorted(found, key=lambda one: (one.currency, one.method, -one.charges, one.reason))


class Recovery(NamedTuple):
    """Charges of a currency that were declined at first, by what became of them.

    The three add up to `declined`. Amounts are those of the first try.
    """

    currency: str
    declined: int
    declined_amount: Decimal
    recovered: int
    recovered_amount: Decimal
    settled: int
    settled_amount: Decimal
    open: int
    open_amount: Decimal


async def load_recoveries(tx: Tx, first: date, last: date) -> list[Recovery]:
    """The first declines of these days by currency, and what became of them until now.

    `recovered`: a later try succeeded. `settled`: the invoice owes nothing, by a payment of the
    customer's own, by hand, or since it was voided. `open`: the rest.
    """
    # Aliases: `attempt_ids_of` reads the table under its own name.
    tried, later, earlier = (ATTEMPTS.alias(one) for one in ("tried", "later", "earlier"))
    of_invoice = attempt_ids_of(tried.c.invoice_id)
    is_recovered = exists().where(
        later.c.id.in_(of_invoice),
        later.c.id > tried.c.id,
        later.c.state == AttemptState.SUCCEEDED,
    )
    had_before = exists().where(
        earlier.c.id.in_(of_invoice),
        earlier.c.id < tried.c.id,
        earlier.c.state == AttemptState.DECLINED,
    )
    owes_nothing = or_(INVOICES.c.voided, INVOICES.c.amountdue <= 0)
    declined = (
        select(
            tried.c.currency,
            tried.c.amount_minor,
            case((is_recovered, 0), (owes_nothing, 1), else_=2).label("became"),
        )
        .join(INVOICES, INVOICES.c.id == tried.c.invoice_id)
        .where(
            _ended_within(tried, first, last), tried.c.state == AttemptState.DECLINED, ~had_before
        )
        .subquery()
    )
    sums: list[ColumnElement[Any]] = []
    for became in range(3):
        is_one = declined.c.became == became
        sums.append(func.sum(case((is_one, 1), else_=0)))
        sums.append(func.sum(case((is_one, declined.c.amount_minor), else_=0)))
    statement = (
        select(declined.c.currency, func.count(), func.sum(declined.c.amount_minor), *sums)
        .group_by(declined.c.currency)
        .order_by(declined.c.currency)
    )
    return [_recovery(*row) for row in await tx.execute(statement)]


def _recovery(currency: str, *figures: Any) -> Recovery:
    declined, recovered, settled, still_open = figures[::2]
    amounts = [money.from_minor(int(one), currency) for one in figures[1::2]]
    return Recovery(
        currency, declined, amounts[0], recovered, amounts[1], settled, amounts[2], still_open,
        amounts[3],
    )  # fmt: skip


def _ended_within(attempts: FromClause, first: date, last: date) -> ColumnElement[bool]:
    ended = (AttemptState.SUCCEEDED, AttemptState.DECLINED)
    return and_(
        attempts.c.business_day >= first,
        attempts.c.business_day <= last,
        attempts.c.state.in_(ended),
    )

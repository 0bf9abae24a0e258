"""Suggestions: which invoices a payment without an invoice may be for; a person confirms one."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from sqlalchemy import or_, select

from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice
from app.storage.tables.stripe_payments import StripePayment

SHARES = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)

# The oldest open invoices of a client that are compared, and how many of them one payment may pay.
OPEN_MAX = 24
TOGETHER_MAX = 4
SUGGESTIONS_MAX = 5


class Suggestion(NamedTuple):
    """Invoices that one payment may be for, and the reason to think so."""

    invoice_ids: tuple[int, ...]
    reason: str


class UnappliedShare(NamedTuple):
    """Money that no invoice has."""

    id: int
    intent_id: str | None
    client_id: int | None
    currency_iso: str
    counted: Decimal
    reference: str | None
    claimed_invoice_id: int | None
    intent_response: str | None


class OpenInvoice(NamedTuple):
    """An invoice that owes something in the payment's currency."""

    id: int
    invoicenumber: str | None
    client_id: int | None
    amountdue: Decimal


async def list_suggestions(tx: Tx, payment_id: int) -> list[Suggestion]:
    """Suggestions for one payment, the best first; none for money that an invoice has."""
    share = await _find(tx, payment_id)
    if share is None:
        return []
    own = await _open_invoices(tx, share)
    named = await _claimed(tx, share)
    found = [*_by_claim(share, named), *_by_number(share, own), *_by_amount(share, own)]
    best: dict[tuple[int, ...], Suggestion] = {}
    for one in found:
        best.setdefault(one.invoice_ids, one)
    return list(best.values())[:SUGGESTIONS_MAX]


async def _find(tx: Tx, payment_id: int) -> UnappliedShare | None:
    own = [SHARES.c[name] for name in UnappliedShare._fields[:6]]
    statement = (
        select(*own, INTENTS.c.claimed_invoice_id, INTENTS.c.intent_response)
        .join_from(SHARES, INTENTS, INTENTS.c.intent_id == SHARES.c.intent_id, isouter=True)
        .where(SHARES.c.id == payment_id, SHARES.c.invoice_id.is_(None), SHARES.c.counted > 0)
    )
    row = (await tx.execute(statement)).one_or_none()
    return UnappliedShare._make(row) if row else None


async def _open_invoices(tx: Tx, share: UnappliedShare) -> list[OpenInvoice]:
    """Of the payment's client; where nobody knows the client, those that owe exactly so much."""
    whose = (
        INVOICES.c.amountdue == share.counted
        if share.client_id is None
        else INVOICES.c.client_id == share.client_id
    )
    statement = (
        select(*projection(INVOICES, OpenInvoice))
        .where(
            whose,
            INVOICES.c.currency_iso == share.currency_iso,
            INVOICES.c.is_recurring_invoice.is_(False),
            HAS_AMOUNT_DUE,
        )
        .order_by(INVOICES.c.duedate, INVOICES.c.id)
        .limit(OPEN_MAX)
    )
    return [OpenInvoice._make(row) for row in await tx.execute(statement)]


async def _claimed(tx: Tx, share: UnappliedShare) -> OpenInvoice | None:
    """The invoice that the payment names by a number that nobody believes."""
    if not share.claimed_invoice_id:
        return None
    statement = select(*projection(INVOICES, OpenInvoice)).where(
        INVOICES.c.id == share.claimed_invoice_id,
        INVOICES.c.currency_iso == share.currency_iso,
        or_(INVOICES.c.amountdue > 0, INVOICES.c.amountpaid > 0),
    )
    row = (await tx.execute(statement)).one_or_none()
    return OpenInvoice._make(row) if row else None


def _by_claim(share: UnappliedShare, named: OpenInvoice | None) -> list[Suggestion]:
    if named is None or named.amountdue <= 0:
        return []
    return [Suggestion((named.id,), "the payment names it, without proof")]


def _by_number(share: UnappliedShare, invoices: Sequence[OpenInvoice]) -> list[Suggestion]:
    text = f"{share.reference or ''} {share.intent_response or ''}"
    return [
        Suggestion((one.id,), "its number stands in the description or the reference")
        for one in invoices
        if one.invoicenumber and len(one.invoicenumber) > 2 and one.invoicenumber in text
    ]


def _by_amount(share: UnappliedShare, invoices: Sequence[OpenInvoice]) -> list[Suggestion]:
    """Invoices of exactly that amount, alone or together: the fewest first, the oldest first."""
    return [
        Suggestion(
            tuple(one.id for one in some),
            "the same amount" if size == 1 else f"the sum of {size} open invoices",
        )
        for size in range(1, TOGETHER_MAX + 1)
        for some in combinations(invoices, size)
        if sum((one.amountdue for one in some), Decimal(0)) == share.counted
    ]

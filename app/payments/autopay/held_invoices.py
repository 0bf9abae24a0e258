"""Invoices that autopay holds for a person are put in the queue of approvals."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from app.ledger import approvals
from app.ledger.approvals import Held
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import Skip
from app.storage.engines import Database, Tx


async def hold(
    tx: Tx, found: Mapping[int, Candidate], skips: Mapping[int, Skip], *, now: datetime
) -> None:
    """Put those that a person may approve in the queue."""
    held = [
        held_invoice(found[invoice_id], skip)
        for invoice_id, skip in skips.items()
        if skip.needs_approval and invoice_id in found
    ]
    if held:
        await approvals.hold(tx, held, now=now)


async def hold_page(database: Database, held: Iterable[Held], *, now: datetime) -> None:
    """Put the held invoices of a page in the queue, in a transaction of their own."""
    ordered = sorted(held, key=lambda one: one.invoice_id)
    if ordered:
        await database.with_retry(lambda tx: approvals.hold(tx, ordered, now=now))


def held_invoice(one: Candidate, skip: Skip) -> Held:
    ruling = one.ruling
    assert ruling is not None, "nothing is held that was not ruled about"
    return Held(
        one.invoice_id,
        one.client_id,
        one.amount,
        ruling.total,
        one.currency,
        skip.reason,
        ruling.decision.rule_name,
    )

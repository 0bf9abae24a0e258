"""GET /unapplied: money that no invoice has, with the invoices that it may be for."""

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import _
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.listing import Pager, address, before_id
from app.console.pages.payments_reads import PaymentLine, load_payment_lines
from app.console.pages.wording import shown_amount
from app.console.routing import Viewer
from app.ledger.suggestions import Suggestion, list_suggestions
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice

SHARES = table_of(InvoicePayment)
INVOICES = table_of(Invoice)

# Each row is compared with its client's open invoices: fewer rows than other lists have.
PAGE = 10
SUMMED_MAX = 5000


class SuggestedInvoices(NamedTuple):
    """Invoices that a payment may be for: ids, their numbers, and the reason."""

    ids: tuple[int, ...]
    numbers: str
    reason: str


class UnappliedMoney(NamedTuple):
    """A payment, or the rest of one, that waits for a person."""

    line: PaymentLine
    left: str
    suggestions: list[SuggestedInvoices]


async def unapplied_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    before = before_id(request.query_params)
    async with reading(request) as tx:
        place = [SHARES.c.id < before] if before is not None else []
        wanted = select(SHARES.c.id).where(
            SHARES.c.invoice_id.is_(None), SHARES.c.counted > 0, *place
        )
        ids = list(await tx.scalars(wanted.order_by(SHARES.c.id.desc()).limit(PAGE + 1)))
        lines = await load_payment_lines(tx, ids[:PAGE], times)
        following = address("/unapplied", {"before": ids[PAGE - 1]}) if len(ids) > PAGE else None
        first = "/unapplied" if before is not None else None
        counts, sums = await _sums(tx)
        return await show(
            request,
            viewer,
            tx,
            "unapplied.html",
            rows=[await _row(tx, line) for line in lines],
            counts=counts,
            sums=sums,
            pager=Pager(first, following, _("Older"), ""),
        )


async def _sums(tx: Tx) -> tuple[int, list[object]]:
    newest = (
        select(SHARES.c.currency_iso, SHARES.c.counted)
        .where(SHARES.c.invoice_id.is_(None), SHARES.c.counted > 0)
        .limit(SUMMED_MAX)
        .subquery()
    )
    rows = await tx.execute(
        select(newest.c.currency_iso, func.count(), func.sum(newest.c.counted))
        .group_by(newest.c.currency_iso)
        .order_by(newest.c.currency_iso)
    )
    found, sums = 0, []
    for currency, count, total in rows:
        found += count
        sums.append(shown_amount(Decimal(total), currency))
    return found, list(sums)


async def _row(tx: Tx, line: PaymentLine) -> UnappliedMoney:
    found = await list_suggestions(tx, line.row.id)
    numbers = await load_numbers(tx, found)
    left = shown_amount(line.row.counted, line.row.currency_iso)
    return UnappliedMoney(line, left.text, [_suggested(one, numbers) for one in found])


async def load_numbers(tx: Tx, found: list[Suggestion]) -> dict[int, str]:
    """The numbers of all suggested invoices; the id of one that has none."""
    ids = {invoice_id for one in found for invoice_id in one.invoice_ids}
    wanted = select(INVOICES.c.id, INVOICES.c.invoicenumber).where(INVOICES.c.id.in_(ids))
    rows = await tx.execute(wanted)
    return {invoice_id: number or str(invoice_id) for invoice_id, number in rows}


def _suggested(one: Suggestion, numbers: dict[int, str]) -> SuggestedInvoices:
    named = [numbers.get(invoice_id, str(invoice_id)) for invoice_id in one.invoice_ids]
    return SuggestedInvoices(one.invoice_ids, ", ".join(named), one.reason)

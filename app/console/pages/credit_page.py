"""The form that credits an invoice, in whole or by its lines, as POST /api/Invoice/{id}/credit."""

from decimal import Decimal

from sqlalchemy import select
from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.language import _, decimal_text, read_decimal
from app.console.pages.action_forms import (
    REASON,
    ActionForm,
    FormAction,
    FormField,
    text_given,
)
from app.console.pages.invoice_page import invoice_id_of
from app.console.pages.invoices_reads import load_invoice_header
from app.console.pages.ledger_acts import database_of, ledger_context
from app.console.pages.wording import shown_amount
from app.console.routing import Viewer
from app.errors import InvalidField, NotFound
from app.ledger import corrections
from app.ledger.corrections import CreditedLine
from app.rules.money import plain
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoices import InvoiceLine

LINES = table_of(InvoiceLine)

# Lines of which a form asks how much; an invoice with more is credited in whole, or by the API.
LINES_MAX = 50
_LINE = "line-"
# Sent beside the quantities: they were asked for, so that one that is absent is nothing.
_BY_LINE = "by_line"


async def _credit_form(request: Request, tx: Tx) -> ActionForm:
    invoice_id = invoice_id_of(request)
    header = await load_invoice_header(tx, invoice_id)
    if header is None:
        raise NotFound("Invoice", invoice_id)
    rows = await tx.execute(
        select(LINES.c.id, LINES.c.item_shortdescription, LINES.c.qty_order)
        .where(LINES.c.ihid == invoice_id, LINES.c.isinactive.is_(False))
        .order_by(LINES.c.sequenceid, LINES.c.id)
        .limit(LINES_MAX + 1)
    )
    lines = [(row[0], row[1] or "", row[2]) for row in rows]
    is_by_line = 0 < len(lines) <= LINES_MAX
    fields = [_quantity(*line) for line in lines] if is_by_line else []
    left = shown_amount(header.amountdue, header.currency_iso)
    total = shown_amount(header.total, header.currency_iso)
    return ActionForm(
        title=_("Credit %(invoice)s", invoice=header.name),
        lede=_("A credit note corrects the invoice, which stays as it was sent. It pays what is "
               "still owed; the rest is the client’s credit."),
        button=_("Make the credit note"),
        leave=_("Leave as it is"),
        back=f"/invoices/{invoice_id}",
        fields=(*fields, FormField(_BY_LINE, "", "yes" if is_by_line else "", kind="hidden"),
                REASON),
        facts=((_("Total"), total.text), (_("Left to pay"), left.text)),
    )  # fmt: skip


def _quantity(line_id: int, text: str, quantity: Decimal) -> FormField:
    billed = decimal_text(plain(quantity))
    hint = _("of %(quantity)s that were billed; empty or 0 credits none", quantity=billed)
    return FormField(f"{_LINE}{line_id}", text or str(line_id), billed, hint, "optional")


async def _credit(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, reason = invoice_id_of(request), text_given(given, "reason")
    credited = _credited(given) if given.get(_BY_LINE) == "yes" else None
    context = ledger_context(request, viewer)

    async def work(tx: Tx) -> int:
        return await corrections.credit_invoice(tx, invoice_id, credited, reason=reason, **context)

    note_id = await database_of(request).with_retry(work)
    return _("The credit note is made."), f"/invoices/{note_id}"


def _credited(given: FormData) -> list[CreditedLine]:
    """The quantities that are credited; a line of none is left out."""
    found = []
    for name, value in given.multi_items():
        text, line_id = str(value).strip(), name.removeprefix(_LINE)
        if not name.startswith(_LINE) or not line_id.isascii() or not line_id.isdigit():
            continue
        quantity = read_decimal(text) if text else Decimal(0)
        if quantity is None:
            example = decimal_text("1.5")
            raise InvalidField(name, f"{text!r} is no quantity such as {example}")
        if quantity and len(line_id) < 19:
            found.append(CreditedLine(int(line_id), quantity))
    if not found:
        raise InvalidField("reason", "no line is to be credited: give the quantity of one")
    return found


CREDIT = FormAction(_credit_form, _credit)

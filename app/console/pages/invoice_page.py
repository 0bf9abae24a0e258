"""GET /invoices/{id}: is it paid, will it be charged, when, and why?"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _
from app.console.pages.autopay_outlook import Outlook, load_outlook
from app.console.pages.cells import ListCell, ListColumn, ListSection, amount_of, state_of
from app.console.pages.chrome import id_in_path, reading, show, times_of
from app.console.pages.invoices_reads import (
    InvoiceChangeRow,
    InvoiceDetails,
    InvoiceLineRow,
    InvoiceTry,
    load_invoice_details,
)
from app.console.pages.payments_page import payments_section
from app.console.pages.payments_reads import load_payment_lines
from app.console.pages.story import Phrase
from app.console.pages.wording import (
    LastTry,
    ShownAmount,
    ViewerTime,
    attempt_state,
    invoice_state,
    method_name,
    shown_amount,
    words_of,
)
from app.console.routing import Viewer
from app.documents import printer
from app.documents.invoice_document import load_invoice_document
from app.errors import NotFound
from app.halo.engine.heavy_work import print_document
from app.rules import money
from app.rules.invoice import Line
from app.rules.money import plain
from app.settings import Settings

_TRY_COLUMNS = (
    ListColumn(N_("Amount"), "money"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Try"), "num"),
    ListColumn(N_("When"), "when"),
)


class ShownLine(NamedTuple):
    """A line as it is read: what, how many, at which price."""

    text: str
    quantity: str
    price: str
    tax: str
    net: ShownAmount
    is_inactive: bool


class ShownChange(NamedTuple):
    """An entry of the history as a row."""

    when: str
    who: str
    what: str
    old: str
    new: str


def invoice_id_of(request: Request) -> int:
    return id_in_path(request, "invoice_id", "Invoice")


async def invoice_page(request: Request, viewer: Viewer) -> Response:
    invoice_id = invoice_id_of(request)
    times = times_of(request, viewer)
    async with reading(request) as tx:
        details = await load_invoice_details(tx, invoice_id)
        if details is None:
            raise NotFound("Invoice", invoice_id)
        outlook = await load_outlook(tx, invoice_id, request.app.state.settings, times)
        header = details.header
        return await show(
            request,
            viewer,
            tx,
            "invoice.html",
            details=details,
            header=header,
            client=details.client,
            state=invoice_state(header.facts, times),
            sentence=_sentence(details, times),
            outlook=outlook,
            is_charged=_is_about_autopay(details, outlook),
            lines=[_line(row, header.currency_iso) for row in details.lines],
            total=shown_amount(header.total, header.currency_iso),
            tax=shown_amount(header.tax_total, header.currency_iso),
            paid=shown_amount(-header.amountpaid, header.currency_iso),
            left=shown_amount(header.amountdue, header.currency_iso),
            payments=payments_section(await load_payment_lines(tx, details.payment_ids, times)),
            tries=_tries(details.tries, times),
            changes=[_change(row, times) for row in details.changes],
            method=method_name(
                details.client.stripe_payment_method_name if details.client else None
            ),
        )


async def invoice_document_page(request: Request, viewer: Viewer) -> Response:
    """The invoice as application/pdf, as the API prints it."""
    content = await _printed(request, viewer, printer.print_invoice)
    name = f"invoice-{invoice_id_of(request)}.pdf"
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    return Response(content, media_type="application/pdf", headers=headers)


async def invoice_picture(request: Request, viewer: Viewer) -> Response:
    """The first page of the same as image/png, to be seen beside the invoice."""
    content = await _printed(request, viewer, printer.picture_invoice)
    return Response(content, media_type="image/png")


async def _printed(request: Request, viewer: Viewer, printed: Callable[..., bytes]) -> bytes:
    """The document, of which a person has no more made at once than a program has."""
    settings: Settings = request.app.state.settings
    async with reading(request) as tx:
        document = await load_invoice_document(tx, invoice_id_of(request), settings.timezone)
    async with request.app.state.concurrency_limit.hold(-viewer.user_id):
        return await print_document(
            printed, document, settings.documents_folder, now=request.app.state.clock()
        )


def _is_about_autopay(details: InvoiceDetails, outlook: Outlook | None) -> bool:
    """A paid or voided invoice is not asked about any more."""
    header = details.header
    return outlook is not None and not header.voided and header.amountdue > 0


def _sentence(details: InvoiceDetails, times: ViewerTime) -> list[Phrase]:
    header = details.header
    client = details.client
    total = shown_amount(header.total, header.currency_iso)
    left = shown_amount(header.amountdue, header.currency_iso)
    paid = shown_amount(header.amountpaid, header.currency_iso)
    who = Phrase(client.name, href=f"/clients/{client.id}") if client else Phrase(_("Nobody"))
    if header.voided:
        return [who, Phrase(_(" owes nothing: the invoice is voided."))]
    if header.amountdue <= 0:
        when = _(" on %(day)s", day=times.day_of(header.datepaid)) if header.datepaid else ""
        return [
            who,
            Phrase(_(" has paid ")),
            Phrase(total.text, is_strong=True),
            Phrase(f"{when}."),
        ]
    told = [who, Phrase(_(" owes ")), Phrase(left.text, is_strong=True)]
    if header.amountpaid:
        told.append(
            Phrase(_(" of %(total)s; %(paid)s is paid.", total=total.text, paid=paid.number))
        )
    else:
        due = header.duedate
        told.append(
            Phrase(
                _(", due %(day)s, %(distance)s.", day=times.day(due), distance=times.distance(due))
                if due
                else "."
            )
        )
    return told


def _line(row: InvoiceLineRow, currency: str) -> ShownLine:
    line = Line(
        row.qty_order, row.unit_price, row.discount_perc, row.tax_rate,
        price_includes_tax=row.price_includes_tax,
    )  # fmt: skip
    return ShownLine(
        row.item_shortdescription or "",
        plain(row.qty_order),
        plain(row.unit_price),
        f"{plain(row.tax_rate)} %" if row.tax_rate else "",
        shown_amount(money.rounded(line.net, currency), currency),
        row.isinactive,
    )


def _tries(rows: Sequence[InvoiceTry], times: ViewerTime) -> ListSection:
    return ListSection(_("Attempts"), _TRY_COLUMNS, [_try_cells(row, times) for row in rows])


def _try_cells(row: InvoiceTry, times: ViewerTime) -> list[ListCell]:
    amount = shown_amount(money.from_minor(row.amount_minor, row.currency), row.currency)
    last = LastTry(row.state, row.next_try_on, row.decline_code, row.code, row.reason)
    return [
        amount_of(amount, f"/payments/{row.intent_id}" if row.intent_id else None),
        state_of(attempt_state(last, times)),
        ListCell(str(row.number)),
        ListCell(times.short(row.created_at), title=times.full(row.created_at)),
    ]


def _change(row: InvoiceChangeRow, times: ViewerTime) -> ShownChange:
    return ShownChange(
        times.full(row.datetime) if row.datetime else "",
        row.who or "",
        words_of(row.field_name),
        row.old_value or "",
        row.new_value or "",
    )

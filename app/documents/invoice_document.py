"""An invoice's document: its parties, lines, taxes, payments and sums, read from the database."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal

from sqlalchemy import select

from app.documents.document_content import (
    DocumentKind,
    DocumentLine,
    DocumentPayment,
    InvoiceDocument,
    Party,
    TaxShare,
)
from app.errors import NotFound, Refused
from app.rules import calendar
from app.rules.apportionment import apportion
from app.rules.invoice import InvoiceKind, Line, Totals, line_totals
from app.rules.tax import tax_id
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceLine, line_of
from app.storage.tables.taxes import Tax

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)
CLIENTS = table_of(Client)
PAYMENTS = table_of(InvoicePayment)
TAXES = table_of(Tax)

# Far beyond any invoice that a person reads.
LINES_MAX = 2000
# A longer link is no QR code that a phone reads from paper.
LINK_MAX = 500
_ADDRESS_LINES = ("address1", "address2", "address3", "address4", "address5")
_NOTES = ("notes_1", "notes_2", "notes_3")


async def load_invoice_document(tx: Tx, invoice_id: int, timezone: str) -> InvoiceDocument:
    """The document of an invoice or a credit note, with days in its client's time zone."""
    row = (
        await tx.execute(select(INVOICES).where(INVOICES.c.id == invoice_id, INVOICES.c.id > 0))
    ).one_or_none()
    if row is None:
        raise NotFound("Invoice", invoice_id)
    client = (await tx.execute(select(CLIENTS).where(CLIENTS.c.id == row.client_id))).one_or_none()
    zone = client.timezone if client is not None and client.timezone else timezone
    lines = await _load_lines(tx, invoice_id)
    taxes = await _load_taxes(tx, lines)
    is_credit = row.invoicetype == InvoiceKind.CREDIT_NOTE or row.total < 0
    # A credit note's document says what is credited, so its amounts are positive.
    sign = -1 if row.total < 0 else 1
    shares = _TaxShares(row, lines, taxes, sign)
    payments = await _load_payments(tx, row, zone, is_credit=is_credit)
    paid = sum((one.amount for one in payments), Decimal(0))
    return InvoiceDocument(
        id=row.id,
        kind=DocumentKind.CREDIT_NOTE if is_credit else DocumentKind.INVOICE,
        number=row.invoicenumber or str(row.id),
        currency=row.currency_iso.upper(),
        buyer=buyer_of(client, row.extra),
        language=(client.language or "") if client is not None else "",
        voided=row.voided,
        issued_on=day_of(row.invoice_date, zone),
        tax_point=_tax_point(row, zone),
        due_on=None if is_credit else row.duedate,
        period=_period(row.extra, zone),
        order_number=row.cust_order_number or row.order_number or "",
        buyer_reference=row.reference or ((client.buyer_reference or "") if client else ""),
        corrects=await _load_corrected(tx, row.extra),
        notes=[text for name in _NOTES if (text := getattr(row, name))],
        lines=[
            _line(one, (net, gross), zone, sign, category)
            for one, net, gross, category in zip(
                lines, shares.nets, shares.grosses, shares.categories, strict=True
            )
        ],
        taxes=shares.taxes,
        payments=payments,
        net=sign * row.revenue,
        tax=sign * row.tax_total,
        total=sign * row.total,
        paid=paid if is_credit or row.voided else row.total - row.amountdue,
        due=max(sign * row.total - paid, Decimal(0)) if is_credit else row.amountdue,
        payment_url=_payment_url(row.extra),
    )


def buyer_of(client: Record | None, extra: Mapping[str, object] | None = None) -> Party:
    """The client as a party; an invoice's own address is printed in place of the client's."""
    lines = [str(text) for name in _ADDRESS_LINES if (text := (extra or {}).get(name))]
    contact = str((extra or {}).get("contactname") or "")
    if client is None:
        return Party(printed_lines=lines, contact=contact)
    texts = {
        name: getattr(client, name) or ""
        for name in (
            "name", "address1", "address2", "postcode", "city", "country", "vat_number",
            "registration_number", "einvoice_address", "email",
        )
    }  # fmt: skip
    return Party(**texts, printed_lines=lines, contact=contact)


def day_of(moment: datetime | None, zone: str) -> date | None:
    """The day where the client is. Midnight in UTC is a day that was written without a time."""
    if moment is None or moment.timetz().replace(tzinfo=None) == time():
        return moment.date() if moment else None
    return calendar.business_day(moment, zone)


async def _load_lines(tx: Tx, invoice_id: int) -> Sequence[Record]:
    found = await tx.execute(
        select(LINES)
        .where(LINES.c.ihid == invoice_id, LINES.c.isinactive.is_(False))
        .order_by(LINES.c.sequenceid, LINES.c.id)
        .limit(LINES_MAX + 1)
    )
    lines = found.all()
    if len(lines) > LINES_MAX:
        raise Refused(f"the invoice has more than {LINES_MAX} lines; no document is made of it")
    return lines


async def _load_taxes(tx: Tx, lines: Iterable[Record]) -> dict[int, Record]:
    ids = {number for one in lines if (number := tax_id(one.tax_code)) is not None}
    if not ids:
        return {}
    found = await tx.execute(
        select(TAXES.c.id, TAXES.c.name, TAXES.c.category_code, TAXES.c.exemption_reason).where(
            TAXES.c.id.in_(sorted(ids))
        )
    )
    return {one.id: one for one in found}


async def _load_payments(
    tx: Tx, row: Record, zone: str, *, is_credit: bool
) -> list[DocumentPayment]:
    """The payments that count for an invoice, or the uses of a credit note."""
    mine = PAYMENTS.c.credit_note_id if is_credit else PAYMENTS.c.invoice_id
    found = await tx.execute(
        select(PAYMENTS)
        .where(mine == row.id, PAYMENTS.c.counted > 0)
        .order_by(PAYMENTS.c.date, PAYMENTS.c.id)
    )
    return [
        DocumentPayment(
            paid_on=day_of(one.date, zone) or one.date.date(),
            method=one.payment_method_name or "",
            reference=str(one.invoice_id) if is_credit else (one.reference or ""),
            amount=one.counted,
        )
        for one in found
    ]


class _TaxShares:
    """Lines by rate and category, with rounded nets and taxes that add up to the invoice's."""

    def __init__(
        self, row: Record, lines: Sequence[Record], taxes: Mapping[int, Record], sign: int
    ) -> None:
        currency = row.currency_iso
        exact = [_amounts(line_of(one), currency, by_line=row.rounded_by_line) for one in lines]
        groups: dict[tuple[Decimal, str], list[int]] = defaultdict(list)
        self.categories = [_category(one, taxes.get(tax_id(one.tax_code) or 0)) for one in lines]
        for at, one in enumerate(lines):
            groups[one.tax_rate, self.categories[at]].append(at)
        keys = sorted(groups, key=lambda one: (-one[0], one[1]))
        nets = [_sum(exact[at].net for at in groups[key]) * sign for key in keys]
        taxed = [_sum(exact[at].tax for at in groups[key]) * sign for key in keys]
        group_nets = apportion(nets, sign * row.revenue, currency)
        group_taxes = apportion(taxed, sign * row.tax_total, currency)
        self.nets = _line_nets(
            exact, sign, zip(map(groups.get, keys), group_nets, strict=True), currency
        )
        self.taxes = [
            TaxShare(
                percent, category, _tax_name(lines, taxes, groups[percent, category]), net, tax,
                _reason(lines, taxes, groups[percent, category]),
            )
            for (percent, category), net, tax in zip(keys, group_nets, group_taxes, strict=True)
        ]  # fmt: skip
        self.grosses = apportion([one.gross * sign for one in exact], sign * row.total, currency)


def _amounts(line: Line, currency: str, *, by_line: bool) -> Totals:
    """A line's net and tax as the invoice's sums are made of them."""
    return line_totals(line, currency) if by_line else Totals(line.net, line.tax)


def _line_nets(
    exact: Sequence[Totals],
    sign: int,
    groups: Iterable[tuple[list[int] | None, Decimal]],
    currency: str,
) -> list[Decimal]:
    """Each line's rounded net; those of a group add up to the group's."""
    nets = [Decimal(0)] * len(exact)
    for members, total in groups:
        places = members or []
        parts = apportion([exact[at].net * sign for at in places], total, currency)
        for at, part in zip(places, parts, strict=True):
            nets[at] = part
    return nets


def _category(line: Record, tax: Record | None) -> str:
    """The category of UNTDID 5305 that the line keeps, or its tax's own.

    Whatever has a rate is standard rated.
    """
    code = line.tax_category or (tax.category_code if tax is not None else None) or ""
    return code.strip().upper() or ("S" if line.tax_rate > 0 else "")


def _reason(lines: Sequence[Record], taxes: Mapping[int, Record], places: Sequence[int]) -> str:
    """The reason why nothing is taxed, as the first of the lines keeps it, or as its tax says."""
    kept = (lines[at].tax_exemption_reason for at in places)
    of_tax = (
        getattr(taxes.get(tax_id(lines[at].tax_code) or 0), "exemption_reason", None)
        for at in places
    )
    return next((one for one in (*kept, *of_tax) if one), "")


def _tax_point(row: Record, zone: str) -> date | None:
    """The tax point, where it is another day than the invoice's own."""
    own: date | None = row.tax_point_date
    return None if own == day_of(row.invoice_date, zone) else own


def _tax_name(lines: Sequence[Record], taxes: Mapping[int, Record], places: Sequence[int]) -> str:
    names = (taxes.get(tax_id(lines[at].tax_code) or 0) for at in places)
    return next((one.name for one in names if one is not None), "")


def _line(
    row: Record, amounts: tuple[Decimal, Decimal], zone: str, sign: int, category: str
) -> DocumentLine:
    net, gross = amounts
    first, last = day_of(row.startdate, zone), day_of(row.enddate, zone)
    return DocumentLine(
        title=row.item_shortdescription or row.item_code or "",
        text=row.item_longdescription or "",
        item_code=row.item_code or "",
        period=(first, last) if first and last else None,
        quantity=sign * row.qty_order,
        unit_price=row.unit_price,
        discount_percent=row.discount_perc,
        tax_percent=row.tax_rate,
        tax_category=category,
        net=net,
        price_includes_tax=row.price_includes_tax,
        gross=gross,
    )


def _period(extra: Mapping[str, object] | None, zone: str) -> tuple[date, date] | None:
    names = ("period_start_date", "period_end_date")
    found = [_written_day((extra or {}).get(name), zone) for name in names]
    return (found[0], found[1]) if found[0] and found[1] else None


def _written_day(value: object, zone: str) -> date | None:
    """A moment of `extra`, which is UTC without a zone."""
    if not isinstance(value, str):
        return None
    try:
        return day_of(datetime.fromisoformat(f"{value.removesuffix('Z')}+00:00"), zone)
    except ValueError:
        return None


async def _load_corrected(tx: Tx, extra: Mapping[str, object] | None) -> str:
    """The number of the invoice that a credit note corrects."""
    found = (extra or {}).get("creditlinkedtoinvoiceid")
    if not isinstance(found, int) or found <= 0:
        return ""
    number = await tx.scalar(select(INVOICES.c.invoicenumber).where(INVOICES.c.id == found))
    return number or str(found)


def _payment_url(extra: Mapping[str, object] | None) -> str:
    found = (extra or {}).get("generic_online_invoice_payment_url")
    is_link = isinstance(found, str) and found.startswith("https://") and len(found) <= LINK_MAX
    return str(found) if is_link else ""


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))

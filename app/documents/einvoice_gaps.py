"""The gaps of an e-invoice: each field that its format needs and the data lacks, before it is made.

The rules are those of EN 16931, Peppol BIS Billing 3 and XRechnung 3.0 that concern what people
enter; a message names the field as they enter it.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

from app.documents.document_content import DocumentKind, DocumentLine, InvoiceDocument, Party
from app.documents.document_folder import Seller
from app.errors import Refused
from app.rules import money


class EinvoiceFormat(StrEnum):
    """Factur-X is ZUGFeRD too: a PDF with the invoice in it. The other two are XML."""

    FACTUR_X = "factur-x"
    XRECHNUNG = "xrechnung"
    PEPPOL = "peppol"


class EinvoiceIncomplete(Refused):
    """The data lacks fields that the format needs; the message names all of them."""

    def __init__(self, gaps: list[str]) -> None:
        super().__init__("no e-invoice is made: " + "; ".join(gaps))
        self.gaps = gaps


# Categories of UNTDID 5305 that EN 16931 knows, but for those of the Canary Islands and Italy.
TAXED, UNTAXED = frozenset({"S"}), frozenset({"Z", "E", "AE", "K", "G", "O"})
_WITH_BUYERS_VAT = frozenset({"AE", "K"})
_VAT_NUMBER = re.compile("[A-Z]{2}[0-9A-Z+*.]{2,13}")
# Peppol takes no e-mail address as a participant; XRechnung does.
_NO_PARTICIPANT = ("EM:",)
# A line may be so far from its quantity times its price (PEPPOL-EN16931-R120).
_SLACK = Decimal("0.02")
# Amounts of EN 16931 have at most two decimals.
_DECIMALS_MAX = 2


def assert_complete(document: InvoiceDocument, seller: Seller, kind: EinvoiceFormat) -> None:
    """EinvoiceIncomplete, with every field that is missing."""
    gaps = list(list_gaps(document, seller, kind))
    if gaps:
        raise EinvoiceIncomplete(gaps)


def list_gaps(document: InvoiceDocument, seller: Seller, kind: EinvoiceFormat) -> Iterator[str]:
    yield from _of_invoice(document, seller)
    yield from _of_lines(document)
    yield from _of_party("seller", seller.party)
    yield from _of_party("client", document.buyer)
    yield from _of_taxes(document, seller)
    if kind == EinvoiceFormat.PEPPOL:
        yield from _of_peppol(document, seller)
    if kind == EinvoiceFormat.XRECHNUNG or (
        kind == EinvoiceFormat.PEPPOL and seller.country == document.buyer.country == "DE"
    ):
        yield from _of_germany(document, seller, kind)


def _of_invoice(document: InvoiceDocument, seller: Seller) -> Iterator[str]:
    if document.voided:
        yield "the invoice is voided"
    if document.issued_on is None:
        yield "invoice_date: is empty"
    if not document.lines:
        yield "lines: there is none"
    if document.total < 0:
        yield "total: is negative"
    is_owed = document.due > 0 and document.kind == DocumentKind.INVOICE
    if is_owed and document.due_on is None and not seller.terms:
        yield "duedate: is empty, and the seller has no terms"
    amounts = (document.net, document.tax, document.total, document.paid, document.due)
    if money.exponent(document.currency) > _DECIMALS_MAX and any(
        one != one.quantize(money.from_minor(1, "eur")) for one in amounts
    ):
        yield f"currency: amounts in {document.currency} have more than {_DECIMALS_MAX} decimals"


def _of_lines(document: InvoiceDocument) -> Iterator[str]:
    for place, one in enumerate(document.lines):
        if not (one.title or one.text).strip():
            yield f"lines[{place}].item_shortdescription: is empty"
        yield from _of_category(f"lines[{place}]", one)


def _of_category(at: str, line: DocumentLine) -> Iterator[str]:
    category = line.tax_category
    if not category:
        yield f"{at}.tax_code: nothing is taxed; name a Tax whose category_code says why"
    elif category not in TAXED | UNTAXED:
        known = ", ".join(sorted(TAXED | UNTAXED))
        yield f"{at}.tax_code: category_code {category} is none of {known}"
    elif (category in TAXED) != (line.tax_percent > 0):
        yield f"{at}.tax_code: category_code {category} does not fit the rate {line.tax_percent:f}"


def _of_party(who: str, party: Party) -> Iterator[str]:
    for name in ("name", "country"):
        if not getattr(party, name):
            yield f"{who}.{name}: is empty"
    if party.vat_number and not _VAT_NUMBER.fullmatch(party.vat_number.replace(" ", "")):
        yield f"{who}.vat_number: does not begin with its country's two letters"


def _of_taxes(document: InvoiceDocument, seller: Seller) -> Iterator[str]:
    categories = {one.tax_category for one in document.lines}
    if categories - {"O"} and not seller.vat_number:
        yield "seller.vat_number: is empty"
    if "O" in categories and not seller.registration_number:
        yield "seller.registration_number: is empty, and category_code O shows no VAT number"
    if "O" in categories and categories != {"O"}:
        yield "lines: those of category_code O stand on an invoice of their own"
    if not categories & _WITH_BUYERS_VAT:
        return
    if not document.buyer.vat_number:
        yield "client.vat_number: is empty, and the buyer owes the tax"


def _of_peppol(document: InvoiceDocument, seller: Seller) -> Iterator[str]:
    for who, party in (("seller", seller.party), ("client", document.buyer)):
        if not party.einvoice_address or party.einvoice_address.startswith(_NO_PARTICIPANT):
            yield f"{who}.einvoice_address: is no Peppol participant, such as 0088:4012345000009"
    for place, one in enumerate(document.lines):
        exact = one.quantity * one.net_unit_price * (100 - one.discount_percent) / 100
        if abs(exact - one.net) > _SLACK:
            yield f"lines[{place}]: {exact.normalize():f} is no amount in {document.currency}"
    if not document.buyer_reference and not document.order_number:
        yield "client.buyer_reference or order_number: one of them is needed"


def _of_germany(document: InvoiceDocument, seller: Seller, kind: EinvoiceFormat) -> Iterator[str]:
    for name in ("city", "postcode", "contact", "phone", "email"):
        if not getattr(seller, name):
            yield f"seller.{name}: is empty"
    for name in ("city", "postcode"):
        if not getattr(document.buyer, name):
            yield f"client.{name}: is empty"
    if kind != EinvoiceFormat.XRECHNUNG:
        return
    if not document.buyer_reference:
        yield "client.buyer_reference: is empty; in Germany it is the Leitweg-ID"
    if not document.buyer.einvoice_address and not document.buyer.email:
        yield "client.einvoice_address or client.email: one of them is needed"

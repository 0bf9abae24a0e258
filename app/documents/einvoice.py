"""E-invoices: the business terms of EN 16931, of the same data that is printed.

factur-x writes the XML and checks it by the schema of its syntax. Factur-X is CII inside the PDF,
XRechnung and Peppol BIS Billing 3 are UBL.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from app.control_characters import escape_lines
from app.documents.document_content import (
    PRICE_STEP,
    DocumentKind,
    DocumentLine,
    InvoiceDocument,
    Party,
    TaxShare,
)
from app.documents.document_folder import Seller
from app.documents.einvoice_gaps import EinvoiceFormat, assert_complete
from app.rules import money

Terms = dict[str, object]
"""Business terms and groups by their numbers in EN 16931, as factur-x reads them."""

_EN16931 = "urn:cen.eu:en16931:2017"
_SPECIFICATION: Mapping[EinvoiceFormat, str] = {
    EinvoiceFormat.FACTUR_X: _EN16931,
    EinvoiceFormat.XRECHNUNG: f"{_EN16931}#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0",
    EinvoiceFormat.PEPPOL: f"{_EN16931}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0",
}
_PEPPOL_PROCESS = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
# UNTDID 1001: commercial invoice, credit note. UN/ECE Recommendation 20: one, a piece.
_INVOICE_TYPE, _CREDIT_NOTE_TYPE, _PIECE = "380", "381", "C62"
# UNTDID 4461: SEPA credit transfer, and online payment service.
_SEPA_TRANSFER, _ONLINE_PAYMENT = "58", "68"
_EXEMPTION_CODES = {"AE": "VATEX-EU-AE", "K": "VATEX-EU-IC", "G": "VATEX-EU-G", "O": "VATEX-EU-O"}
_EXEMPTIONS = {
    "AE": "Reverse charge",
    "K": "Intra-community supply",
    "G": "Export outside the EU",
    "O": "Not subject to VAT",
    "E": "Exempt from tax",
}
_TEXT_MAX = 5000


def einvoice_xml(document: InvoiceDocument, seller: Seller, kind: EinvoiceFormat) -> bytes:
    """The invoice in that format's XML, or EinvoiceIncomplete with the fields it lacks."""
    # It reads its schemas, and few processes ever make an e-invoice.
    import facturx

    assert_complete(document, seller, kind)
    terms = business_terms(document, seller, kind)
    if kind == EinvoiceFormat.FACTUR_X:
        made: bytes = facturx.generate_cii_xml(terms, level="en16931", check_schematron=False)
        return made
    ubl: bytes = facturx.generate_ubl_xml(terms, level="en16931", check_schematron=False)
    own, general = _SPECIFICATION[kind], f">{_EN16931}<"
    assert ubl.count(general.encode()) == 1, "the specification stands in one place"
    return ubl.replace(general.encode(), f">{own}<".encode())


def business_terms(document: InvoiceDocument, seller: Seller, kind: EinvoiceFormat) -> Terms:
    is_credit = document.kind == DocumentKind.CREDIT_NOTE
    currency = document.currency
    period = _period(document)
    # Outside of VAT, no VAT number may stand on the invoice (BR-O-02).
    is_taxed = any(one.category != "O" for one in document.taxes)
    terms: Terms = {
        "BT-1": _text(document.number),
        "BT-2": document.issued_on,
        "BT-3": _CREDIT_NOTE_TYPE if is_credit else _INVOICE_TYPE,
        "BT-5": currency,
        # factur-x writes that of a UBL credit note in a place where its schema has none.
        "BT-7": None if is_credit and kind != EinvoiceFormat.FACTUR_X else document.tax_point,
        "BT-9": document.due_on or (document.issued_on if is_credit and document.due else None),
        "BT-10": _text(document.buyer_reference),
        "BT-13": _text(document.order_number),
        "BT-20": _text(seller.terms).replace("#", "") if not is_credit else "",
        "BT-23": _PEPPOL_PROCESS if kind != EinvoiceFormat.FACTUR_X else "",
        "BG-1": [{"BT-22": _text("\n".join(document.notes))}] if document.notes else [],
        "BG-3": [{"BT-25": _text(document.corrects)}] if document.corrects else [],
        "BG-4": _party(seller.party, kind, contact=True, is_taxed=is_taxed),
        "BG-7": _party(document.buyer, kind, contact=False, is_taxed=is_taxed),
        "BG-23": _breakdowns(document),
        "BG-25": [_line(at, one, period, currency) for at, one in enumerate(document.lines, 1)],
        "BT-106": _amount(document.net, currency),
        "BT-109": _amount(document.net, currency),
        "BT-110": _amount(document.tax, currency),
        "BT-112": _amount(document.total, currency),
        "BT-113": _amount(document.total - document.due, currency),
        "BT-115": _amount(document.due, currency),
        **_payment_means(document, seller),
        **_delivery(document, period),
    }
    if period:
        terms |= {"BT-73": period[0], "BT-74": period[1]}
    return {name: one for name, one in terms.items() if one not in (None, "", [])}


def _party(party: Party, kind: EinvoiceFormat, *, contact: bool, is_taxed: bool) -> Terms:
    scheme, _, address = party.einvoice_address.partition(":")
    if not address and kind == EinvoiceFormat.XRECHNUNG:
        scheme, address = "EM", party.email
    made: Terms = {
        **_address(party),
        "vat_identifier": party.vat_number.replace(" ", "") if is_taxed else "",
        "legal_identifier": _text(party.registration_number),
        "einvoicing_addr": address,
        "einvoicing_addr_schemeid": scheme if address else "",
    }
    reached: Terms = {
        "name": _text(party.contact),
        "phone": _text(party.phone),
        "email": _text(party.email),
    }
    if contact and any(reached.values()):
        made["contacts"] = [{name: one for name, one in reached.items() if one}]
    return {name: one for name, one in made.items() if one}


def _address(party: Party) -> Terms:
    made: Terms = {
        "name": _text(party.name),
        "addr_l1": _text(party.address1),
        "addr_l2": _text(party.address2),
        "postcode": _text(party.postcode),
        "city": _text(party.city),
        "country_code": party.country,
    }
    return {name: one for name, one in made.items() if one}


def _breakdowns(document: InvoiceDocument) -> list[Terms]:
    """The taxes. In CII the tax point stands in one of them, and nowhere else (CII-SR-461)."""
    made = [_breakdown(one, document.currency) for one in document.taxes]
    if document.tax_point and made:
        made[0]["BT-7"] = document.tax_point
    return made


def _breakdown(share: TaxShare, currency: str) -> Terms:
    made: Terms = {
        "BT-116": _amount(share.net, currency),
        "BT-117": _amount(share.tax, currency),
        "BT-118": share.category,
        "BT-119": money.plain(share.percent),
    }
    if share.category in _EXEMPTIONS:
        made["BT-120"] = _text(share.reason or share.name) or _EXEMPTIONS[share.category]
    if share.category in _EXEMPTION_CODES:
        made["BT-121"] = _EXEMPTION_CODES[share.category]
    return made


def _line(
    number: int, line: DocumentLine, period: tuple[date, date] | None, currency: str
) -> Terms:
    """A price is never negative: a line that gives something back has a negative quantity."""
    sign = -1 if line.unit_price < 0 else 1
    gross = sign * line.net_unit_price
    price = (gross * (100 - line.discount_percent) / 100).quantize(PRICE_STEP)
    title, rest = _name(line)
    made: Terms = {
        "BT-126": str(number),
        "BT-129": money.plain(sign * line.quantity),
        "BT-130": _PIECE,
        "BT-131": _amount(line.net, currency),
        "BT-146": money.plain(price),
        "BT-151": line.tax_category,
        "BT-152": money.plain(line.tax_percent),
        "BT-153": title,
        "BT-154": rest,
        "BT-155": _text(line.item_code),
    }
    if line.discount_percent and gross > price:
        made["BT-147-00"] = [{"BT-147": money.plain(gross - price)}]
        made["BT-148"] = money.plain(gross)
    if line.tax_category == "O":
        del made["BT-152"]
    if line.period and (period is None or _contains(period, line.period)):
        made |= {"BT-134": line.period[0], "BT-135": line.period[1]}
    return {name: one for name, one in made.items() if one}


def _name(line: DocumentLine) -> tuple[str, str]:
    """The item's name is one row; the others are its description."""
    rows = [one for one in (*line.title.splitlines(), *line.text.splitlines()) if one.strip()]
    return _text(rows[0])[:1000], _text("\n".join(rows[1:]))


def _period(document: InvoiceDocument) -> tuple[date, date] | None:
    """The invoice's period, where it begins before it ends."""
    period = document.period
    return period if period and period[0] <= period[1] else None


def _contains(period: tuple[date, date], part: tuple[date, date]) -> bool:
    return period[0] <= part[0] <= part[1] <= period[1]


def _payment_means(document: InvoiceDocument, seller: Seller) -> Terms:
    """By transfer where the seller has an account, else by the payment link."""
    if not seller.bank.iban:
        return {"BT-81": _ONLINE_PAYMENT}
    return {
        "BT-81": _SEPA_TRANSFER,
        "BT-83": _text(document.number),
        "BT-84": seller.bank.iban.replace(" ", ""),
        "BT-85": _text(seller.bank.holder),
        "BT-86": seller.bank.bic.replace(" ", ""),
    }


def _delivery(document: InvoiceDocument, period: tuple[date, date] | None) -> Terms:
    """The day of delivery is the last of the period, or the invoice's own day.

    Factur-X has no invoice without one. A supply to another member state says where it went, and
    in CII no party is without a name.
    """
    terms: Terms = {"BT-72": period[1] if period else document.issued_on}
    if any(one.category == "K" for one in document.taxes):
        terms["BG-13"] = _address(document.buyer)
    return terms


def _amount(value: Decimal, currency: str) -> str:
    """Two decimals at most, as EN 16931 has them; none of a currency without minor units."""
    places = min(money.exponent(currency), 2)
    return f"{value:.{places}f}"


def _text(text: str) -> str:
    """Text that XML may hold: no control characters, no blanks around it, and an end."""
    return re.sub(r"[\ufffe\uffff]", "", escape_lines(text.strip()))[:_TEXT_MAX]

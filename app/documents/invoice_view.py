"""The view of an invoice: all that its template prints, as texts in the document's language."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from app.documents.document_content import (
    DocumentKind,
    DocumentLine,
    DocumentPayment,
    InvoiceDocument,
    Party,
    TaxShare,
)
from app.documents.document_folder import DocumentFolder, Logo, Seller
from app.documents.languages import Language, language_of
from app.documents.printed_text import (
    ALL_DESCRIPTIONS_MAX,
    DESCRIPTION_MAX,
    NOTE_MAX,
    printed_line,
    printed_rows,
)

View = dict[str, object]


def invoice_view(
    document: InvoiceDocument, folder: DocumentFolder, language: str = "", kind: str = ""
) -> View:
    """The view of an invoice, a credit note or, by its kind, the receipt of its payments."""
    speech = language_of(language, document.language, folder.seller.language)
    shown = DocumentKind(kind or document.kind)
    currency = document.currency
    return {
        **common_view(folder, speech, shown),
        "number": printed_line(document.number),
        "is_void": document.voided,
        "currency": currency,
        "buyer": party_view(document.buyer, speech, folder.seller.country),
        "facts": list(_facts(document, speech)),
        "is_gross": document.is_gross,
        "has_discounts": any(one.discount_percent for one in document.lines),
        "lines": _lines(document, speech),
        "totals": list(_totals(document, speech)),
        "total": speech.money(document.total, currency),
        "taxes": [_tax(one, speech, currency) for one in document.taxes],
        "payments": [_payment(one, document, speech) for one in document.payments],
        "paid": speech.money(document.paid, currency),
        "due": speech.money(document.due, currency),
        "is_paid": document.due <= 0 and document.paid > 0,
        "due_on": speech.day(document.due_on) if document.due_on else "",
        "notes": [printed_rows(one, NOTE_MAX) for one in document.notes],
        "link": _link(document),
    }


def common_view(folder: DocumentFolder, speech: Language, kind: DocumentKind) -> View:
    """The parts that documents of all kinds have: words, looks, logo, seller and footer."""
    seller = folder.seller
    return {
        "kind": str(kind),
        "language": speech.code,
        "words": dict(speech.words),
        "title": speech.words[kind],
        "paper": seller.paper_size,
        "accent": seller.accent,
        "logo": _logo(folder.logo),
        "seller": _seller(seller, speech),
        "bank": _bank(seller, speech),
        "terms": printed_rows(seller.terms),
        "footer": printed_rows(seller.footer),
    }


def party_view(party: Party, speech: Language, home: str = "") -> View:
    """A party's name, its address and numbers; its country where it is not `home`."""
    place = " ".join(part for part in (party.postcode, party.city) if part)
    country = "" if party.country == home else party.country
    lines = party.printed_lines or (party.address1, party.address2, place, country)
    words = speech.words
    numbers = ((words["vat_number"], party.vat_number),
               (words["registration_number"], party.registration_number))  # fmt: skip
    return {
        "name": printed_line(party.name),
        "lines": [printed_line(one) for one in (party.contact, *lines) if one],
        "numbers": [[name, printed_line(one)] for name, one in numbers if one],
    }


def _seller(seller: Seller, speech: Language) -> View:
    """The seller's address, and below the page how the contact is reached."""
    shown = party_view(replace(seller.party, contact=""), speech)
    ways = (seller.contact, seller.phone, seller.email)
    contact = [printed_line(one) for one in ways if one]
    return {**shown, "contact": contact, "website": printed_line(seller.website)}


def _logo(logo: Logo | None) -> View | None:
    """A picture as text, or as the numbers of its bytes: JSON has no bytes."""
    if logo is None:
        return None
    is_text = logo.format == "svg"
    content = logo.content.decode("utf-8", "replace") if is_text else list(logo.content)
    return {"format": logo.format, "content": content}


def _bank(seller: Seller, speech: Language) -> list[list[str]]:
    bank = seller.bank
    rows = (
        (speech.words["account_holder"], bank.holder),
        (speech.words["bank"], bank.name),
        ("IBAN", _in_fours(bank.iban)),
        ("BIC", bank.bic),
    )
    return [[name, printed_line(one)] for name, one in rows if one]


def _in_fours(iban: str) -> str:
    letters = iban.replace(" ", "")
    return " ".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def _facts(document: InvoiceDocument, speech: Language) -> Iterator[list[str]]:
    words = speech.words
    yield [words["number"], printed_line(document.number)]
    if document.issued_on:
        yield [words["date"], speech.day(document.issued_on)]
    if document.due_on:
        yield [words["due_date"], speech.day(document.due_on)]
    if document.tax_point:
        yield [words["tax_point"], speech.day(document.tax_point)]
    if document.period:
        yield [words["period"], speech.period(document.period)]
    texts = (("corrects", document.corrects), ("order_number", document.order_number),
             ("buyer_reference", document.buyer_reference))  # fmt: skip
    for name, text in texts:
        if text:
            yield [words[name], printed_line(text, 120)]


def _lines(document: InvoiceDocument, speech: Language) -> list[View]:
    """The lines, each with the sum of the amounts up to it, which pages carry over.

    Amounts are net, unless all prices have their tax in them.
    """
    longest = min(DESCRIPTION_MAX, ALL_DESCRIPTIONS_MAX // max(len(document.lines), 1))
    carried = Decimal(0)
    shown: list[View] = []
    for place, line in enumerate(document.lines, start=1):
        amount = line.gross if document.is_gross else line.net
        carried += amount
        price = line.unit_price if document.is_gross else line.net_unit_price
        row = _line(line, longest, speech)
        row["price"] = speech.price(price, document.currency)
        row["net"] = speech.amount(amount, document.currency)
        sum_so_far = speech.amount(carried, document.currency)
        shown.append({"position": str(place), **row, "carried": sum_so_far})
    return shown


def _line(line: DocumentLine, longest: int, speech: Language) -> View:
    return {
        "title": printed_rows(line.title, longest),
        "text": printed_rows(line.text, longest),
        "period": speech.period(line.period) if line.period else "",
        "quantity": speech.number(line.quantity),
        "discount": speech.percent(line.discount_percent) if line.discount_percent else "",
        "tax": speech.percent(line.tax_percent),
    }


def _totals(document: InvoiceDocument, speech: Language) -> Iterator[list[str]]:
    """The net, and the tax of each rate; the total stands below them."""
    net = speech.words["taxable" if document.is_gross else "subtotal"]
    yield [net, speech.amount(document.net, document.currency)]
    for one in document.taxes:
        if one.tax or len(document.taxes) == 1:
            rate = f"{speech.words['total_tax']} {speech.percent(one.percent)}"
            yield [rate, speech.amount(one.tax, document.currency)]


def _tax(share: TaxShare, speech: Language, currency: str) -> View:
    reason = (
        "" if share.percent else share.reason or share.name or speech.words["without_tax_reason"]
    )
    return {
        "rate": speech.percent(share.percent),
        "name": printed_line(share.name if share.percent else reason, 80),
        "net": speech.amount(share.net, currency),
        "tax": speech.amount(share.tax, currency),
        "gross": speech.amount(share.net + share.tax, currency),
    }


def _payment(payment: DocumentPayment, document: InvoiceDocument, speech: Language) -> View:
    is_credit = document.kind == DocumentKind.CREDIT_NOTE
    used = f"{speech.words['for_invoice']} {payment.reference}"
    return {
        "paid_on": speech.short_day(payment.paid_on),
        "method": printed_line(used if is_credit else payment.method, 80),
        "reference": "" if is_credit else printed_line(payment.reference, 80),
        "amount": speech.amount(payment.amount, document.currency),
    }


def _link(document: InvoiceDocument) -> View | None:
    """Where the invoice is paid online, and the same as a QR code that a phone reads."""
    if not document.payment_url or document.due <= 0 or document.voided:
        return None
    return {"url": document.payment_url, "qr": qr_code(document.payment_url)}


def qr_code(text: str) -> str:
    """The text as a QR code: an SVG that knows no outside."""
    import segno  # few documents have a link

    drawn: str = segno.make(text, error="m").svg_inline(border=0, scale=4)
    return drawn

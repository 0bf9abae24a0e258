"""Documents that tests and benchmarks print: a seller, a buyer, and lines that add up."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pypdfium2

from app.documents.document_content import (
    DocumentKind,
    DocumentLine,
    DocumentPayment,
    InvoiceDocument,
    Party,
    TaxShare,
)
from app.documents.document_folder import (
    TEMPLATES,
    BankAccount,
    DocumentFolder,
    Logo,
    Seller,
)
from app.documents.invoice_view import View, invoice_view
from app.documents.printer import typst_process
from app.documents.statement_document import (
    StatementDocument,
    StatementEntry,
    StatementEntryKind,
)
from app.documents.statement_view import statement_view
from app.documents.typst_process import PrintJob

PRINTED_AT = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 250 60"><rect width="60" height="60" '
    b'rx="12" fill="#1d4f73"/><path d="M16 40 L28 18 L34 30 L44 14" stroke="#fff" stroke-width="6" '
    b'fill="none" stroke-linecap="round" stroke-linejoin="round"/><text x="72" y="41" '
    b'font-family="Paydue Sans" font-weight="700" font-size="32" fill="#1d4f73">Nordwind</text>'
    b"</svg>"
)
SELLER = Seller(
    name="Nordwind Systemhaus GmbH",
    address1="Hafenstraße 12",
    postcode="20457",
    city="Hamburg",
    country="DE",
    vat_number="DE123456789",
    registration_number="HRB 12345",
    einvoice_address="9930:DE123456789",
    contact="Buchhaltung",
    email="rechnung@nordwind.example",
    phone="+49 40 555 0100",
    website="nordwind.example",
    bank=BankAccount(
        holder="Nordwind Systemhaus GmbH", iban="DE75512108001245126199", bic="SOLADEST600"
    ),
    terms="Zahlbar innerhalb von 14 Tagen ohne Abzug.",
)
FOLDER = DocumentFolder(SELLER, Logo("svg", SVG), {})
BUYER = Party(
    name="Bäckerei Sonnenschein e.K.",
    address1="Marktplatz 3",
    postcode="79098",
    city="Freiburg",
    country="DE",
    vat_number="DE987654321",
    einvoice_address="0088:4012345000009",
    contact="Ada Beispiel",
    email="buero@sonnenschein.example",
)
_NAMES = ("Managed Workplace", "Backup & Recovery", "Firewall-Pflege", "Beratung vor Ort")
_TEXT = "Monatspauschale mit Überwachung und Hilfe\nRufbereitschaft werktags 8-18 Uhr"


def line(price: str = "99.00", title: str = "Support", **changes: object) -> DocumentLine:
    """A line of one piece, with 19 percent of tax."""
    made = DocumentLine(
        title=title, text="", item_code="", period=None, quantity=Decimal(1),
        unit_price=Decimal(price), discount_percent=Decimal(0), tax_percent=Decimal(19),
        tax_category="S", net=Decimal(price),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def gross_line(title: str = "Support") -> DocumentLine:
    """A line of 11.90 with its tax in it."""
    return line("11.90", title, net=Decimal(10), gross=Decimal("11.90"), price_includes_tax=True)


def lines(count: int) -> list[DocumentLine]:
    return [
        line(
            str(Decimal("49.50") * (at % 7 + 1)), f"{_NAMES[at % 4]} {at + 1}",
            text=_TEXT if at % 2 == 0 else "", quantity=Decimal(at % 7 + 1),
            unit_price=Decimal("49.50"),
            period=(date(2026, 11, 1), date(2026, 11, 30)) if at % 3 == 0 else None,
        )
        for at in range(count)
    ]  # fmt: skip


def invoice(given: Sequence[DocumentLine] | int = 4, **changes: object) -> InvoiceDocument:
    """A German invoice of which a part is paid by card."""
    its_lines = lines(given) if isinstance(given, int) else list(given)
    net = sum((one.net for one in its_lines), Decimal(0))
    tax = (net * Decimal("0.19")).quantize(Decimal("0.01"))
    paid = Decimal("100.00")
    made = InvoiceDocument(
        id=471, kind=DocumentKind.INVOICE, number="RE-2026-00471", currency="EUR", buyer=BUYER,
        language="de", issued_on=date(2026, 11, 27), due_on=date(2026, 12, 11),
        period=(date(2026, 11, 1), date(2026, 11, 30)), order_number="PO-7781",
        buyer_reference="Filiale Süd", notes=["Vielen Dank für die gute Zusammenarbeit."],
        lines=its_lines, taxes=[TaxShare(Decimal(19), "S", "Umsatzsteuer", net, tax)],
        payments=[DocumentPayment(date(2026, 11, 28), "Visa •••• 4242", "RE-2026-00471", paid)],
        net=net, tax=tax, total=net + tax, paid=paid, due=net + tax - paid,
        payment_url="https://pay.nordwind.example/i/471",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def printed(document: InvoiceDocument, language: str = "", kind: str = "") -> bytes:
    return printed_view(invoice_view(document, FOLDER, language, kind))


def statement(count: int = 12) -> StatementDocument:
    """A client's account: invoices, the payments of some, and a credit note."""
    kinds = (StatementEntryKind.INVOICE, StatementEntryKind.PAYMENT, StatementEntryKind.INVOICE,
             StatementEntryKind.CREDIT_NOTE)  # fmt: skip
    texts = ("RE-2026-{}", "Visa •••• 4242", "RE-2026-{}", "GS-2026-{}")
    entries = [
        StatementEntry(
            date(2026, 10, 1 + at), kinds[at % 4], texts[at % 4].format(400 + at),
            Decimal("119.00") * (1 if at % 2 == 0 else -1),
        )
        for at in range(count)
    ]  # fmt: skip
    return StatementDocument(
        client_id=12, client=BUYER, language="de", currency="EUR",
        period=(date(2026, 10, 1), date(2026, 10, 31)), opening=Decimal("238.00"),
        entries=entries, open_by_age=[Decimal(one) for one in ("119.00", "119.00", "0", "0", "0")],
    )  # fmt: skip


def printed_statement(document: StatementDocument, language: str = "") -> bytes:
    return printed_view(statement_view(document, FOLDER, language))


def printed_view(view: View) -> bytes:
    job = PrintJob(TEMPLATES, f"{view['kind']}.typ", view, PRINTED_AT)
    return typst_process().print(job)


def pages(content: bytes) -> list[str]:
    """The text of each page, as a reader who copies it gets it."""
    opened = pypdfium2.PdfDocument(content)
    try:
        return [one.get_textpage().get_text_bounded() for one in opened]
    finally:
        opened.close()


def text_of(content: bytes) -> str:
    return "\n".join(pages(content))

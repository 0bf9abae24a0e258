"""The view of a statement: all that its template prints, as texts in its language."""

from collections.abc import Iterator
from decimal import Decimal

from app.documents.document_content import DocumentKind
from app.documents.document_folder import DocumentFolder
from app.documents.invoice_view import View, common_view, party_view
from app.documents.languages import Language, language_of
from app.documents.printed_text import printed_line
from app.documents.statement_document import StatementDocument

_AGES = ("not_due", "days_1_30", "days_31_60", "days_61_90", "days_over_90")


def statement_view(document: StatementDocument, folder: DocumentFolder, language: str = "") -> View:
    speech = language_of(language, document.language, folder.seller.language)
    currency = document.currency
    words = speech.words
    return {
        **common_view(folder, speech, DocumentKind.STATEMENT),
        "number": str(document.client_id),
        "currency": currency,
        "buyer": party_view(document.client, speech, folder.seller.country),
        "facts": [
            [words["customer_number"], str(document.client_id)],
            [words["statement_period"], speech.period(document.period)],
        ],
        "opening": speech.amount(document.opening, currency),
        "entries": list(_entries(document, speech)),
        "closing": speech.money(document.closing, currency),
        "ages": [
            [words[name], speech.amount(one, currency)]
            for name, one in zip(_AGES, document.open_by_age, strict=True)
        ],
    }


def _entries(document: StatementDocument, speech: Language) -> Iterator[View]:
    """Each entry, with the balance after it."""
    balance = document.opening
    for one in document.entries:
        balance += one.amount
        shown = speech.amount(abs(one.amount), document.currency)
        is_charge = one.amount > Decimal(0)
        yield {
            "day": speech.short_day(one.day),
            "kind": speech.words[one.kind],
            "number": printed_line(one.number, 80),
            "debit": shown if is_charge else "",
            "credit": "" if is_charge else shown,
            "balance": speech.amount(balance, document.currency),
        }

"""A mail as it would be sent for an invoice now; nothing is queued, and nobody is written to."""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.errors import InvalidField, NotFound
from app.mail.mail_content import NotToBeSent, mail_content
from app.mail.mail_rendering import RenderedMail, render_mail
from app.mail.mail_subjects import INVOICES, load_subject
from app.mail.mail_words import MAIL_LANGUAGES, mail_words
from app.rules import money
from app.rules.mail_kind import MailKind
from app.settings import Settings
from app.storage.engines import Record, Tx

_SAMPLE = {"dispute": "dp_sample", "intent_id": "pi_sample", "reason": "fraudulent"}


async def preview_mail(
    tx: Tx,
    kind: MailKind,
    invoice_id: int,
    settings: Settings,
    *,
    now: datetime,
    language: str = "",
) -> RenderedMail:
    """The mail of a kind for an invoice, with sample values where nothing has happened yet.

    InvalidField where it would not be sent, such as a reminder of a paid invoice.
    """
    if language and language not in MAIL_LANGUAGES:
        raise InvalidField("language", f"is none of {', '.join(MAIL_LANGUAGES)}")
    found = await tx.execute(select(INVOICES).where(INVOICES.c.id == invoice_id, INVOICES.c.id > 0))
    invoice = found.one_or_none()
    if invoice is None:
        raise NotFound("Invoice", invoice_id)
    facts = _facts(invoice, now)
    subject = await load_subject(tx, kind, invoice.client_id, facts, settings, now)
    words = mail_words(settings.mail_folder, language) if language else subject.words
    try:
        return render_mail(mail_content(subject.facts, words), settings.mail_folder)
    except NotToBeSent as error:
        raise InvalidField("kind", f"is not sent for invoice {invoice_id}: {error}") from None


def _facts(invoice: Record, now: datetime) -> dict[str, Any]:
    amount = money.text(invoice.amountdue or invoice.total, invoice.currency_iso)
    day = (invoice.duedate or now.date()).isoformat()
    return {
        **_SAMPLE,
        "amount": amount,
        "currency": invoice.currency_iso,
        "invoices": [{"id": invoice.id, "amount": amount}],
        "method": "Visa ···· 4242",
        "at": now.isoformat(),
        "evidence_due_at": now.isoformat(),
        "charge_on": day,
        "next_try_on": day,
        "exp_year": now.year,
        "exp_month": now.month,
    }

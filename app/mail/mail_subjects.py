"""The subject of a message as it is when it is sent: client, language, numbers, amounts due."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from app.documents.document_folder import load_document_folder
from app.mail.mail_content import MailFacts, NotToBeSent, OwedInvoice
from app.mail.mail_message import recipients_of
from app.mail.mail_words import MailWords, mail_words
from app.rules import calendar
from app.rules.mail_kind import TO_FINANCE
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)


class MailSubject(NamedTuple):
    """Of whom a mail is, in which words it is written, and about what."""

    client: Record | None
    seller: str
    words: MailWords
    facts: MailFacts


async def load_subject(
    tx: Tx,
    kind: str,
    client_id: int | None,
    facts: dict[str, Any],
    settings: Settings,
    now: datetime,
) -> MailSubject:
    """The subject of a message, with its facts as they are now."""
    folder = load_document_folder(settings.documents_folder)
    seller, client = folder.seller, await _client(tx, client_id)
    is_for_client = client is not None and kind not in TO_FINANCE
    name = client.name if client and is_for_client else ""
    language = client.language if client and is_for_client else ""
    zone = (client.timezone if client else None) or settings.timezone
    ids = [one["id"] for one in facts.get("invoices", ())]
    rows = list(await tx.execute(select(INVOICES).where(INVOICES.c.id.in_(ids)))) if ids else []
    return MailSubject(
        client,
        seller.name,
        mail_words(settings.mail_folder, language, seller.language),
        MailFacts(
            kind=kind,
            facts=facts,
            name=name,
            seller=seller.name,
            timezone=zone,
            today=calendar.business_day(now, zone),
            invoices=_owed(rows),
            numbers={row.id: row.invoicenumber or str(row.id) for row in rows},
        ),
    )


def recipients_for(kind: str, client: Record | None, settings: Settings) -> list[str]:
    """The addresses that a mail goes to, or NotToBeSent where nobody may or can get it."""
    if kind in TO_FINANCE:
        return recipients_of(settings.mail_finance)
    if client is None:
        raise NotToBeSent("there is no client")
    off = {one.strip() for one in (client.mail_off or "").split(",")}
    if off & {kind, "all"}:
        raise NotToBeSent("the client does not get this kind of mail")
    if client.inactive:
        raise NotToBeSent("the client is inactive")
    return recipients_of(client.email or "")


async def _client(tx: Tx, client_id: int | None) -> Record | None:
    if client_id is None:
        return None
    return (await tx.execute(select(CLIENTS).where(CLIENTS.c.id == client_id))).one_or_none()


def _owed(rows: list[Record]) -> list[OwedInvoice]:
    """Invoices that owe something, the oldest due first."""
    owed = [row for row in rows if row.amountdue > 0 and not row.voided]
    owed.sort(key=lambda row: (row.duedate is None, row.duedate, row.id))
    return [
        OwedInvoice(
            row.id, row.invoicenumber or str(row.id), row.amountdue, row.currency_iso, row.duedate
        )
        for row in owed
    ]

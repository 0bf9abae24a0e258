"""Pay links: made, revoked, found by their token, of which only a hash is kept.

The link of an invoice also stands in the invoice's own `generic_online_invoice_payment_url`, where
HaloPSA's clients and our documents look for it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import and_, bindparam, insert, select, update

from app.errors import InvalidField, NotFound, Refused
from app.ledger import audit
from app.rules.home import Home
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.prepared import PreparedStatement, projection
from app.storage.rows import lock_rows
from app.storage.tables.clients import Client
from app.storage.tables.customer_links import PayLink
from app.storage.tables.invoices import Invoice

LINKS = table_of(PayLink)
INVOICES = table_of(Invoice)

# HaloPSA's name; the payment QR code of a document is made of it.
URL_PROPERTY = "generic_online_invoice_payment_url"
# A quarter is longer than most terms of payment; nobody plans for more than a year.
DAYS, DAYS_MAX = 90, 400
# 256 random bits as text: `token_urlsafe(32)`.
TOKEN_LENGTH = 43


class StoredPayLink(NamedTuple):
    """A link as it is stored: of an invoice, or of all that a client owes."""

    id: int
    token_hash: str
    invoice_id: int | None
    client_id: int | None
    allows_portal: bool
    made_by: str
    made_at: datetime
    expires_at: datetime
    revoked_by: str | None
    revoked_at: datetime | None
    sessions: int
    last_session_id: str | None
    last_session_at: datetime | None

    def is_open(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


_COLUMNS = projection(LINKS, StoredPayLink)


class NewPayLink(NamedTuple):
    """A link that was just made. Its address is told this once."""

    id: int
    url: str
    expires_at: datetime


class LinkSubject(NamedTuple):
    """The invoice or the client that a link is for: one of them."""

    invoice_id: int | None
    client_id: int | None


async def make_link(
    tx: Tx,
    subject: LinkSubject,
    *,
    url_of: Callable[[str], str],
    days: int = DAYS,
    allows_portal: bool = False,
    who: str,
    now: datetime,
) -> NewPayLink:
    """A new link; `url_of` makes the address of its token. Older ones stay as they are."""
    if (subject.invoice_id is None) == (subject.client_id is None):
        raise InvalidField("invoice_id", "or client_id is required, and not both")
    if not 1 <= days <= DAYS_MAX:
        raise InvalidField("days", f"is not 1 to {DAYS_MAX}")
    token = secrets.token_urlsafe(32)
    expires_at = now + timedelta(days=days)
    invoice = await _lock_subject(tx, subject)
    values = {
        "token_hash": hash_token(token), **subject._asdict(), "allows_portal": allows_portal,
        "made_by": who, "made_at": now, "expires_at": expires_at, "sessions": 0,
    }  # fmt: skip
    link_id = await tx.scalar(insert(LINKS).values(values).returning(LINKS.c.id))
    assert isinstance(link_id, int), "an inserted row has its id"
    url = url_of(token)
    if invoice is not None:
        said = f"link {link_id} until {expires_at:%Y-%m-%d}"
        change = audit.AuditChange(invoice.id, "pay_link", None, said)
        await audit.write(tx, [change], who=who, now=now)
        await _write_url(tx, invoice, url, now=now)
    return NewPayLink(link_id, url, expires_at)


async def _lock_subject(tx: Tx, subject: LinkSubject) -> Record | None:
    """The invoice of a link under its lock; a client is only looked for."""
    if subject.client_id is not None:
        await lock_rows(tx, table_of(Client), "Client", [{"id": subject.client_id}])
        return None
    found = await lock_rows(tx, INVOICES, "Invoice", [{"id": subject.invoice_id}])
    (invoice,) = found.values()
    if invoice.is_recurring_invoice:
        raise Refused("a template owes nothing; make a link for one of its invoices")
    if invoice.voided:
        raise Refused(f"invoice {invoice.id} is voided")
    return invoice


async def revoke_link(tx: Tx, link_id: int, *, who: str, now: datetime) -> StoredPayLink:
    """The link opens nothing any more. One that was revoked before stays as it was."""
    link = await _load(tx, link_id)
    invoice = None
    if link.invoice_id is not None:  # invoices are locked first, as everywhere
        found = await lock_rows(tx, INVOICES, "Invoice", [{"id": link.invoice_id}])
        (invoice,) = found.values()
    link = await _load(tx, link_id, lock=True)
    if link.revoked_at is not None:
        return link
    await tx.execute(
        update(LINKS).where(LINKS.c.id == link_id).values(revoked_by=who, revoked_at=now)
    )
    if invoice is not None:
        change = audit.AuditChange(invoice.id, "pay_link", f"link {link_id}", "revoked")
        await audit.write(tx, [change], who=who, now=now)
        shown = _url_in(invoice.extra)
        if shown is not None and hash_token(shown.rpartition("/")[2]) == link.token_hash:
            await _write_url(tx, invoice, None, now=now)  # another link's address stays
    return link._replace(revoked_by=who, revoked_at=now)


async def _load(tx: Tx, link_id: int, *, lock: bool = False) -> StoredPayLink:
    found = select(*_COLUMNS).where(LINKS.c.id == link_id)
    row = (await tx.execute(found.with_for_update() if lock else found)).one_or_none()
    if row is None:
        raise NotFound("PayLink", link_id)
    return StoredPayLink._make(row)


async def remove(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    """Revoke a link, as a DELETE does; its row stays, with who revoked it."""
    await revoke_link(tx, record_id, who=who, now=now)


async def _write_url(tx: Tx, invoice: Record, url: str | None, *, now: datetime) -> None:
    extra = {**(invoice.extra or {}), URL_PROPERTY: url}
    kept = {name: value for name, value in extra.items() if value is not None}
    await tx.execute(
        update(INVOICES)
        .where(INVOICES.c.id == invoice.id)
        .values(extra=kept, change_seq=INVOICES.c.change_seq + 1, last_modified=now)
    )


def _url_in(extra: object) -> str | None:
    found = extra.get(URL_PROPERTY) if isinstance(extra, Mapping) else None
    return found if isinstance(found, str) else None


# --- reading ---------------------------------------------------------------------------------


def hash_token(token: str) -> str:
    """SHA-256 is enough for 256 random bits."""
    return sha256(token.encode()).hexdigest()


_BY_TOKEN = PreparedStatement(
    select(*_COLUMNS).where(LINKS.c.token_hash == bindparam("token_hash")), StoredPayLink
)


async def find_link(tx: Tx, token: str, now: datetime) -> StoredPayLink | None:
    """The open link of a token; None for one that never was, has expired, or was revoked."""
    if len(token) != TOKEN_LENGTH:
        return None
    found = await _BY_TOKEN.all(tx, token_hash=hash_token(token))
    return next((one for one in found if one.is_open(now)), None)


async def find_by_id(tx: Tx, link_id: int) -> StoredPayLink | None:
    """The link of a number, whatever its state."""
    row = (await tx.execute(select(*_COLUMNS).where(LINKS.c.id == link_id))).one_or_none()
    return StoredPayLink._make(row) if row is not None else None


async def list_links(
    tx: Tx, now: datetime, *, every: bool = False, most: int = 1000
) -> Sequence[StoredPayLink]:
    """The links that open something, or all that ever were, the newest first."""
    open_now = and_(LINKS.c.revoked_at.is_(None), LINKS.c.expires_at > now)
    found = select(*_COLUMNS).order_by(LINKS.c.id.desc()).limit(most)
    rows = await tx.execute(found if every else found.where(open_now))
    return [StoredPayLink._make(row) for row in rows]


# --- sessions --------------------------------------------------------------------------------


async def next_session(tx: Tx, link_id: int) -> int:
    """The number of the next Checkout Session that the link begins; a revoked one begins none."""
    number = await tx.scalar(
        update(LINKS)
        .where(LINKS.c.id == link_id, LINKS.c.revoked_at.is_(None))
        .values(sessions=LINKS.c.sessions + 1)
        .returning(LINKS.c.sessions)
    )
    if number is None:
        raise NotFound("PayLink", link_id)
    return int(number)

"""A client's objection to a coming charge: it holds the charge's invoices from autopay.

The mail that tells of a charge has an address with a random token, of which a hash is kept. Whoever
has it may hold the invoices of that charge, until the charge's day is over, and nothing else.
"""

import secrets
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import insert, select, update

from app.errors import NotFound
from app.ledger import autopay_pauses
from app.ledger.pay_links import TOKEN_LENGTH, hash_token
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.customer_links import ChargeObjection
from app.storage.tables.invoices import Invoice

OBJECTIONS = table_of(ChargeObjection)
INVOICES = table_of(Invoice)

# The name under which a client's act stands in the history, for nobody has signed in.
BY_MAIL = "the client, by the address in a mail"


class StoredObjection(NamedTuple):
    """The right to object to one charge; `objected_at` once it was used."""

    id: int
    client_id: int | None
    invoice_ids: Sequence[int]
    charge_on: date
    made_at: datetime
    expires_at: datetime
    revoked_by: str | None
    revoked_at: datetime | None
    objected_at: datetime | None


_COLUMNS = projection(OBJECTIONS, StoredObjection)


def new_objection_token() -> str:
    """A token of 256 random bits for an address."""
    return secrets.token_urlsafe(32)


async def record_objection_token(
    tx: Tx,
    token: str,
    invoice_ids: Sequence[int],
    *,
    client_id: int | None,
    charge_on: date,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Let the holder of the token object to the charge of these invoices until it expires."""
    values = {
        "token_hash": hash_token(token), "client_id": client_id, "invoice_ids": list(invoice_ids),
        "charge_on": charge_on, "made_at": now, "expires_at": expires_at,
    }  # fmt: skip
    await tx.execute(insert(OBJECTIONS).values(values))


async def find_objection(tx: Tx, token: str, now: datetime) -> StoredObjection | None:
    """The right that a token gives now; None for an unknown, expired or revoked one."""
    if len(token) != TOKEN_LENGTH:
        return None
    found = await tx.execute(select(*_COLUMNS).where(OBJECTIONS.c.token_hash == hash_token(token)))
    row = found.one_or_none()
    one = StoredObjection._make(row) if row is not None else None
    if one is None or one.revoked_at is not None or now >= one.expires_at:
        return None
    return one


async def object_to_charge(tx: Tx, objection_id: int, *, now: datetime) -> list[int]:
    """Hold the invoices of the charge that owe something still; answers them.

    A second objection changes nothing: what staff released since is not held again by it.
    """
    row = (
        await tx.execute(select(*_COLUMNS).where(OBJECTIONS.c.id == objection_id).with_for_update())
    ).one_or_none()
    if row is None:
        raise NotFound("objection", objection_id)
    one = StoredObjection._make(row)
    if one.objected_at is not None or one.revoked_at is not None or now >= one.expires_at:
        return []
    owing = await tx.scalars(
        select(INVOICES.c.id)
        .where(
            INVOICES.c.id.in_(one.invoice_ids),
            INVOICES.c.amountdue > 0,
            INVOICES.c.voided.is_(False),
        )
        .order_by(INVOICES.c.id)
    )
    held = list(owing)
    for invoice_id in held:
        await autopay_pauses.pause(
            tx,
            client_id=None,
            invoice_id=invoice_id,
            reason=f"the client objects to the charge of {one.charge_on}",
            until=None,
            who=BY_MAIL,
            now=now,
        )
    await tx.execute(update(OBJECTIONS).where(OBJECTIONS.c.id == one.id).values(objected_at=now))
    return held


async def revoke_objection(tx: Tx, objection_id: int, *, who: str, now: datetime) -> None:
    """Let the address of the mail hold nothing any more; what is held stays so."""
    changed = await tx.execute(
        update(OBJECTIONS)
        .where(OBJECTIONS.c.id == objection_id, OBJECTIONS.c.revoked_at.is_(None))
        .values(revoked_by=who, revoked_at=now)
    )
    if not changed.rowcount:
        raise NotFound("objection", objection_id)


async def list_objections(tx: Tx, *, most: int = 1000) -> list[StoredObjection]:
    """The newest first, whatever their state."""
    found = await tx.execute(select(*_COLUMNS).order_by(OBJECTIONS.c.id.desc()).limit(most))
    return [StoredObjection._make(row) for row in found]

"""Gives clients their customers at Stripe: each customer to one client, and none to two."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, or_, select, update

from app.errors import NotFound, Refused
from app.ledger import audit
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client

CLIENTS = table_of(Client)


async def assign_customers(
    tx: Tx, customers: Mapping[int, str], *, who: str, now: datetime
) -> None:
    """Write each client's customer, by the client's id. All are written, or none.

    Refused for a client that has a customer already, is inactive, or whose customer is another
    client's.
    """
    if len(set(customers.values())) < len(customers):
        raise Refused("a customer is named for two clients")
    await _wait_for_others(tx)
    wanted, ids = sorted(customers), sorted(customers.values())
    found = await tx.execute(
        select(CLIENTS.c.id, CLIENTS.c.stripe_customer_id, CLIENTS.c.inactive)
        .where(or_(CLIENTS.c.id.in_(wanted), CLIENTS.c.stripe_customer_id.in_(ids)))
        .order_by(CLIENTS.c.id)
        .with_for_update()
    )
    rows = {row.id: row for row in found}
    for row in rows.values():
        if row.stripe_customer_id is not None:
            raise Refused(f"{row.stripe_customer_id} is the customer of client {row.id} already")
    for client_id in wanted:
        if client_id not in rows:
            raise NotFound("client", client_id)
        if rows[client_id].inactive:
            raise Refused(f"client {client_id} is inactive")
        await tx.execute(
            update(CLIENTS)
            .where(CLIENTS.c.id == client_id)
            .values(stripe_customer_id=customers[client_id], last_modified=now)
        )
    changes = [
        audit.AuditChange(None, "stripe_customer_id", None, f"client {one}: {customers[one]}")
        for one in wanted
    ]
    await audit.write(tx, changes, who=who, now=now)


async def _wait_for_others(tx: Tx) -> None:
    """Two that assign at once take turns, by the first client's row: no key forbids two clients
    of one customer, for through the API that is allowed."""
    first = select(func.min(CLIENTS.c.id)).scalar_subquery()
    await tx.execute(select(CLIENTS.c.id).where(CLIENTS.c.id == first).with_for_update())

"""Matches the clients that have no customer with the customers of the Stripe account."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from app.errors import Refused
from app.ledger.customer_ids import assign_customers
from app.payments.stripe.gateway import Gateway
from app.payments.stripe.stripe_objects import reference, whole_number
from app.rules.customer_match import (
    ID_PROPERTIES,
    ClientMatch,
    MappableClient,
    StripeCustomer,
    matches,
    stale_mappings,
)
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client

CLIENTS = table_of(Client)
# Customers and clients between two reports of the progress: a page of Stripe's list.
REPORTED_EACH = 100

TellProgress = Callable[[str, int], None]
"""Is told how far it is: `customers` that were read, `clients` that were matched."""


@dataclass(frozen=True, slots=True)
class MappingPlan:
    """All clients without a customer, and those whose customer Stripe does not have."""

    matches: Sequence[ClientMatch]
    stale: Sequence[MappableClient]
    customers: Mapping[str, StripeCustomer]

    @property
    def certain(self) -> dict[int, str]:
        """The pairs without a doubt: the customer by the client's id."""
        return {
            one.client.id: one.candidates[0].customer.id for one in self.matches if one.is_certain
        }


async def plan_mapping(database: Database, gateway: Gateway, tell: TellProgress) -> MappingPlan:
    """Read all customers of the account, and match them. Nothing is written."""
    customers: dict[str, StripeCustomer] = {}
    async for one in gateway.customers():
        if (found := _customer(one)) is not None:
            customers[found.id] = found
        if len(customers) % REPORTED_EACH == 0:
            tell("customers", len(customers))
    tell("customers", len(customers))
    clients = await _load_clients(database)
    listed, made = list(customers.values()), []
    for count, match in enumerate(matches(clients, listed), 1):
        made.append(match)
        if count % REPORTED_EACH == 0:
            tell("clients", count)
    tell("clients", len(made))
    return MappingPlan(made, stale_mappings(clients, listed), customers)


async def write_mapping(
    database: Database,
    gateway: Gateway,
    certain: Mapping[int, str],
    chosen: Mapping[int, str],
    *,
    who: str,
) -> dict[int, str]:
    """Write the pairs that are still right, and those that a person chose; answers both.

    Everything is read again first: while a person looked at the plan, a customer may have been
    deleted, or a second one of the same name made. A chosen customer must exist.
    """
    plan = await plan_mapping(database, gateway, lambda *_: None)
    missing = sorted(set(chosen.values()) - plan.customers.keys())
    if missing:
        raise Refused(f"Stripe has no customer {missing[0]} under this key")
    still = {
        client: customer
        for client, customer in certain.items()
        if plan.certain.get(client) == customer and client not in chosen
    }
    wanted = {**still, **chosen}
    async with database.transaction() as tx:
        await assign_customers(tx, wanted, who=who, now=database.now())
    return wanted


async def _load_clients(database: Database) -> list[MappableClient]:
    columns = (
        CLIENTS.c.id, CLIENTS.c.name, CLIENTS.c.email, CLIENTS.c.country, CLIENTS.c.inactive,
        CLIENTS.c.stripe_customer_id,
    )  # fmt: skip
    async with database.snapshot() as tx:
        found = await tx.execute(select(*columns).order_by(CLIENTS.c.id))
        return [MappableClient(*row) for row in found]


def _customer(found: Mapping[str, Any]) -> StripeCustomer | None:
    """A customer as Stripe lists it; None for one that is deleted or cannot be read."""
    customer_id = reference(found)
    if customer_id is None or found.get("deleted"):
        return None
    names = [found.get(one) for one in ("name", "business_name", "individual_name")]
    # HaloPSA and older integrations write the name into the description alone.
    known = [one for one in names if one] or [found.get("description")]
    address, metadata = found.get("address") or {}, found.get("metadata") or {}
    numbers = (whole_number(metadata.get(one)) for one in ID_PROPERTIES)
    return StripeCustomer(
        customer_id,
        tuple(dict.fromkeys(one for one in known if isinstance(one, str) and one)),
        _text(found.get("email")),
        _text(address.get("country")),
        frozenset(one for one in numbers if one is not None),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

"""GET, POST and DELETE /InvoicePayment."""

from collections.abc import Collection, Mapping
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Text, column, select, table

from app.halo.engine import json_schema
from app.halo.engine.resource import (
    ALL_VERBS,
    AttachedFields,
    Resource,
    contains,
    equals,
    one_of,
    searched,
)
from app.halo.resources import passthrough
from app.storage.column_types import BigId, table_of
from app.storage.engines import Tx
from app.storage.prepared import any_of
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_events import StripeEvent

# `invoices` imports this module to show payments inside invoices; two columns suffice here.
_INVOICES = table("invoice", column("id", BigId), column("invoicenumber", Text))
_CLIENT_NAME = select(Client.name).where(Client.id == InvoicePayment.client_id).scalar_subquery()
_INVOICENUMBER = (
    select(_INVOICES.c.invoicenumber)
    .where(_INVOICES.c.id == InvoicePayment.invoice_id)
    .scalar_subquery()
)


def _search(said: ColumnElement[str]) -> list[ColumnElement[bool]]:
    own = (InvoicePayment.intent_id, InvoicePayment.charge_id, InvoicePayment.reference)
    named = select(Client.id).where(contains(Client.name, said))
    numbered = select(_INVOICES.c.id).where(contains(_INVOICES.c.invoicenumber, said))
    return [
        *(contains(one, said) for one in own),
        InvoicePayment.client_id.in_(named),
        InvoicePayment.invoice_id.in_(numbered),
    ]


async def _told_by_events(tx: Tx, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """The raw bodies of these events, each with the Stripe object that it is about."""
    return {
        event_id: {"webhook_payload": payload.decode(), "intent_response": _object_of(payload)}
        for event_id, payload in await tx.execute(_PAYLOADS, {"ids": list(ids)})
    }


_PAYLOADS = select(StripeEvent.event_id, StripeEvent.payload).where(
    any_of(table_of(StripeEvent).c.event_id, "ids")
)


def _object_of(payload: bytes) -> str:
    return orjson.dumps(orjson.loads(payload)["data"]["object"]).decode()


INVOICE_PAYMENTS = Resource(
    path="InvoicePayment",
    table=InvoicePayment,
    verbs=ALL_VERBS,
    filters={
        "intent_id": equals(InvoicePayment.intent_id),
        "invoice_id": equals(InvoicePayment.invoice_id),
        "invoice_ids": one_of(InvoicePayment.invoice_id),
        "client_id": equals(InvoicePayment.client_id),
        "search": searched(_search),
    },
    derived={"client_name": _CLIENT_NAME, "invoice_invoicenumber": _INVOICENUMBER},
    attached=AttachedFields(InvoicePayment.webhook_event_id, _told_by_events),
    further={"webhook_payload": json_schema.TEXT},
    wider=passthrough.INVOICE_PAYMENT,
)

"""GET, POST and DELETE /AutopayLimit: what autopay takes at most by itself. Not HaloPSA's."""

from app.halo.engine.parsing import reference
from app.halo.engine.resource import ALL_VERBS, Field, Listing, Resource
from app.halo.resources.autopay_rule_resource import CURRENCY, currency, word_field
from app.halo.resources.shared_fields import DATE_CREATED, ID, LAST_MODIFIED
from app.rules.autopay_limit import LimitKind
from app.storage.tables.autopay_policies import AutopayLimit

AUTOPAY_LIMITS = Resource(
    path="AutopayLimit",
    table=AutopayLimit,
    verbs=ALL_VERBS,
    group="autopay",
    fields={
        "id": ID,
        "kind": word_field(
            "`invoice` (each invoice), `client` (a client's charges of a day), `day` (all charges "
            "of a day) or `run`. Required.",
            LimitKind,
        ),
        "currency": Field(
            "The currency whose charges it is about, an ISO code. Required.",
            currency,
            schema=CURRENCY,
        ),
        "amount": Field(
            "What is taken at most; an invoice that would pass it waits for an approval. Required."
        ),
        "client_id": Field("Only charges of this client; null is every client's.", reference),
        "date_created": DATE_CREATED,
        "last_modified": LAST_MODIFIED,
    },
    listing=Listing(envelope="limits"),
)

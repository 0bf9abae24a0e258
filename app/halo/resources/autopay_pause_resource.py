"""GET, POST and DELETE /AutopayPause: no automatic charge for a while. Not HaloPSA's."""

from app.halo.engine.filters import Equals
from app.halo.engine.parsing import reference, short_text
from app.halo.engine.resource import ALL_VERBS, Field, Listing, Resource
from app.halo.resources.shared_fields import ID
from app.storage.tables.autopay_policies import AutopayPause

AUTOPAY_PAUSES = Resource(
    path="AutopayPause",
    table=AutopayPause,
    verbs=ALL_VERBS,
    group="autopay",
    only=(AutopayPause.ended_at.is_(None),),
    fields={
        "id": ID,
        "client_id": Field("Only this client's invoices.", reference),
        "invoice_id": Field(
            "Only this invoice. With neither, nothing is charged by autopay.", reference
        ),
        "reason": Field("Why; every invoice that it holds says so. Required.", short_text),
        "until": Field("The first day on which autopay goes on; null until a DELETE ends it."),
        "paused_by": Field("Who paused it.", read_only=True),
        "paused_at": Field("When.", read_only=True),
    },
    listing=Listing(
        envelope="pauses",
        filters={
            "client_id": Equals(AutopayPause.client_id, reference),
            "invoice_id": Equals(AutopayPause.invoice_id, reference),
        },
    ),
)

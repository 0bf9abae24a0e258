"""GET and DELETE /PayLink: links to a page that shows what is owed and takes it. Not HaloPSA's."""

from app.halo.engine.filters import Equals
from app.halo.engine.parsing import reference
from app.halo.engine.resource import LIST, READ, REMOVE, Field, Listing, Resource
from app.halo.resources.shared_fields import ID
from app.storage.tables.customer_links import PayLink

PAY_LINKS = Resource(
    path="PayLink",
    table=PayLink,
    verbs=(LIST, READ, REMOVE),
    fields={
        "id": ID,
        "invoice_id": Field("The invoice that it is for.", reference, read_only=True),
        "client_id": Field(
            "The client whose open invoices it is for, where it names no invoice.",
            reference,
            read_only=True,
        ),
        "allows_portal": Field(
            "Whether its page leads to the client's payment methods at Stripe.", read_only=True
        ),
        "made_by": Field("Who made it.", read_only=True),
        "made_at": Field("When.", read_only=True),
        "expires_at": Field("From then on it opens nothing.", read_only=True),
        "revoked_by": Field("Who revoked it.", read_only=True),
        "revoked_at": Field("When.", read_only=True),
        "sessions": Field("Checkout Sessions that were begun by it.", read_only=True),
        "last_session_id": Field("The newest of them.", read_only=True),
        "last_session_at": Field("When it was opened.", read_only=True),
    },
    listing=Listing(
        envelope="links",
        filters={
            "invoice_id": Equals(PayLink.invoice_id, reference),
            "client_id": Equals(PayLink.client_id, reference),
        },
    ),
)

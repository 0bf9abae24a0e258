"""GET /Mail: messages of the outbox, waiting and sent. Not HaloPSA's."""

from app.halo.engine.filters import Equals
from app.halo.engine.parsing import reference, short_text
from app.halo.engine.resource import LIST, READ, Field, Listing, Resource
from app.halo.resources.shared_fields import ID
from app.storage.tables.outbox_messages import OutboxMessage

MAIL = Resource(
    path="Mail",
    table=OutboxMessage,
    verbs=(LIST, READ),
    group="mail",
    fields={
        "id": ID,
        "channel": Field("`mail` or `webhook`.", read_only=True),
        "kind": Field("What it tells, such as `receipt`.", read_only=True),
        "state": Field(
            "`queued`, `sending`, `sent`, `failed`, `skipped`, or `unknown`: it may have been "
            "sent.",
            read_only=True,
        ),
        "client_id": Field("`id` of the client that it is for.", read_only=True),
        "invoice_id": Field("`id` of the invoice, or of the first one.", read_only=True),
        "recipient": Field("The addresses that it was sent to.", read_only=True),
        "subject": Field("Its subject as it was sent.", read_only=True),
        "text_body": Field("Its text as it was sent.", read_only=True),
        "html_body": Field("Its HTML as it was sent.", read_only=True),
        "message_id": Field("Its Message-ID, the same at every try.", read_only=True),
        "created_at": Field("When it was queued.", read_only=True),
        "next_try_at": Field("When it is tried next, while it is `queued`.", read_only=True),
        "tries": Field("How often it was tried.", read_only=True),
        "sent_at": Field("When the server took it.", read_only=True),
        "error": Field("Why it was not sent.", read_only=True),
    },
    listing=Listing(
        envelope="mails",
        filters={
            "state": Equals(OutboxMessage.state, short_text),
            "kind": Equals(OutboxMessage.kind, short_text),
            "client_id": Equals(OutboxMessage.client_id, reference),
            "invoice_id": Equals(OutboxMessage.invoice_id, reference),
        },
    ),
)

"""GET and POST /InvoiceChange: the audit of invoices, oldest first."""

from app.halo.engine.filters import Equals, Search, contains
from app.halo.engine.resource import LIST, SAVE, Field, Input, Listing, Resource
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import ID
from app.storage.tables.invoices import InvoiceChange

_SEARCHED = (
    InvoiceChange.field_name,
    InvoiceChange.old_value,
    InvoiceChange.new_value,
    InvoiceChange.who,
)

INVOICE_CHANGES = Resource(
    path="InvoiceChange",
    table=InvoiceChange,
    verbs=(LIST, SAVE),
    fields={
        "id": ID,
        "invoice_id": Field("The invoice's `id`. Required."),
        "invoice_line_id": Field("`id` of the line that was changed."),
        "invoice_detail_quantity_id": Field(
            "HaloPSA's number of a quantity row; a change that Paydue records has none."
        ),
        "invoice_detail_prorata_id": Field(
            "HaloPSA's number of a pro rata row; a change that Paydue records has none."
        ),
        "type_id": Field("HaloPSA's number for a kind of change; Paydue records 0."),
        "field_id": Field("HaloPSA's number of the field; Paydue records 0 and `field_name`."),
        "field_name": Field("The field that was changed."),
        "old_value": Field("The field's value before the change."),
        "new_value": Field("The field's value after the change."),
        "who": Field("The credential that changed it; a POST may say another."),
        "datetime": Field("When it was changed; now, when a POST does not say."),
        "access_id": Field(
            "The number of the credential that really wrote it; none for Stripe's events, the "
            "worker and commands.",
            read_only=True,
        ),
        "written_at": Field("When it was really written.", read_only=True),
    },
    listing=Listing(
        filters={
            "invoice_id": Equals(InvoiceChange.invoice_id),
            "line_id": Equals(InvoiceChange.invoice_line_id),
            "type_id": Equals(InvoiceChange.type_id),
            "search": Search(lambda text: [contains(column, text) for column in _SEARCHED]),
        }
    ),
    input=Input(passthrough=passthrough(texts="_warning")),
)

"""How the audit of invoices is offered: who changed what, newest last."""

from app.halo.engine.resource import LIST, SAVE, Resource, contains, equals, searched
from app.halo.resources.passthrough import passthrough
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
    filters={
        "invoice_id": equals(InvoiceChange.invoice_id),
        "line_id": equals(InvoiceChange.invoice_line_id),
        "type_id": equals(InvoiceChange.type_id),
        "search": searched(lambda said: [contains(column, said) for column in _SEARCHED]),
    },
    wider=passthrough(texts="_warning"),
)

"""GET and POST /Expense."""

from sqlalchemy import select

from app.halo.engine.parsing import reference
from app.halo.engine.resource import LIST, SAVE, Derived, Field, Input, Output, Resource
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import CLIENT_ID, CLIENT_NAME, ID
from app.storage.tables.clients import Client
from app.storage.tables.expenses import Expense
from app.storage.tables.lookups import Lookup

EXPENSES = Resource(
    path="Expense",
    table=Expense,
    verbs=(LIST, SAVE),
    fields={
        "id": ID,
        "agent_id": Field("The number of the agent who spent the money."),
        "fault_id": Field("The number of the ticket that the expense belongs to."),
        "actionnumber": Field("The number of that ticket's action."),
        "description": Field("The expense in words."),
        "amount": Field("The money spent: the price of the line whose `expense_id` names it."),
        "lookup_id": Field("The expense's type: `id` of a lookup of list 35."),
        "date_added": Field("When it was entered; now, when it is created without it."),
        "date_reimbursed": Field("When the agent got the money back."),
        "date_invoiced": Field(
            "When the client was invoiced for it; written when a line bills it."
        ),
        "invoiceable": Field("Whether the client is to be invoiced for it."),
        "ihid": Field("`id` of the invoice that has it.", reference),
        "client_id": CLIENT_ID,
        "client_to_invoice_to_id": Field("`id` of the client who is invoiced for it.", reference),
        "site_id": Field("The site's `id`.", reference),
        "reviewed": Field("Whether somebody has reviewed it."),
        "reviewed_agent_id": Field("The number of the agent who reviewed it."),
    },
    output=Output(
        derived={
            "client_name": Derived(
                CLIENT_NAME,
                select(Client.name).where(Client.id == Expense.client_id).scalar_subquery(),
            ),
            "type_name": Derived(
                "The name of the lookup that `lookup_id` is the `id` of.",
                select(Lookup.name).where(Lookup.id == Expense.lookup_id).scalar_subquery(),
            ),
        }
    ),
    input=Input(
        passthrough=passthrough(flags="can_review", texts="_warning", others="customfields")
    ),
)

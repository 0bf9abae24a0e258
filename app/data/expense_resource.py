"""GET and POST /Expense."""

from sqlalchemy import select

from app.data.clients import Client
from app.data.expenses import Expense
from app.data.lookups import Lookup
from app.data.resource import LIST, SAVE, Resource
from app.data.wider import known

EXPENSES = Resource(
    path="Expense",
    table=Expense,
    verbs=(LIST, SAVE),
    derived={
        "client_name": select(Client.name).where(Client.id == Expense.client_id).scalar_subquery(),
        "type_name": select(Lookup.name).where(Lookup.id == Expense.lookup_id).scalar_subquery(),
    },
    wider=known(flags="can_review", texts="_warning", others="customfields"),
)

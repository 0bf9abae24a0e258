"""GET and POST /Expense."""

from sqlalchemy import select

from app.halo.engine.resource import LIST, SAVE, Resource
from app.halo.resources.passthrough import passthrough
from app.storage.tables.clients import Client
from app.storage.tables.expenses import Expense
from app.storage.tables.lookups import Lookup

EXPENSES = Resource(
    path="Expense",
    table=Expense,
    verbs=(LIST, SAVE),
    derived={
        "client_name": select(Client.name).where(Client.id == Expense.client_id).scalar_subquery(),
        "type_name": select(Lookup.name).where(Lookup.id == Expense.lookup_id).scalar_subquery(),
    },
    wider=passthrough(flags="can_review", texts="_warning", others="customfields"),
)

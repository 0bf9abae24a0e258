"""GET, POST and DELETE /BudgetType."""

from app.halo.engine.filters import Equals
from app.halo.engine.resource import ALL_VERBS, Field, Input, Listing, Resource
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import ID
from app.storage.tables.catalogue import BudgetType

BUDGET_TYPES = Resource(
    path="BudgetType",
    table=BudgetType,
    verbs=ALL_VERBS,
    fields={
        "id": ID,
        "name": Field("The budget type's name. Required."),
        "defaultrate": Field("The rate of an hour of this type; no invoice is priced by it."),
        "chargerate": Field("The number of a charge rate of this type; it is not looked up."),
        "ticket_id": Field("A ticket's number; the list's parameter `ticket_id` compares it."),
    },
    listing=Listing(filters={"ticket_id": Equals(BudgetType.ticket_id)}),
    input=Input(passthrough=passthrough(texts="_warning")),
)

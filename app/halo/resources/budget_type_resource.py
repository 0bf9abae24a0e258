"""GET, POST and DELETE /BudgetType."""

from app.halo.engine.resource import ALL_VERBS, Resource, equals
from app.halo.resources.passthrough import passthrough
from app.storage.tables.catalogue import BudgetType

BUDGET_TYPES = Resource(
    path="BudgetType",
    table=BudgetType,
    verbs=ALL_VERBS,
    filters={"ticket_id": equals(BudgetType.ticket_id)},
    wider=passthrough(texts="_warning"),
)

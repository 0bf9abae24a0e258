"""GET, POST and DELETE /BudgetType."""

from app.data.catalogue import BudgetType
from app.data.resource import ALL_VERBS, Resource, equals
from app.data.wider import known

BUDGET_TYPES = Resource(
    path="BudgetType",
    table=BudgetType,
    verbs=ALL_VERBS,
    filters={"ticket_id": equals(BudgetType.ticket_id)},
    wider=known(texts="_warning"),
)

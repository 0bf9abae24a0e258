"""GET, POST and DELETE /CostCentres."""

from app.data.catalogue import CostCentre
from app.data.resource import ALL_VERBS, Resource
from app.data.wider import known

COST_CENTRES = Resource(
    path="CostCentres", table=CostCentre, verbs=ALL_VERBS, wider=known(texts="_warning")
)

"""GET, POST and DELETE /CostCentres."""

from app.halo.engine.resource import ALL_VERBS, Resource
from app.halo.resources.passthrough import passthrough
from app.storage.tables.catalogue import CostCentre

COST_CENTRES = Resource(
    path="CostCentres", table=CostCentre, verbs=ALL_VERBS, wider=passthrough(texts="_warning")
)

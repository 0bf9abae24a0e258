"""GET, POST and DELETE /CostCentres."""

from app.halo.engine.resource import ALL_VERBS, Field, Input, Resource
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import ID
from app.storage.tables.catalogue import CostCentre

COST_CENTRES = Resource(
    path="CostCentres",
    table=CostCentre,
    verbs=ALL_VERBS,
    fields={
        "id": ID,
        "name": Field("The cost centre's name. Required."),
        "chargeable": Field("Whether its work is charged to clients."),
        "addr1": Field("The first line of its address."),
        "addr2": Field("The second line of its address."),
        "addr3": Field("The third line of its address."),
        "addr4": Field("The fourth line of its address."),
    },
    input=Input(passthrough=passthrough(texts="_warning")),
)

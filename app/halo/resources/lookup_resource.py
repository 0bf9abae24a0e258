"""GET /lookup."""

from app.halo.engine.filters import Equals
from app.halo.engine.resource import LIST, Field, Listing, Resource
from app.halo.resources.shared_fields import ID
from app.storage.tables.lookups import Lookup

LOOKUPS = Resource(
    path="lookup",
    table=Lookup,
    verbs=(LIST,),
    fields={
        "id": ID,
        "lookupid": Field(
            "The list it stands in: 17 are the charge types of ChargeRate, 35 the types of Expense."
        ),
        "name": Field("The entry's name."),
    },
    listing=Listing(filters={"lookupid": Equals(Lookup.lookupid)}),
)

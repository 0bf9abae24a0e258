"""GET /lookup."""

from app.halo.engine.resource import LIST, Resource, equals
from app.storage.tables.lookups import Lookup

LOOKUPS = Resource(
    path="lookup", table=Lookup, verbs=(LIST,), filters={"lookupid": equals(Lookup.lookupid)}
)

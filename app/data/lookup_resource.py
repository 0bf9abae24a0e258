"""GET /lookup."""

from app.data.lookups import Lookup
from app.data.resource import LIST, Resource, equals

LOOKUPS = Resource(
    path="lookup", table=Lookup, verbs=(LIST,), filters={"lookupid": equals(Lookup.lookupid)}
)

"""Fields that mean the same in every resource that has them."""

from app.halo.engine.parsing import reference
from app.halo.engine.resource import Field

ID = Field("The record's number. Without it, or with 0, a POST creates.")
CLIENT_ID = Field("The client's `id`.", reference)
DATE_CREATED = Field("When it was created.", read_only=True)
LAST_MODIFIED = Field("When it was changed last.", read_only=True)

CLIENT_NAME = "The client's name."
"""The text of `client_name`, which each resource derives by an expression of its own."""

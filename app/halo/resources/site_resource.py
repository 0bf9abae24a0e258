"""GET, POST and DELETE /Site."""

from sqlalchemy import select

from app.halo.engine.filters import Equals, ExcludedWhenFalse, References, Search, contains
from app.halo.engine.resource import ALL_VERBS, Derived, Field, Input, Listing, Output, Resource
from app.halo.resources.shared_fields import (
    CLIENT_ID,
    CLIENT_NAME,
    DATE_CREATED,
    ID,
    LAST_MODIFIED,
)
from app.storage.tables.clients import Client, Site

_WITHOUT = "When false, without the {} ones."

SITES = Resource(
    path="Site",
    table=Site,
    verbs=ALL_VERBS,
    group="customers",
    fields={
        "id": ID,
        "name": Field("The site's name. Required."),
        "client_id": CLIENT_ID,
        "inactive": Field("Whether the site is not used any more."),
        "phonenumber": Field("The site's telephone number; `search` finds it."),
        "date_created": DATE_CREATED,
        "last_modified": LAST_MODIFIED,
    },
    listing=Listing(
        envelope="sites",
        filters={
            "client_id": References(Site.client_id),
            "inactive": Equals(Site.inactive),
            "includeinactive": ExcludedWhenFalse(
                Site.inactive.is_(True), _WITHOUT.format("inactive")
            ),
            "includeactive": ExcludedWhenFalse(Site.inactive.is_(False), _WITHOUT.format("active")),
            "search": Search(
                lambda text: [contains(column, text) for column in (Site.name, Site.phonenumber)]
            ),
        },
    ),
    output=Output(
        derived={
            "client_name": Derived(
                CLIENT_NAME,
                select(Client.name).where(Client.id == Site.client_id).scalar_subquery(),
            )
        }
    ),
    input=Input(keeps_unknown=True),
    held_by=("invoice.sitenumber",),
)

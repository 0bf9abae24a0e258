"""GET, POST and DELETE /Site."""

from sqlalchemy import select

from app.halo.engine.filters import excluded_when_false
from app.halo.engine.resource import ALL_VERBS, Resource, contains, equals, searched
from app.storage.tables.clients import Client, Site

_WITHOUT = "When false, without the {} ones."

SITES = Resource(
    path="Site",
    table=Site,
    verbs=ALL_VERBS,
    group="customers",
    envelope="sites",
    filters={
        "client_id": equals(Site.client_id),
        "inactive": equals(Site.inactive),
        "includeinactive": excluded_when_false(
            Site.inactive.is_(True), _WITHOUT.format("inactive")
        ),
        "includeactive": excluded_when_false(Site.inactive.is_(False), _WITHOUT.format("active")),
        "search": searched(
            lambda said: [contains(column, said) for column in (Site.name, Site.phonenumber)]
        ),
    },
    derived={
        "client_name": select(Client.name).where(Client.id == Site.client_id).scalar_subquery()
    },
    keeps_all=True,
    held_by=("invoice.sitenumber",),
)

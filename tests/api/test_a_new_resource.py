"""Another small resource takes one table, one Resource, and one line of routes."""

from collections.abc import AsyncIterator
from decimal import Decimal

import aiohttp
import pytest
from sqlalchemy.orm import Mapped

from app.halo.access.api_credentials import create_credential
from app.halo.engine.filters import Equals
from app.halo.engine.resource import ALL_VERBS, Field, Listing, Resource
from app.halo.engine.resource_routes import resource_routes
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.column_types import Id, Row, table_of
from app.storage.engines import Database
from tests.api.client import Api
from tests.clock import NOW, Clock

pytestmark = pytest.mark.anyio


class Teapot(Row):
    __tablename__ = "teapot"

    id: Mapped[Id]
    name: Mapped[str]
    litres: Mapped[Decimal | None]


# The tests of the schema compare every table with the migrations; this one has none.
Row.metadata.remove(table_of(Teapot))

TEAPOTS = Resource(
    path="Teapot",
    table=Teapot,
    verbs=ALL_VERBS,
    fields={
        "id": Field("The teapot's number."),
        "name": Field("The teapot's name."),
        "litres": Field("The tea that it holds."),
    },
    listing=Listing(filters={"litres": Equals(Teapot.litres)}),
)


@pytest.fixture
async def teapots(database: Database, clock: Clock) -> AsyncIterator[Api]:
    async with database.transaction() as tx:
        await tx.run_sync(table_of(Teapot).create)
        credentials = await create_credential(tx, "tests", ["all"], NOW)
    app = create_app(
        Settings(_env_file=None), database, clock=clock, extra_routes=resource_routes(TEAPOTS)
    )
    async with serve_in_loop(app) as base, aiohttp.ClientSession(base) as session:
        api = Api(session, database)
        await api.sign_in(*credentials)
        yield api


async def test_a_new_resource_is_listed_created_read_changed_and_deleted(teapots: Api) -> None:
    brown, blue = await teapots.post(
        "/api/Teapot", {"name": "Brown Betty", "litres": "1.1"}, {"name": "Blue"}
    )

    changed = await teapots.post("/api/Teapot", {"id": blue["id"], "litres": 0.5})

    assert brown == {"id": brown["id"], "name": "Brown Betty", "litres": Decimal("1.1")}
    assert changed == {"id": blue["id"], "name": "Blue", "litres": Decimal("0.5")}
    assert await teapots.get("/api/Teapot") == [brown, changed]
    assert await teapots.get("/api/teapot", litres="1.10") == [brown]
    assert await teapots.get("/api/Teapot", order="name", idonly="true") == [
        {"id": blue["id"]},
        {"id": brown["id"]},
    ]
    assert await teapots.get(f"/api/Teapot/{brown['id']}") == brown
    gone = await teapots.send("DELETE", f"/api/Teapot/{brown['id']}")
    assert (gone.status, gone.json) == (200, {"id": brown["id"]})
    assert await teapots.get("/api/Teapot") == [changed]
    refused = await teapots.send("POST", "/api/Teapot", json={"litres": 1})
    assert (refused.status, refused.json["Message"]) == (400, "name: is required")

"""A served Paydue that all tests of a module share: each looks only at records of its own."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from sqlalchemy import select

from app.halo.access.api_credentials import create_credential
from app.node import open_node
from app.serving import serve_in_loop
from app.storage.engines import Database
from app.storage.tables.credentials import ApiCredential
from tests.api.client import Api
from tests.clock import Clock
from tests.harness import ANSWER_LIMIT_S, NO_STRIPE, settings_for, signed


@dataclass(frozen=True)
class Service:
    url: str
    database: Database
    clock: Clock
    api: Api
    credentials: tuple[str, str]

    async def later(self, **span: float) -> None:
        """So much time passes; whoever uses the API buys a new token meanwhile."""
        self.clock.advance(**span)
        await self.api.sign_in(*self.credentials)

    async def deliver(self, event: dict[str, Any]) -> None:
        """An event as Stripe delivers it."""
        body = orjson.dumps(event)
        headers = {"Stripe-Signature": signed(body)}
        answer = await self.api.send("POST", "/stripe/webhook", data=body, headers=headers)
        assert answer.status == 200, answer.text

    async def caller_id(self) -> int:
        """The number of the credentials that `api` uses."""
        mine = select(ApiCredential.id).where(ApiCredential.client_id == self.credentials[0])
        async with self.database.snapshot() as tx:
            found = await tx.scalar(mine)
        assert found is not None
        return found

    async def access(self, *scopes: str) -> tuple[str, str]:
        """Credentials of somebody else."""
        async with self.database.transaction() as tx:
            return await create_credential(tx, "another", scopes, self.clock())

    @contextlib.asynccontextmanager
    async def signed_in(self, *scopes: str) -> AsyncIterator[Api]:
        """Another client of the API, with these rights only."""
        async with aiohttp.ClientSession(self.url) as session:
            api = Api(session, self.database)
            await api.sign_in(*await self.access(*scopes))
            yield api


@contextlib.asynccontextmanager
async def running(database_url: str) -> AsyncIterator[Service]:
    clock = Clock()
    async with (
        open_node(
            settings_for(database_url, NO_STRIPE), clock=clock, answer_limit_s=ANSWER_LIMIT_S
        ) as node,
        serve_in_loop(node.web_application()) as url,
        aiohttp.ClientSession(url) as session,
    ):
        async with node.database.transaction() as tx:
            credentials = await create_credential(tx, "tests", ["all"], clock())
        api = Api(session, node.database)
        await api.sign_in(*credentials)
        yield Service(url, node.database, clock, api, credentials)

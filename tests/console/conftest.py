"""A console that the tests of a module share, with a clock that they move; users of their own."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from app.console.people import users
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.storage.engines import Database
from tests.clock import Clock
from tests.console.browser import Browser
from tests.console.screen import screen
from tests.service import Service

__all__ = ["screen"]  # a fixture, which the tests in the browser ask for by its name

_numbers = itertools.count(1)


@dataclass
class Console:
    """A served console. Each browser is a stranger until it signs in."""

    service: Service
    http: aiohttp.ClientSession

    @property
    def database(self) -> Database:
        return self.service.database

    @property
    def clock(self) -> Clock:
        return self.service.clock

    def browser(self) -> Browser:
        return Browser(self.http)

    def act(self) -> Act:
        return Act("tests", self.clock())

    async def a_user(self, role: str = "viewer") -> str:
        """The login of a new user."""
        login = f"user{next(_numbers)}"
        async with self.database.transaction() as tx:
            await users.add_user(tx, login, name="Ada", role=Role(role), act=self.act())
        return login

    async def a_link(self, login: str) -> str:
        async with self.database.transaction() as tx:
            return await users.issue_link(tx, await users.load_user(tx, login), self.act())

    async def signed_in(self, role: str = "viewer", login: str | None = None) -> Browser:
        """A browser of a new user, or of this one."""
        browser = self.browser()
        shown = await browser.follow(await self.a_link(login or await self.a_user(role)))
        assert shown.status == 303, shown.text
        return browser


@pytest.fixture
async def console(service: Service) -> AsyncIterator[Console]:
    async with aiohttp.ClientSession(service.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Console(service, http)

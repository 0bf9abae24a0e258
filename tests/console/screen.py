"""A window of Debian's Chromium over a furnished house, which notes what went wrong in it."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from app.console.people.roles import Role
from tests.conftest import absent
from tests.console.furnished import a_link, furnished
from tests.harness import Paydue
from tests.patience import wait_limit


@dataclass
class Screen:
    """A browser's window that notes what went wrong, and whom it asked."""

    house: Paydue
    context: BrowserContext
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    async def page(self, width: int, theme: str) -> Page:
        page = await self.context.new_page()
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.on("console", lambda said: self._note(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        return page

    def _note(self, text: str) -> None:
        self.errors.append(text)


@contextlib.asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        absent("no chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
async def screen(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Screen]:
    """A window of an admin over a house that its module may change."""
    database = shutil.copy(sqlite_template, tmp_path_factory.mktemp("browser") / "paydue.db")
    async with furnished(f"sqlite:///{database}") as house, open_chromium() as browser:
        context = await browser.new_context(base_url=house.url)
        context.set_default_timeout(wait_limit(15) * 1000)
        page = await context.new_page()
        await page.goto(await a_link(house, Role.ADMIN))
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/account/**")
        await page.close()
        yield Screen(house, context)

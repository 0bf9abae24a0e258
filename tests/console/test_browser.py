"""The console in Debian's Chromium: keys, the box, accessibility, and nothing from elsewhere."""

from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.async_api import Page

from app.console.people.roles import Role
from tests.console.furnished import a_link, page_paths
from tests.console.screen import Screen

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(900)]

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
ALL_RULES = "['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']"
# The rules whose result depends on the theme or the width.
RULES_OF_SIGHT = "['color-contrast', 'target-size', 'link-in-text-block']"


async def _problems(page: Page, rules: str) -> list[str]:
    options = f"{{resultTypes: ['violations'], runOnly: {rules}}}"
    violations = await page.evaluate(f"axe.run({options}).then(found => found.violations)")
    problems = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in violations]
    is_wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [*problems, *(["wider than the window"] if is_wide else [])]


# Files, parts of pages, and a redirect.
NO_PAGES = (".csv", "/pdf", ".png", "/payload", "/body", "/hits", "/assign")
# Bytes on the wire of a page that nothing is cached of, and of all scripts in it.
PAGE_MAX = 60 * 1024
SCRIPT_MAX = 20 * 1024


class Wire:
    """What a page brought over the wire, by the kind of the resource."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self._kinds: dict[str, str] = {}

    async def watch(self, page: Page) -> None:
        devices = await page.context.new_cdp_session(page)
        devices.on("Network.responseReceived", self._begun)
        devices.on("Network.loadingFinished", self._ended)
        await devices.send("Network.enable")
        await devices.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _begun(self, received: dict[str, Any]) -> None:
        self._kinds[received["requestId"]] = received["type"]

    def _ended(self, finished: dict[str, Any]) -> None:
        kind = self._kinds.get(finished["requestId"], "Other")
        self.bytes[kind] += int(finished["encodedDataLength"])


async def _looked_at(page: Page) -> list[str]:
    """What axe finds in light and wide by all its rules, in dark and narrow by those of sight."""
    problems = []
    await page.evaluate(AXE.read_text())
    for width, theme, rules in ((1280, "light", ALL_RULES), (390, "dark", RULES_OF_SIGHT)):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        problems += [f"{theme}: {one}" for one in await _problems(page, rules)]
    return problems


async def _opened(page: Page, path: str, wire: Wire) -> list[str]:
    """What is wrong with the page at a path, as it is opened for the first time."""
    wire.bytes.clear()
    await page.goto(path, wait_until="networkidle")
    problems = [] if page.url.endswith(path) else [f"leads to {page.url}"]
    whole, scripts = wire.bytes.total(), wire.bytes["Script"]
    assert wire.bytes["Stylesheet"], "the wire is heard"
    if whole > PAGE_MAX or scripts > SCRIPT_MAX:
        problems.append(f"{whole} bytes, {scripts} of scripts")
    return [*problems, *await _looked_at(page)]


async def test_every_page_is_accessible_and_light_and_asks_nobody_else(screen: Screen) -> None:
    paths = await page_paths(screen.house)
    pages = {one: path for one, path in paths.items() if not one.endswith(NO_PAGES)}
    page, wire = await screen.page(1280, "light"), Wire()
    await wire.watch(page)

    found = {route: await _opened(page, path, wire) for route, path in pages.items()}

    assert len(found) > 50
    assert {route: problems for route, problems in found.items() if problems} == {}
    assert screen.errors == []
    assert screen.hosts == {urlsplit(screen.house.url).netloc}
    await page.close()


async def test_the_pages_before_the_sign_in_are_too(screen: Screen) -> None:
    browser = screen.context.browser
    assert browser is not None
    context = await browser.new_context(base_url=screen.house.url)
    page, wire = await context.new_page(), Wire()
    await wire.watch(page)
    link = await a_link(screen.house, Role.VIEWER, "stranger")

    found = {path: await _opened(page, path, wire) for path in ("/sign-in", link)}

    assert {path: problems for path, problems in found.items() if problems} == {}
    await context.close()


async def test_a_payment_is_found_read_and_left_with_keys_alone(screen: Screen) -> None:
    page = await screen.page(1280, "light")
    await page.goto("/")
    await page.keyboard.press("/")
    await page.keyboard.type("acme")
    await page.locator("#hits [data-of=acme]").get_by_text("Acme Dental", exact=True).wait_for()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/clients/1")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("120.00 usd")
    found = page.locator('#hits [data-of="120.00 usd"]')
    await found.get_by_text("120.00 USD, Acme Dental").first.wait_for()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/payments/pi_*")
    await page.keyboard.press("o")
    payload = page.get_by_role("region", name="Payload of").first
    await payload.wait_for()
    assert '"object": "event"' in await payload.inner_text()

    await page.goto("/payments")
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await page.get_by_text("1 selected").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/payments/pi_*")
    assert screen.errors == []
    await page.close()


async def test_the_box_and_the_filters_work_without_javascript(screen: Screen) -> None:
    state = await screen.context.storage_state()
    browser = screen.context.browser
    assert browser is not None
    context = await browser.new_context(
        base_url=screen.house.url, java_script_enabled=False, storage_state=state
    )
    page = await context.new_page()

    await page.goto("/")
    await page.get_by_role("combobox", name="Search").fill("INV-7001")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/invoices/1")
    await page.goto("/payments")
    await page.get_by_text("Filter", exact=True).click()
    await page.get_by_role("combobox", name="State").select_option("disputed")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url("**/payments?state=disputed*")

    assert "1 payment, taken:" in await page.inner_text("main")
    await context.close()

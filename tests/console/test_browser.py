"""The console in Debian's Chromium: keys, the box, accessibility, and nothing from elsewhere."""

from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.async_api import Page

from tests.console.furnished import page_paths
from tests.console.screen import Screen

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

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


async def test_every_page_is_accessible_in_both_themes_and_asks_nobody_else(
    screen: Screen,
) -> None:
    paths = await page_paths(screen.house)
    # Files, parts of pages, and pages that differ from those looked at in their words alone.
    skipped = tuple(
        """.csv /pdf /payload /assign /hits /note /hold /release /retry /void /pause /resume
        /replay /attempts /refunds /payouts {payout_id} /events /audit /password /app""".split()
    )
    found: dict[tuple[str, str], list[str]] = {}
    page = await screen.page(1280, "light")
    for route, path in paths.items():
        if route.endswith(skipped):
            continue
        await page.goto(path)
        assert urlsplit(page.url).path == path, "the page itself, and no other"
        await page.evaluate(AXE.read_text())
        for width, theme, rules in ((1280, "light", ALL_RULES), (390, "dark", RULES_OF_SIGHT)):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            problems = await _problems(page, rules)
            if problems:
                found[route, theme] = problems

    assert found == {}
    assert screen.errors == []
    assert screen.hosts == {urlsplit(screen.house.url).netloc}


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

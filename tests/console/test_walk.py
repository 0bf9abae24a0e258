"""The console walked in Chromium as people use it, from signing in to signing out, on both engines.

The provider of OpenID is a server of its own, the passkey is Chromium's virtual authenticator.
"""

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyotp
import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from app.console.people.roles import Role
from tests.console.furnished import a_link, furnished
from tests.console.identity_provider import CLIENT_ID, IdentityProvider
from tests.console.screen import open_chromium
from tests.harness import Paydue, event, intent
from tests.patience import wait_limit

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

PASSWORD = "seven-green-lanterns-hum"
PHONE = {"width": 390, "height": 844}


@dataclass
class Stage:
    """A served house, a provider of identities, and a browser in which nobody is signed in."""

    house: Paydue
    provider: IdentityProvider
    browser: Browser
    errors: list[str]

    @property
    def url(self) -> str:
        """The address by a name, for browsers have passkeys for names only."""
        return self.house.url.replace("127.0.0.1", "localhost")

    async def person(self, **options: Any) -> tuple[BrowserContext, Page]:
        """A browser of somebody else."""
        context = await self.browser.new_context(base_url=self.url, **options)
        context.set_default_timeout(wait_limit(20) * 1000)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        return context, page

    def _note(self, said: ConsoleMessage) -> None:
        """The provider's pages may say what they like."""
        if said.type == "error" and said.location["url"].startswith(self.url):
            self.errors.append(said.text)

    async def signs_in(self, page: Page, role: Role, login: str) -> None:
        await page.goto(await a_link(self.house, role, login))
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/account/password")


@pytest.fixture(scope="module")
async def stage(module_url: str) -> AsyncIterator[Stage]:
    async with IdentityProvider(lambda: datetime.now(UTC)).running() as provider:
        settings = {
            "PAYDUE_OIDC_ISSUER": provider.url,
            "PAYDUE_OIDC_CLIENT_ID": CLIENT_ID,
            "PAYDUE_OIDC_CLIENT_SECRET": "a secret of the provider",
        }
        async with furnished(module_url, **settings) as house, open_chromium() as browser:
            yield Stage(house, provider, browser, [])


async def test_a_password_and_the_apps_code_sign_in(stage: Stage) -> None:
    context, page = await stage.person()
    await stage.signs_in(page, Role.SUPPORT, "grace")
    await page.get_by_label("New password").fill(PASSWORD)
    await page.get_by_label("The same again").fill(PASSWORD)
    await page.get_by_role("button", name="Set password").click()
    await page.get_by_role("link", name="Off: set it up").click()
    await page.get_by_role("button", name="Set it up").click()
    app = pyotp.TOTP(await page.locator("main code").inner_text())
    await page.get_by_role("textbox", name="Code").fill(app.now())
    await page.get_by_role("button", name="Turn it on").click()
    recovery = (await page.locator("main pre").inner_text()).split()
    await page.get_by_role("link", name="I have kept them").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await page.wait_for_url("**/sign-in")

    await _gives_password(page, "grace")
    await page.get_by_role("textbox", name="Code").fill("000000")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("alert").wait_for()
    assert stage.errors.pop().endswith("403 (Forbidden)")
    # Each code is good once; the next one is taken half a minute early.
    await page.get_by_role("textbox", name="Code").fill(app.at(time.time() + 30))
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name="Waits for a person").wait_for()

    assert len(recovery) == 10
    await context.close()


async def _gives_password(page: Page, login: str) -> None:
    await page.get_by_label("Name or e-mail").fill(login)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.wait_for_url("**/sign-in/code")


async def test_a_passkey_signs_in_without_a_password(stage: Stage) -> None:
    context, page = await stage.person(viewport=PHONE, color_scheme="dark")
    devices = await context.new_cdp_session(page)
    await devices.send("WebAuthn.enable")
    phone = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
        "hasUserVerification": True, "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }  # fmt: skip
    await devices.send("WebAuthn.addVirtualAuthenticator", {"options": phone})
    await stage.signs_in(page, Role.VIEWER, "hedy")
    await page.goto("/account/passkeys")
    await page.get_by_label("Name of the new one").fill("phone")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_text("never used").wait_for()
    await page.goto("/")
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await page.wait_for_url("**/sign-in")

    await page.get_by_role("button", name="Sign in with a passkey").click()
    await page.wait_for_url(f"{stage.url}/")
    await page.goto("/account/passkeys")

    await page.get_by_text("last used").wait_for()
    await context.close()


async def test_the_organisations_account_signs_in(stage: Stage) -> None:
    await a_link(stage.house, Role.SUPPORT, "joan@example.com")
    stage.provider.claims = {"email": "joan@example.com", "sub": "number 8"}
    context, page = await stage.person()
    await page.goto("/payments")
    await page.get_by_role("link", name="Sign in with your organisation").click()
    assert page.url.startswith(f"{stage.provider.url}/authorize?")
    await page.get_by_role("link", name="Agree").click()

    await page.wait_for_url(f"{stage.url}/payments")
    await page.get_by_role("heading", name="Payments").wait_for()
    await context.close()


async def test_a_day_of_finance(stage: Stage) -> None:
    """Find, read, refund, assign, replay, export, and leave: after that nothing opens any more."""
    context, page = await stage.person(accept_downloads=True)
    await stage.signs_in(page, Role.FINANCE, "ida")
    await page.goto("/")
    paid = await stage.house.an_invoice("40.00", invoicenumber="INV-7040")
    await stage.house.autopay()
    await _finds(page, "INV-7040", f"**/invoices/{paid}")
    await page.locator("main .rows a.open").first.click()
    await page.wait_for_url("**/payments/pi_*")
    await _refunds(page, "7.50")
    await _assigns(page, stage.house)
    await _replays(page)
    lines = await _exports(page)
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await page.wait_for_url("**/sign-in")
    await page.go_back()
    await page.wait_for_url("**/sign-in**")

    assert lines[0].startswith("\ufeffid,date,amount")
    assert len(lines) > 3
    assert stage.errors == []
    await context.close()


async def _finds(page: Page, text: str, path: str) -> None:
    await page.keyboard.press("/")
    await page.keyboard.type(text)
    await page.locator(f'#hits [data-of="{text}"]').wait_for()
    await page.keyboard.press("Enter")
    await page.wait_for_url(path)


async def _refunds(page: Page, amount: str) -> None:
    await page.get_by_role("link", name="Refund…").click()
    await page.get_by_label("Amount in").fill(amount)
    await page.get_by_role("button", name="Refund").click()
    assert "required" in (await page.locator("#a-reason").evaluate("one => one.outerHTML"))
    await page.get_by_label("Reason").fill("too many hours")
    await page.get_by_role("button", name="Refund").click()
    await page.get_by_text(f"A refund of {amount} USD is").wait_for()


async def _assigns(page: Page, house: Paydue) -> None:
    await page.goto("/unapplied")
    await page.get_by_role("link", name="Assign…").first.click()
    await page.get_by_label("Another invoice, named below").check()
    await page.get_by_label("Another invoice, by its number or id").fill("INV-7002")
    await page.get_by_label("It is meant for another client’s invoice").check()
    await page.get_by_label("Reason").fill("said so on the phone")
    await page.get_by_role("button", name="Assign").click()
    await page.get_by_text("The payment is assigned.").wait_for()
    found = re.search(r"/invoices/(\d+)", page.url)
    assert found is not None
    assert (await house.invoice(int(found[1]))).amountpaid == Decimal(30)


async def _replays(page: Page) -> None:
    await page.goto("/inbox")
    await page.get_by_role("link", name="Replay 1…").click()
    await page.get_by_role("button", name="Replay 1").click()
    await page.get_by_text("parked").first.wait_for()


async def _exports(page: Page) -> list[str]:
    await page.goto("/payments")
    async with page.expect_download() as started:
        await page.get_by_role("link", name="Export CSV").click()
    download = await started.value
    return (await download.path()).read_text().splitlines()


async def test_a_german_enters_a_payment_by_hand(stage: Stage) -> None:
    """All in German: an amount as English writes it is refused, and never read as another."""
    context, page = await stage.person(locale="de-DE")
    owed = await stage.house.an_invoice("1204.50", invoicenumber="INV-7050")
    await page.goto(await a_link(stage.house, Role.FINANCE, "emmy"))
    await page.get_by_role("button", name="Anmelden").click()
    await page.wait_for_url("**/account/password")
    await page.goto(f"/invoices/{owed}")
    await page.get_by_text("schuldet 1.204,50 USD").wait_for()
    await page.get_by_role("link", name="Von Hand bezahlt…").click()
    amount = page.get_by_label("Betrag in USD")
    assert await amount.input_value() == "1.204,50"
    for given in ("204.50", "1.204,50"):
        await page.get_by_label("Betrag in USD").fill(given)
        await page.get_by_label("Referenz").fill("Auszug 12")
        await page.get_by_role("button", name="Zahlung eintragen").click()
        if given == "204.50":
            await page.get_by_text("Nichts wurde getan.").wait_for()
            stage.errors.pop()
    await page.get_by_text("Eine Zahlung von 1.204,50 ist eingetragen.").wait_for()
    await _finds(page, "zweimal", "**/repeated")

    assert await page.locator("html").get_attribute("lang") == "de"
    assert (await stage.house.invoice(owed)).amountdue == 0
    assert stage.errors == []
    await context.close()


async def test_an_empty_paydue_says_what_to_do_and_sees_it_done(
    paydue: Paydue, stage: Stage
) -> None:
    context = await stage.browser.new_context(base_url=paydue.url)
    page = await context.new_page()
    await page.goto(await a_link(paydue, Role.ADMIN))
    await page.get_by_role("button", name="Sign in").click()
    await page.goto("/")
    await page.get_by_role("heading", name="First steps").wait_for()
    before = await page.get_by_text("Done", exact=True).count()

    await paydue.deliver(event("payment_intent.created", intent(None)))
    await paydue.a_client()
    await page.get_by_role("link", name="Look again").click()
    await page.wait_for_load_state()
    after = await page.get_by_text("Done", exact=True).count()
    await paydue.an_invoice("120.00")
    await page.goto("/")

    await page.get_by_role("heading", name="Waits for a person").wait_for()
    assert (before, after) == (2, 4)
    await context.close()

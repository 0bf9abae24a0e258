"""Ten questions of support, each answered in at most three steps from the box, with keys alone."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from playwright.async_api import Page

from app.storage.column_types import table_of
from app.storage.tables.autopay_policies import AutopayPause
from tests.console.screen import Screen
from tests.harness import event, intent

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

PAUSES = table_of(AutopayPause)
STEPS_MAX = 3


@dataclass
class Walk:
    """Steps from the box: something typed there and opened, a key, a form that is sent."""

    page: Page
    steps: int = 0

    async def ask(self, text: str, hit: str) -> None:
        """Type it in the box, see this hit first, and open it."""
        await self.page.keyboard.press("/")
        await self.page.keyboard.type(text)
        await self.page.locator(f'#hits [data-of="{text}"]').wait_for()
        first = self.page.locator("#hits [role=option][aria-selected=true]")
        await first.filter(has_text=hit).wait_for()
        await self._leave("Enter")

    async def press(self, key: str) -> None:
        self.steps += 1
        await self.page.keyboard.press(key)

    async def send(self, button: str, **fields: str) -> None:
        for label, text in fields.items():
            await self.page.get_by_label(label).fill(text)
        await self.page.get_by_role("button", name=button).focus()
        await self._leave("Enter")

    async def _leave(self, key: str) -> None:
        self.steps += 1
        async with self.page.expect_navigation():
            await self.page.keyboard.press(key)

    async def reads(self, *texts: str) -> None:
        """The answer stands on the page, and few steps led to it."""
        for text in texts:
            await self.page.locator("main").get_by_text(text).first.wait_for()
        assert 0 < self.steps <= STEPS_MAX, self.steps


@pytest.fixture
async def walk(screen: Screen) -> Walk:
    page = await screen.page(1280, "light")
    await page.goto("/")
    return Walk(page)


async def _intent_id(screen: Screen) -> str:
    intent_id = (await screen.house.payments(1))[0].intent_id
    assert intent_id is not None
    return intent_id


async def test_was_i_charged_twice(screen: Screen, walk: Walk) -> None:
    house = screen.house
    twice = await house.a_client(name="Twice Ltd", stripe_customer_id="cus_twice")
    number = await house.an_invoice("77.00", client=twice, invoicenumber="INV-7702")
    paid = [intent(number, id=f"pi_twice_{one}", amount=7700, customer="cus_twice") for one in "ab"]
    await house.deliver(*(event("payment_intent.succeeded", one) for one in paid))

    await walk.ask("twice ltd", hit="Twice Ltd")
    await walk.reads("77.00 USD came more than once within 6 days")

    other = Walk(walk.page)
    await other.ask("charged twice", hit="Charged twice?")
    await other.reads("Twice Ltd, 77.00 USD", "2 payments", "On no invoice")

    single = Walk(walk.page)
    await single.ask("acme dental", hit="Acme Dental")
    await single.reads("No amount was paid twice within 6 days.")


async def test_why_was_it_not_charged(walk: Walk) -> None:
    await walk.ask("INV-7002", hit="INV-7002, Bolt Bakery")
    await walk.reads("Autopay: why and when", "insufficient")


async def test_what_failed_today(walk: Walk) -> None:
    await walk.ask("declined today", hit="Payments: declined today")
    await walk.reads("1 payment, taken:", "Tries again")

    asked = Walk(walk.page)
    await asked.ask("what failed today?", hit="Declined today")
    await asked.reads("1 payment, taken:", "Tries again")


async def test_what_will_be_charged_tomorrow(walk: Walk) -> None:
    await walk.ask("tomorrow", hit="Coming charges")
    await walk.reads("Will be charged", ", tomorrow")


async def test_which_payout_holds_it(screen: Screen, walk: Walk) -> None:
    await walk.ask(await _intent_id(screen), hit="120.00 USD, Acme Dental")
    await walk.reads("Paid out to your bank", "Payout po_")


async def test_which_money_is_for_no_invoice(walk: Walk) -> None:
    await walk.ask("money for no invoice", hit="Unapplied money")
    await walk.reads("no invoice has", "120.50")


async def test_refund_half(screen: Screen, walk: Walk) -> None:
    invoice = await screen.house.an_invoice("9.99", invoicenumber="INV-0999")
    await screen.house.autopay()

    await walk.ask("refund half of INV-0999", hit="Refund 9.99 USD")
    assert await walk.page.get_by_label("Amount in USD").input_value() == "5.00"
    await walk.send("Refund", Reason="one of the two was broken")
    await walk.reads("5.00 was given back")

    assert (await screen.house.invoice(invoice)).amountpaid == Decimal("4.99")


async def test_pause_this_client(screen: Screen, walk: Walk) -> None:
    paused = await screen.house.a_client(name="Pausing Bakery")

    await walk.ask("pause autopay for pausing bak", hit="Pause autopay of Pausing Bakery…")
    await walk.send("Pause autopay", Reason="moving banks")
    await walk.reads("Autopay charges nothing of it")

    pauses = await screen.house.rows(PAUSES, PAUSES.c.client_id == paused)
    assert [(one.reason, one.ended_at) for one in pauses] == [("moving banks", None)]


async def test_the_customer_disputes(walk: Walk) -> None:
    await walk.ask("the customer disputes", hit="Disputes")
    await walk.reads("The next deadline is", "Evidence due", "Acme Dental")


async def test_what_did_stripe_send(screen: Screen, walk: Walk) -> None:
    await walk.ask(await _intent_id(screen), hit="120.00 USD, Acme Dental")
    await walk.press("o")
    await walk.page.get_by_role("region", name="Payload of").first.wait_for()
    await walk.reads('"payment_intent.succeeded"')


async def test_records_that_were_opened_stand_in_the_box_until_one_signs_out(
    screen: Screen,
) -> None:
    page = await screen.page(1280, "light")
    await page.goto("/invoices/1")
    await page.goto("/")
    await page.keyboard.press("/")
    await page.get_by_role("option", name="INV-7001, Acme Dental").wait_for()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/invoices/1")

    kept = await page.evaluate("localStorage.length")
    await page.evaluate(
        "document.querySelector('.sign-out').addEventListener('submit', e => e.preventDefault())"
    )
    await page.get_by_role("button", name="Sign out").click()

    assert kept == 1
    assert await page.evaluate("localStorage.length") == 0
    assert screen.errors == []

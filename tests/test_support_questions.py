"""Questions that support is asked, each answered on the command line in at most two commands."""

import csv
import io
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.server import Sandbox
from tests.harness import Paydue, event, intent, settings_for, today
from tests.test_cli import Command, command

pytestmark = pytest.mark.anyio

COMMANDS_MAX = 2


@dataclass(frozen=True)
class Office:
    """A Paydue with a day's work in it, and the commands that were given since a question came."""

    paydue: Paydue
    said: list[tuple[str, ...]]
    command: Command

    async def ask(self, *words: str) -> str:
        self.said.append(words)
        assert len(self.said) <= COMMANDS_MAX, self.said
        answer = await self.command(*words)
        assert answer.code == 0, answer.err
        return answer.out

    async def ask_json(self, *words: str) -> Any:
        self.said.append(words)
        assert len(self.said) <= COMMANDS_MAX, self.said
        return (await self.command(*words, "--json")).json()


@pytest.fixture(scope="module")
async def day(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> AsyncIterator[Office]:
    """Paid, declined, twice paid, unapplied, waiting: what came of one day."""
    stripe = Sandbox(seed=0)
    folder = tmp_path_factory.mktemp("office")
    file = shutil.copy(sqlite_template, folder / "paydue.db")
    async with (
        stripe.running() as url,
        Paydue.running(settings_for(f"sqlite:///{file}", url), stripe) as paydue,
    ):
        yield Office(paydue, [], command(folder, url))


@pytest.fixture
def office(day: Office) -> Office:
    return replace(day, said=[])


async def a_paid_invoice(office: Office, name: str) -> Any:
    client = await office.paydue.a_client(name=name)
    invoice = await office.paydue.an_invoice(client=client)
    await office.paydue.autopay()
    return await office.paydue.invoice(invoice)


async def test_was_the_customer_charged_twice(office: Office) -> None:
    invoice = await a_paid_invoice(office, "Twice Ltd")
    again = await office.paydue.own_intent(invoice.id)
    await office.paydue.deliver(
        event("payment_intent.succeeded", {**again, "metadata": {}, "id": "pi_again"})
    )

    found = await office.ask_json("payments", "list", "--client", "Twice Ltd")

    assert len(found) == 2
    assert {one["status"] for one in found} == {"succeeded", "unapplied"}
    assert {one["amount"] for one in found} == {"120.00"}


async def test_what_failed_today_and_why(office: Office) -> None:
    client = await office.paydue.a_client(name="Lost & Co", behaviour="lost_card")
    await office.paydue.an_invoice(client=client)
    await office.paydue.autopay()

    found = await office.ask("payments", "list", "--status", "failed", "--since", "today")

    assert "Lost & Co" in found
    assert "lost_card" in found


async def test_who_is_charged_tomorrow(office: Office) -> None:
    invoice = await office.paydue.an_invoice()

    found = await office.ask_json("autopay", "run", "--dry-run", "--on", str(today()))

    assert invoice in [one["invoice_id"] for one in found["charged"]]


async def test_which_events_were_not_applied(office: Office) -> None:
    await office.paydue.deliver(
        event("charge.refunded", {"id": "ch_x", "object": "charge"}, id="evt_waiting")
    )

    found = await office.ask("events", "list", "--state", "parked")

    assert "evt_waiting" in found


async def test_which_payment_has_no_invoice_and_whose_it_is(office: Office) -> None:
    invoice = await office.paydue.an_invoice(take_auto_payment=False)
    stray = {**await office.paydue.own_intent(invoice), "metadata": {}, "id": "pi_stray"}
    await office.paydue.deliver(event("payment_intent.succeeded", stray))

    found = await office.ask("payments", "list", "--status", "unapplied")
    await office.ask("payment", "assign", "pi_stray", str(invoice))

    assert "pi_stray" in found
    assert (await office.paydue.invoice(invoice)).amountdue == 0


async def test_give_the_money_back(office: Office) -> None:
    invoice = await a_paid_invoice(office, "Back & Sons")
    (payment,) = await office.paydue.payments(invoice.id)

    await office.ask("payment", "refund", payment.intent_id, "--reason", "asked for it")

    assert (await office.paydue.payments(invoice.id))[0].amount_refunded == 120


async def test_it_was_paid_by_bank(office: Office) -> None:
    invoice = await office.paydue.an_invoice("80.00")

    await office.ask("payment", "record", str(invoice), "80.00", "--reference", "ABC 1")

    assert (await office.paydue.invoice(invoice)).amountdue == 0
    (payment,) = await office.paydue.payments(invoice)
    assert (payment.reference, payment.intent_id) == ("ABC 1", None)


async def test_what_happened_to_this_payment(office: Office) -> None:
    invoice = await a_paid_invoice(office, "Story GmbH")

    found = await office.ask("payment", "find", invoice.invoicenumber)

    assert "succeeded" in found
    assert "120.00 USD" in found


async def test_did_autopay_run_and_who_is_at_it(office: Office) -> None:
    found = await office.ask("status")

    assert "last success" in found


async def test_the_month_for_the_accountant(office: Office) -> None:
    await a_paid_invoice(office, "=Month, Ltd")
    await office.paydue.deliver(event("payment_intent.succeeded", intent(None, id="pi_month")))

    first = today().replace(day=1)
    text = await office.ask("payments", "list", "--since", str(first), "--until", "today", "--csv")

    rows = list(csv.DictReader(io.StringIO(text)))
    (row,) = [one for one in rows if one["client"].endswith("Month, Ltd")]
    assert row["client"].startswith("'=")
    assert (row["amount"], row["currency"], row["status"]) == ("120.00", "USD", "succeeded")
    assert "pi_month" in [one["payment"] for one in rows]


async def test_a_day_that_is_none_and_a_status_that_is_none_are_refused(office: Office) -> None:
    day_said = await office.command("payments", "list", "--since", "soon")
    status_said = await office.command("payments", "list", "--status", "lost")

    assert (day_said.code, status_said.code) == (2, 2)
    assert "is no day, such as" in day_said.err


async def test_a_list_that_is_cut_says_so(office: Office) -> None:
    for _ in range(2):
        await office.paydue.deliver(event("payment_intent.succeeded", intent(None)))

    said = await office.command("payments", "list", "--limit", "1")

    assert "more than these 1" in said.err

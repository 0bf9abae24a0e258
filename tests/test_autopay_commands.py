"""The commands on rules, limits, pauses and approvals do what their pages say."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from app.cli.command_group import MISUSED
from tests.harness import Paydue, today
from tests.test_autopay_rules import invoices
from tests.test_cli import Command, command

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """One engine: the commands say the same on both."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'paydue.db')}"


@pytest.fixture
def run(tmp_path: Path, stripe_url: str, database_url: str) -> Command:
    return command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)


async def test_rules_are_added_with_a_preview_and_leave_and_come_back_as_json(
    paydue: Paydue, run: Command, tmp_path: Path
) -> None:
    invoice = await paydue.an_invoice("12500.00")
    large = ("rules", "add", "name=Large", "action=ask", "amount_from=10000", "currency=USD")

    tried = await run(*large, "--dry-run")
    assert (await run("rules", "export")).json() == []
    added = await run(*large)
    await run("rules", "add", "name=Grace", "days=3", "weekdays=mon,thu", "card_max=99.5")
    await run("rules", "move", "2", "1")
    exported = await run("rules", "export")
    (tmp_path / "rules.json").write_text(exported.out)
    await run("rules", "remove", "2")
    imported = await run("rules", "import", "rules.json")
    again = await run("rules", "export")
    tested = await run("rules", "test", str(invoice), "--json")

    for one in (tried, added):
        assert "held for an approval" in one.out
        assert "12,500.00 USD" in one.out
    assert "nothing was changed" in tried.out
    assert [(one["sequence"], one["name"]) for one in exported.json()] == [
        (1, "Grace"),
        (2, "Large"),
    ]
    assert "2 rules are in use now" in imported.out
    assert [_without_id(one) for one in again.json()] == [
        _without_id(one) for one in exported.json()
    ]
    assert tested.json()["rule"] == "Grace"


def _without_id(rule: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in rule.items() if name != "id"}


async def test_a_file_that_is_no_list_of_rules_changes_nothing(
    paydue: Paydue, run: Command, tmp_path: Path
) -> None:
    await run("rules", "add", "name=Large")
    for content in ("{", "{}", "[1]", json.dumps([{"name": "a"}, {"name": "b", "action": "x"}])):
        (tmp_path / "rules.json").write_text(content)
        assert (await run("rules", "import", "rules.json")).code != 0
    unknown = await run("rules", "add", "nam=Large")

    assert unknown.code != 0
    assert "nam" in unknown.err
    assert [one["name"] for one in (await run("rules", "export")).json()] == ["Large"]


async def test_what_a_limit_holds_is_listed_approved_and_charged(
    paydue: Paydue, run: Command
) -> None:
    invoice = await paydue.an_invoice("120.00")

    await run("limits", "add", "invoice", "100", "usd")
    await paydue.autopay()
    waiting = await run("approvals", "list", "--json")
    nameless = await run("approvals", "approve", str(invoice))
    approved = await run("approvals", "approve", str(invoice), "--by", "Ada", "--reason", "yes")
    report = await paydue.autopay()

    (held,) = waiting.json()
    assert (held["invoice_id"], held["amount"]) == (invoice, "120.00")
    assert held["reason"] == "it is over the limit of 100.00 usd for one invoice"
    assert nameless.code == MISUSED
    assert "120.00 USD is approved by Ada" in approved.out
    assert invoices(report, "charged") == [invoice]


async def test_a_pause_is_told_why_and_ended(paydue: Paydue, run: Command) -> None:
    invoice = await paydue.an_invoice()

    await run("pauses", "add", "--reason", "double import", "--by", "Ada")
    listed = await run("pauses", "list")
    paused = await run("autopay", "why", str(invoice))
    await run("pauses", "end", "1", "--by", "Bob")
    ended = await run("autopay", "why", str(invoice))

    assert "everything" in listed.out
    assert paused.out == (
        "It is not charged: autopay of everything is paused by Ada: double import. "
        "What would change it: `paydue pauses end 1 --by NAME` lets autopay go on.\n"
    )
    assert ended.out.startswith("It is charged 120.00 usd in the next run, by pm_")


async def test_the_command_shows_the_calendar(paydue: Paydue, run: Command) -> None:
    client = await paydue.a_client(name="Corner Shop")
    await paydue.an_invoice(client=client, due=today() + timedelta(days=2))

    shown = await run("autopay", "calendar")
    read = await run("autopay", "calendar", "--json", "--client", str(client))

    assert "Corner Shop" in shown.out
    assert "120.00 USD in all" in shown.out
    assert read.json()["charges"][0]["date"] == str(today() + timedelta(days=2))


async def test_the_webhook_endpoint_is_planned_made_and_left_alone(
    paydue: Paydue, run: Command, tmp_path: Path
) -> None:
    setup = ("stripe", "setup", "--url", "https://pay.example.com/stripe/webhook")

    planned = await run(*setup)
    nameless = await run(*setup, "--apply")
    made = await run(*setup, "--apply", "--secret-file", "secret")
    again = await run(*setup, "--apply")

    assert "is to be made" in planned.out
    assert "nothing was changed" in planned.out
    assert nameless.code == MISUSED
    secret = tmp_path / "secret"
    assert secret.read_text().startswith("whsec_")
    assert secret.stat().st_mode & 0o077 == 0
    assert secret.read_text().strip() not in made.out + made.err
    assert "is right" in again.out


async def test_a_link_is_made_listed_and_revoked(paydue: Paydue, run: Command) -> None:
    invoice = await paydue.an_invoice()
    here = run.having(PAYDUE_PUBLIC_URL="https://pay.example.com")

    nowhere = await run("links", "make", "--invoice", str(invoice), "--by", "Ada")
    made = await here("links", "make", "--invoice", str(invoice), "--by", "Ada")
    (listed,) = (await here("links", "list", "--json")).json()
    revoked = await here("links", "revoke", str(listed["id"]), "--by", "Grace")
    left = (await here("links", "list", "--json")).json()
    (every,) = (await here("links", "list", "--all", "--json")).json()

    assert nowhere.code == MISUSED
    assert made.out.startswith("https://pay.example.com/pay/")
    assert (listed["invoice_id"], listed["made_by"]) == (invoice, "Ada")
    assert "token_hash" not in listed
    assert revoked.code == 0
    assert left == []
    assert every["revoked_by"] == "Grace"

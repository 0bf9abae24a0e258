"""`paydue payouts`: what a finance person reads, and what a spreadsheet gets."""

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from app.cli import payout_commands
from app.rules.spreadsheet import csv_text
from app.sandbox.server import Sandbox
from tests.balance import StripeBalance, Thing
from tests.harness import CLIENTS, INVOICES, Paydue, settings_for, today
from tests.test_cli import DONE, FAILED, Command, command

pytestmark = pytest.mark.anyio


@pytest.fixture
async def paydue(
    database_url: str, sandbox: Sandbox, balance: StripeBalance
) -> AsyncIterator[Paydue]:
    async with Paydue.running(settings_for(database_url, balance.url), sandbox) as house:
        yield house


@pytest.fixture
def run(database_url: str, balance: StripeBalance, tmp_path: Path) -> Command:
    return command(tmp_path, balance.url).having(
        PAYDUE_DATABASE_URL=database_url, COLUMNS="200", TERM="dumb"
    )


async def a_payout(paydue: Paydue, balance: StripeBalance, **more: object) -> Thing:
    """A payout of 120.00 for one invoice, less a refund and the fees."""
    invoice = await paydue.an_invoice("120.00")
    await paydue.autopay(today())
    (payment,) = await paydue.payments(invoice)
    refund = paydue.sandbox.refund(payment.charge_id, amount=2000)
    payout = balance.pays_out(
        balance.moves("charge", 12000, fee=378, source=payment.charge_id),
        balance.moves("refund", -2000, source=refund["id"]),
        balance.moves("stripe_fee", -500, description="=1+1"),
        **more,
    )
    await paydue.reconcile()
    return payout


async def test_a_payout_shows_its_lines_and_they_add_up(
    paydue: Paydue, balance: StripeBalance, run: Command
) -> None:
    payout = await a_payout(paydue, balance)

    said = await run("payouts", "show", payout["id"])

    (invoice,) = await paydue.rows(INVOICES, INVOICES.c.id > 0)
    (payment,) = await paydue.payments()
    assert (said.code, said.err) == (DONE, "")
    charge, refund, fee, total = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in said.out.splitlines()
        if "│" in line
    ]
    assert charge[:2] == [payment.intent_id, invoice.invoicenumber]
    assert charge[-3:] == ["120.00 USD", "3.78 USD", "116.22 USD"]
    assert refund[-3:] == ["-20.00 USD", "0.00 USD", "-20.00 USD"]
    assert fee[2:4] == ["=1+1", "stripe_fee"]
    assert total[-3:] == ["95.00 USD", "3.78 USD", "91.22 USD"]
    assert said.out.endswith("Payout of 91.22 USD\n")


async def test_a_spreadsheet_gets_every_line_and_no_formula(
    paydue: Paydue, balance: StripeBalance, run: Command
) -> None:
    async with paydue.database.transaction() as tx:
        await tx.execute(update(CLIENTS).values(name="none yet"))
    payout = await a_payout(paydue, balance)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(CLIENTS).values(name="@SUM(A1:A9)[/]"))
        await tx.execute(update(INVOICES).values(invoicenumber='=HYPERLINK("x")'))

    said = await run("payouts", "show", payout["id"], "--csv")
    plain = await run("payouts", "show", payout["id"])

    assert (said.code, plain.code) == (DONE, DONE)
    rows = list(csv.DictReader(said.out.splitlines()))
    assert [one["net"] for one in rows] == ["116.22", "-20.00", "-5.00"]
    assert [one["fee"] for one in rows] == ["3.78", "0.00", "0.00"]
    assert [one["client"] for one in rows] == ["'@SUM(A1:A9)[/]"] * 2 + [""]
    assert [one["invoices"] for one in rows] == ['\'=HYPERLINK("x")'] * 2 + [""]
    assert rows[2]["description"] == "'=1+1"
    assert "@SUM(A1:A9)[/]" in plain.out


async def test_a_payout_that_does_not_add_up_is_shown_with_a_warning(
    paydue: Paydue, balance: StripeBalance, run: Command
) -> None:
    payout = await a_payout(paydue, balance, amount=10000)

    said = await run("payouts", "show", payout["id"], "--csv")
    listed = await run("payouts", "list", "--csv")

    assert said.err == (
        "paydue: 8.78 USD missing: "
        "lines are missing: the net amounts do not add up to the payout's amount\n"
    )
    (row,) = csv.DictReader(listed.out.splitlines())
    assert (row["payout"], row["net"], row["amount"]) == (payout["id"], "91.22", "100.00")
    assert row["warning"].startswith("lines are missing")


async def test_payouts_are_listed_the_latest_first(
    paydue: Paydue, balance: StripeBalance, run: Command
) -> None:
    days = [balance.pays_out(balance.moves("charge", 1000, fee=59)) for _ in range(3)]
    for number, one in enumerate(days):
        one["arrival_date"] -= number % 2 * 86400
    await paydue.reconcile()

    listed = await run("payouts", "list", "--csv", "--limit", "2")
    plain = await run("payouts", "list")

    rows = list(csv.DictReader(listed.out.splitlines()))
    assert [one["payout"] for one in rows] == [days[2]["id"], days[0]["id"]]
    assert [(one["lines"], one["warning"]) for one in rows] == [("1", "")] * 2
    assert all(one["id"] in plain.out for one in days)
    assert "9.41 USD" in plain.out


async def test_people_read_the_first_lines_and_spreadsheets_all(
    paydue: Paydue, balance: StripeBalance, run: Command
) -> None:
    count = payout_commands.SHOWN + 2
    payout = balance.pays_out(*(balance.moves("charge", 1000, fee=59) for _ in range(count)))
    await paydue.reconcile()

    plain = await run("payouts", "show", payout["id"])
    every = await run("payouts", "show", payout["id"], "--csv")

    assert "and 2 more lines; --csv prints all" in plain.out
    assert len(every.out.splitlines()) == count + 1


async def test_a_payout_that_nobody_knows_is_an_error(paydue: Paydue, run: Command) -> None:
    said = await run("payouts", "show", "po_of_nobody")

    assert (said.code, said.err) == (FAILED, "paydue: payout po_of_nobody does not exist\n")


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1", "'=1"),
        ("+49 30 1", "'+49 30 1"),
        ("-5", "'-5"),
        ("@A1", "'@A1"),
        ("\t=1", "\\t=1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("a\nb\x1b[31m\u202e", "a\\nb\\x1b[31m\\u202e"),
        ("", ""),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        ("1,5", '"1,5"'),
        (None, ""),
        (3, "3"),
    ],
)
def test_text_that_would_be_a_formula_gets_an_apostrophe(
    cell: str | int | None, written: str
) -> None:
    assert csv_text([[cell, "end"]]) == f"{written},end\n"

"""Runs are kept with their outcomes, and one that is unlike the others charges nothing at first."""

from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from app.payments.autopay import run_history
from app.payments.autopay.report import Outcome, OutcomeKind, RunReport
from app.payments.autopay.run_history import PAGES, RUNS
from app.payments.stripe.gateway import NotAuthorized
from app.sandbox.server import Sandbox
from tests.harness import INVOICES as _INVOICES, Paydue, as_dict, settings_for, today
from tests.test_autopay_rules import add, invoices
from tests.test_cli import command

pytestmark = pytest.mark.anyio


async def stored(paydue: Paydue) -> list[run_history.StoredRun]:
    async with paydue.database.snapshot() as tx:
        return await run_history.list_runs(tx)


async def outcomes(paydue: Paydue, run_id: int) -> list[Mapping[str, Any]]:
    return [one async for one in run_history.outcomes_of(paydue.database, run_id)]


async def test_a_run_is_kept_with_its_outcomes(paydue: Paydue) -> None:
    charged = await paydue.an_invoice("120.00")
    declined = await paydue.an_invoice("30.00", client=await paydue.a_client("insufficient_funds"))
    never = await paydue.an_invoice(contract_id=1)
    await add(paydue, name="Never", action="never", contract_id=1)

    report = as_dict(await paydue.node.autopay().run(who="ada"))

    (run,) = await stored(paydue)
    assert (run.started_by, run.state, run.is_dry, run.rules_revision) == (
        "ada", "finished", False, 1,
    )  # fmt: skip
    assert run.counts == {"charged": 1, "declined": 1, "skipped": 1}
    assert run.sums == {
        "charged": {"usd": "120.00"}, "declined": {"usd": "30.00"}, "skipped": {"usd": "120.00"},
    }  # fmt: skip
    assert run.duration_s is not None
    assert run.duration_s > 0
    found = {one["invoice_id"]: one for one in await outcomes(paydue, run.id)}
    assert found.keys() == {charged, declined, never}
    assert found[declined] == {"outcome": "declined", **report["declined"][0]}


async def test_a_run_that_fails_says_so(paydue: Paydue) -> None:
    await paydue.an_invoice()
    paydue.sandbox.fault("POST /v1/payment_intents", kind="unauthorized", times=1)

    with pytest.raises(NotAuthorized):
        await paydue.autopay()

    (run,) = await stored(paydue)
    assert (run.state, bool(run.reason)) == ("failed", True)


async def test_outcomes_of_long_ago_are_forgotten_and_their_sums_are_not(paydue: Paydue) -> None:
    await paydue.an_invoice()
    await paydue.autopay()
    long_ago = paydue.database.now() - run_history.KEPT_FOR - timedelta(days=1)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(RUNS).values(started_at=long_ago))
    await paydue.an_invoice()

    await paydue.autopay()

    new, old = await stored(paydue)
    assert [await outcomes(paydue, one.id) == [] for one in (new, old)] == [False, True]
    assert old.sums == {"charged": {"usd": "120.00"}}


async def test_many_outcomes_are_read_in_their_order(paydue: Paydue) -> None:
    many = 2 * run_history.PAGE + 1
    with closing(RunReport(today(), dry_run=False)) as report:
        for number in range(many):
            report.add(Outcome(OutcomeKind.CHARGED, number, Decimal(1), "usd"))
        record = await run_history.begin_run(
            paydue.database, today(), who="ada", is_dry=False, revision=None
        )
        await record.finish(report, run_history.RunState.FINISHED)

    found = [one["invoice_id"] for one in await outcomes(paydue, record.id)]

    assert found == list(range(many))
    async with paydue.database.snapshot() as tx:
        assert len((await tx.execute(PAGES.select())).all()) == 3


# --- a run beyond the usual ------------------------------------------------------------------


async def _usual(paydue: Paydue) -> None:
    """Three runs that took 100.00 each."""
    for _ in range(3):
        await paydue.an_invoice("100.00")
        await paydue.autopay()


async def test_a_run_beyond_the_usual_charges_nothing_until_somebody_approves_it(
    paydue: Paydue, database_url: str, stripe_url: str, sandbox: Sandbox
) -> None:
    await _usual(paydue)
    ids = [await paydue.an_invoice("100.00") for _ in range(4)]
    settings = settings_for(database_url, stripe_url, PAYDUE_AUTOPAY_TIMES_USUAL="3")

    async with Paydue.running(settings, sandbox) as node:
        held = await node.autopay()
        again = await node.autopay()
        run = (await stored(node))[0]
        await node.database.with_retry(lambda tx: run_history.approve_run(tx, run.id, who="ada"))
        more = await node.an_invoice("0.50")
        beyond = await node.autopay()
        await node.database.with_retry(
            lambda tx: tx.execute(
                update(_INVOICES).where(_INVOICES.c.id == more).values(voided=True)
            )
        )
        approved = await node.autopay()

    assert invoices(held, "held") == invoices(again, "held") == ids
    assert held["held"][0]["reason"] == (
        "the run was held: it would take 400.00 usd, more than 3 times the usual 100.00 usd"
    )
    assert run.state == "held"
    assert invoices(beyond, "charged") == [], "more than was approved asks anew"
    assert invoices(approved, "charged") == ids
    by = [one.reason for one in await stored(paydue) if one.state == "approved"]
    assert by[0] is not None
    assert by[0].startswith("approved by ada")


async def test_a_run_of_the_usual_size_is_not_held(
    paydue: Paydue, database_url: str, stripe_url: str, sandbox: Sandbox
) -> None:
    await _usual(paydue)
    ids = [await paydue.an_invoice("100.00") for _ in range(3)]
    settings = settings_for(database_url, stripe_url, PAYDUE_AUTOPAY_TIMES_USUAL="3")

    async with Paydue.running(settings, sandbox) as node:
        report = await node.autopay()

    assert invoices(report, "charged") == ids


# --- commands --------------------------------------------------------------------------------


async def test_a_kept_dry_run_is_compared_with_the_run(
    paydue: Paydue, database_url: str, stripe_url: str, tmp_path: Any
) -> None:
    declined = await paydue.an_invoice(
        client=await paydue.a_client("stolen_card"), order_number="=1+1"
    )
    await add(paydue, name="=2+2")
    run = command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)

    await run("autopay", "run", "--dry-run", "--keep")
    await run("autopay", "run")
    compared = await run("runs", "compare", "1", "2")
    listed = await run("runs", "list", "--json")
    exported = await run("runs", "show", "2", "--csv")

    assert [one["is_dry"] for one in listed.json()] == [False, True]
    assert [one["started_by"] for one in listed.json()] == ["command line"] * 2
    words = compared.out.replace("\u2502", " ").split()
    assert [str(declined), "charged", "declined"] == words[words.index("charged") - 1 :][:3]
    assert "'=2+2" in exported.out, "no cell is a formula"
    assert str(today()) in listed.out

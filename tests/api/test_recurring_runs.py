"""A run over all templates: every period once, whatever overlaps, is held, is wrong or is late."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from app.ledger.recurring_run import BillingOutcome, RecurringReport, RecurringRun, TemplateOutcome
from app.rules.home import Home
from app.storage.column_types import table_of
from app.storage.tables.invoices import Invoice, InvoiceLine
from tests.api.client import Api
from tests.clock import Clock

pytestmark = pytest.mark.anyio

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)
TEMPLATE = "/api/RecurringInvoice"


def runs(api: Api, clock: Clock) -> RecurringRun:
    return RecurringRun(api.database, Home("usd", "UTC"), clock, asyncio.Event())


async def template(api: Api, **values: Any) -> int:
    given = {"period": 2, "lines": [{"unit_price": 10}], **values}
    return int((await api.post(TEMPLATE, given))["id"])


async def made(api: Api) -> Counter[tuple[int, str]]:
    """How many invoices there are of each template and period."""
    found = select(INVOICES.c.recurring_invoice_id, INVOICES.c.made_for).where(INVOICES.c.id > 0)
    async with api.database.snapshot() as tx:
        return Counter((one, str(day)) for one, day in await tx.execute(found))


async def test_a_run_bills_each_missed_period_and_holds_what_a_person_must_see(
    api: Api, clock: Clock
) -> None:
    review = {"unit_price": 1, "needsreviewbeforecreation": True}
    late = await template(api, nextcreationdate="2026-09-15", take_auto_payment=True)
    once = await template(api, nextcreationdate="2026-11-22", period=0)
    reviewed = await template(
        api, nextcreationdate="2026-11-01", lines=[{**review, "reviewed": True}]
    )
    held = {
        await template(api, nextcreationdate="2026-11-01", reviewrequired=True): "reviewrequired",
        await template(api, nextcreationdate="2026-11-01", lines=[review]): "needsreview",
        await template(api, nextcreationdate="2016-11-01"): "nextcreationdate",
    }
    for idle in (
        {"nextcreationdate": "2026-11-23"}, {"nextcreationdate": "2026-11-01", "disabled": True},
        {"nextcreationdate": "2026-11-01", "enddate": "2026-10-31"}, {},
    ):  # fmt: skip
        await template(api, **idle)
    undated = await template(api, startdate="2026-10-31")

    told: list[TemplateOutcome] = []
    foreseen = await runs(api, clock).dry_run(told.append)
    assert await made(api) == {}
    report = await runs(api, clock).run()
    again = await runs(api, clock).run()

    expected = {
        (late, "2026-09-15"), (late, "2026-10-15"), (late, "2026-11-15"),
        (once, "2026-11-22"), (reviewed, "2026-11-01"), (undated, "2026-10-31"),
    }  # fmt: skip
    assert await made(api) == dict.fromkeys(expected, 1)
    created = {(one.template_id, str(one.first)) for one in told if one.kind == "created"}
    assert created == expected
    assert {one.template_id: (one.why or "")[:10] for one in report.reasons} == {
        one: why[:10] for one, why in held.items()
    }
    assert report.counts == foreseen.counts == {BillingOutcome.CREATED: 6, BillingOutcome.HELD: 3}
    assert again.counts == {BillingOutcome.HELD: 3}
    assert str(report) == "6 created, 3 held, 0 failed"
    shown = await api.get("/api/Invoice", recurringinvoice_id=str(late))
    assert [one["take_auto_payment"] for one in shown["invoices"]] == [True] * 3


@pytest.mark.parametrize(
    ("moved_to", "why"),
    [
        ("2026-10-15", "nextcreationdate: billed already until 2026-10-31"),
        ("2026-10-31", "nextcreationdate: billed already until 2026-10-31"),
        ("2026-09-20", "nextcreationdate: its period runs into one that is billed"),
    ],
)
async def test_days_that_are_billed_wait_for_a_person(
    api: Api, clock: Clock, moved_to: str, why: str
) -> None:
    """Whoever moves the next date among them may mean another day of the month, or not see them."""
    one = await template(api, nextcreationdate="2026-10-01", take_auto_payment=True)
    await runs(api, clock).run()
    before = await made(api)

    await api.post(TEMPLATE, {"id": one, "nextcreationdate": moved_to})
    foreseen, report = await runs(api, clock).dry_run(), await runs(api, clock).run()

    assert foreseen.counts == report.counts == {BillingOutcome.HELD: 1}
    assert report.reasons[0].why == why
    assert await made(api) == before == {(one, "2026-10-01"): 1, (one, "2026-11-01"): 1}
    await api.post(f"{TEMPLATE}/process", one)  # a person has seen it
    assert (await made(api))[one, moved_to] == 1


async def test_days_after_the_billed_ones_are_billed_whatever_the_day(
    api: Api, clock: Clock
) -> None:
    one = await template(api, nextcreationdate="2026-10-01", period=1)
    await api.post(f"{TEMPLATE}/process", one)
    await api.post(TEMPLATE, {"id": one, "nextcreationdate": "2026-10-09", "period": 2})

    report = await runs(api, clock).run()

    assert report.counts == {BillingOutcome.CREATED: 2}
    assert set(await made(api)) == {
        (one, "2026-10-01"), (one, "2026-10-09"), (one, "2026-11-09"),
    }  # fmt: skip


async def test_a_template_that_fails_is_named_and_stops_no_other(api: Api, clock: Clock) -> None:
    """Two lines that were stored with more than any currency takes."""
    ids = [await template(api, nextcreationdate="2026-11-01") for _ in range(5)]
    async with api.database.transaction() as tx:
        too_much = update(LINES).where(LINES.c.ihid == ids[2])
        await tx.execute(too_much.values(qty_order=999_999_999, unit_price=9_999))

    report = await runs(api, clock).run()

    assert report.counts == {BillingOutcome.CREATED: 4, BillingOutcome.FAILED: 1}
    (failed,) = report.reasons
    assert (failed.template_id, "unit_price" in (failed.why or "")) == (ids[2], True)


async def test_runs_that_overlap_bill_each_period_once(api: Api, clock: Clock) -> None:
    for _ in range(6):
        await template(api, nextcreationdate="2026-08-31")

    reports: list[RecurringReport] = await asyncio.gather(
        *(runs(api, clock).run() for _ in range(4))
    )

    found = await made(api)
    assert sum(one.counts[BillingOutcome.CREATED] for one in reports) == len(found) == 18
    assert set(found.values()) == {1}


async def test_a_run_that_is_stopped_says_so(api: Api, clock: Clock) -> None:
    await template(api, nextcreationdate="2026-11-01")
    run = runs(api, clock)
    run.stop.set()

    report = await run.run()

    assert (report.ended, await made(api)) == (False, {})


async def test_a_day_begins_with_the_client(api: Api, clock: Clock) -> None:
    ahead = await api.client(timezone="Pacific/Auckland")  # half past midnight of the 23rd
    behind = await api.client(timezone="Pacific/Honolulu")  # half past one of the 22nd
    first = await template(api, client_id=ahead, nextcreationdate="2026-11-22T11:00:00")
    await template(api, client_id=behind, nextcreationdate="2026-11-23T10:00:00")

    clock.now = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)

    await runs(api, clock).run()

    assert await made(api) == {(first, "2026-11-23"): 1}

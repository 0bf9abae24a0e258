"""What a rule or a limit holds waits for a person, and nothing is charged but what was approved."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, update

from app.ledger import approvals as queue, autopay_policy
from app.ledger.approvals import APPROVALS
from app.storage.column_types import table_of
from app.storage.tables.invoices import InvoiceChange
from tests.gate import Gate
from tests.harness import ATTEMPTS, INVOICES, Paydue, settings_for, today
from tests.test_autopay_rules import add, invoices, limit, post

pytestmark = pytest.mark.anyio

Change = Callable[[Paydue, int], Awaitable[None]]


async def decide(paydue: Paydue, word: str, *ids: int, **more: Any) -> tuple[int, Any]:
    body = {"invoices": [{"invoice_id": one} for one in ids], **more}
    return await post(paydue, f"AutopayApproval/{word}", body)


async def held(paydue: Paydue, **columns: Any) -> int:
    """An invoice that a run has put in the queue."""
    invoice = await paydue.an_invoice("120.00", **columns)
    await add(paydue, name="Ask", action="ask")
    assert invoices(await paydue.autopay(), "held") == [invoice]
    return invoice


async def edit(paydue: Paydue, invoice: int, **values: Any) -> None:
    async with paydue.database.transaction() as tx:
        await tx.execute(update(INVOICES).where(INVOICES.c.id == invoice).values(**values))


async def current(paydue: Paydue, invoice: int) -> Any:
    async with paydue.database.snapshot() as tx:
        return (await queue.load_current(tx, [invoice])).get(invoice)


# --- the queue -------------------------------------------------------------------------------


async def test_a_held_invoice_is_charged_once_somebody_approves_it(paydue: Paydue) -> None:
    invoice = await held(paydue)

    again = await paydue.autopay()
    status, approved = await decide(paydue, "approve", invoice, reason="asked them")
    foreseen, report = await paydue.foresee(), await paydue.autopay()

    assert invoices(again, "held") == [invoice]
    assert (status, approved["state"], approved["decided_by"]) == (200, "approved", "tests")
    assert invoices(foreseen, "charged") == invoices(report, "charged") == [invoice]
    (attempt,) = await paydue.attempts(invoice)
    assert attempt.approval_id == approved["id"]
    changes = table_of(InvoiceChange)
    said = [
        (one.old_value, one.new_value, one.who)
        for one in await paydue.rows(changes, changes.c.field_name == "autopay_approval")
    ]
    assert said == [("waiting", "approved 120.00 usd: asked them", "tests")]


async def test_a_rejected_invoice_is_not_charged_until_somebody_approves(paydue: Paydue) -> None:
    invoice = await held(paydue)

    await decide(paydue, "reject", invoice, reason="they pay by transfer")
    rejected = await paydue.autopay()
    await decide(paydue, "approve", invoice)
    approved = await paydue.autopay()

    (skipped,) = rejected["skipped"]
    assert skipped["reason"] == "tests rejected its charge: they pay by transfer"
    assert invoices(approved, "charged") == [invoice]


async def _more_due(paydue: Paydue, invoice: int) -> None:
    await edit(paydue, invoice, amountdue=Decimal("120.01"), total=Decimal("120.01"))


async def _larger_and_part_paid(paydue: Paydue, invoice: int) -> None:
    """Less is due than was approved, of an invoice that has grown since."""
    await edit(paydue, invoice, amountdue=Decimal("119.00"), total=Decimal("200.00"))


async def _another_client(paydue: Paydue, invoice: int) -> None:
    await edit(paydue, invoice, client_id=await paydue.a_client())


async def _another_currency(paydue: Paydue, invoice: int) -> None:
    await edit(paydue, invoice, currency_iso="eur")


CHANGES = [_more_due, _larger_and_part_paid, _another_client, _another_currency]


@pytest.mark.parametrize("change", CHANGES)
async def test_an_approval_is_for_what_the_person_saw(paydue: Paydue, change: Change) -> None:
    invoice = await held(paydue)
    await decide(paydue, "approve", invoice)

    await change(paydue, invoice)
    report = await paydue.autopay()

    (one,) = report["held"]
    assert one["reason"] == (
        "tests approved 120.00 usd, and the invoice is another since; "
        "the rule 'Ask' asks a person first"
    )
    assert paydue.sandbox.ledger.charges() == []
    waiting = await current(paydue, invoice)
    assert (waiting.state, waiting.decided_by) == ("waiting", None)


@pytest.mark.parametrize("change", [_more_due, _larger_and_part_paid])
async def test_an_invoice_that_changes_before_its_confirm_is_not_charged(
    paydue: Paydue, gate: Gate, database_url: str, change: Change
) -> None:
    invoice = await held(paydue)
    await decide(paydue, "approve", invoice)
    creates = gate.hold("POST", "/v1/payment_intents")

    async with (
        Paydue.running(
            settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30), paydue.sandbox
        ) as node,
        asyncio.TaskGroup() as group,
    ):
        run = group.create_task(node.autopay())
        await creates.came()
        await change(paydue, invoice)
        creates.let_go()

    assert invoices(run.result(), "skipped") == [invoice]
    assert paydue.sandbox.ledger.charges() == []


async def test_less_than_was_approved_is_charged(paydue: Paydue) -> None:
    invoice = await held(paydue)
    await decide(paydue, "approve", invoice)

    await edit(paydue, invoice, amountdue=Decimal("20.00"))

    assert invoices(await paydue.autopay(), "charged") == [invoice]


async def test_an_approval_is_used_up_by_a_charge(paydue: Paydue) -> None:
    invoice = await held(paydue)
    await decide(paydue, "approve", invoice)
    await paydue.autopay()

    async with paydue.database.transaction() as tx:  # it would cover the rest too
        await tx.execute(update(APPROVALS).values(total=Decimal(500), amount=Decimal(500)))
    rest = {"total": Decimal("150.00"), "amountdue": Decimal("30.00"), "paymentstatus": 1}
    await edit(paydue, invoice, **rest)
    report = await paydue.autopay()

    assert invoices(report, "held") == [invoice]
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_a_decision_is_for_the_amount_that_was_shown(paydue: Paydue) -> None:
    invoice = await held(paydue)

    body = {"invoices": [{"invoice_id": invoice, "amount": 100}]}
    status, said = await post(paydue, "AutopayApproval/approve", body)

    assert (status, "waits for the approval of 120.00 usd" in said["Message"]) == (400, True)
    assert (await current(paydue, invoice)).state == "waiting"


async def test_all_are_decided_or_none(paydue: Paydue) -> None:
    invoice = await held(paydue)

    status, _ = await decide(paydue, "approve", invoice, 999_999)

    assert status == 404
    assert (await current(paydue, invoice)).state == "waiting"


async def test_only_a_scope_of_its_own_approves(paydue: Paydue) -> None:
    body = {"invoices": [{"invoice_id": 1}]}

    status, _ = await post(paydue, "AutopayApproval/approve", body, "edit:invoices", "read:autopay")

    assert status == 403


async def test_the_queue_forgets_what_was_paid_meanwhile(paydue: Paydue) -> None:
    invoice = await held(paydue)

    await edit(paydue, invoice, amountdue=Decimal(0), paymentstatus=2)

    async with paydue.database.snapshot() as tx:
        assert await queue.list_waiting(tx) == []


# --- limits ----------------------------------------------------------------------------------


async def test_an_invoice_over_its_limit_is_held_and_an_approval_lets_it_through(
    paydue: Paydue,
) -> None:
    small, large = await paydue.an_invoice("100.00"), await paydue.an_invoice("100.01")
    await limit(paydue, "invoice", 100)

    first = await paydue.autopay()
    await decide(paydue, "approve", large)
    second = await paydue.autopay()

    assert invoices(first, "charged") == [small]
    assert first["held"][0]["reason"] == "it is over the limit of 100.00 usd for one invoice"
    assert invoices(second, "charged") == [large]


@pytest.mark.parametrize("consolidate", [False, True])
@pytest.mark.parametrize("kind", ["client", "day", "run"])
async def test_charges_that_pass_a_limit_together_are_held(
    paydue: Paydue, kind: str, consolidate: bool
) -> None:
    client = await paydue.a_client(consolidate=consolidate)
    ids = [
        await paydue.an_invoice("100.00", client=client, due=today() - timedelta(days=3 - number))
        for number in range(3)
    ]
    await limit(paydue, kind, 250)

    foreseen, report = await paydue.foresee(), await paydue.autopay()

    for one in (foreseen, report):
        assert invoices(one, "charged") == ids[:2]
        (over,) = one["held"]
        assert over["invoice_id"] == ids[2]
        assert "would pass the limit of 250.00 usd a" in over["reason"]
        assert "of which 200.00 usd is taken" in over["reason"]


async def test_two_runs_at_once_do_not_pass_the_limit_of_a_day(
    paydue: Paydue, database_url: str, stripe_url: str
) -> None:
    for _ in range(8):
        await paydue.an_invoice("100.00")
    await limit(paydue, "day", 350)

    async with Paydue.running(settings_for(database_url, stripe_url), paydue.sandbox) as other:
        await asyncio.gather(paydue.autopay(), other.autopay())

    assert len(paydue.sandbox.ledger.charges()) == 3


async def test_a_claim_waits_for_another_that_may_reach_the_limit(paydue: Paydue) -> None:
    """So two claims never compare the same sum with a limit, each without the other."""
    earlier = await paydue.an_invoice("300.00")
    await paydue.autopay()
    (attempt,) = await paydue.attempts(earlier)
    over = await paydue.an_invoice("100.00")
    await limit(paydue, "day", 650)

    async with paydue.database.transaction() as tx:  # as another claim has it
        await autopay_policy.lock_revision(tx)
        run = asyncio.create_task(paydue.autopay())
        await asyncio.sleep(1)
        more = {**attempt._mapping, "number": 2}
        del more["id"]
        await tx.execute(insert(ATTEMPTS).values(more))

    assert invoices(await run, "held") == [over]


async def test_a_decline_takes_nothing_of_a_limit(paydue: Paydue) -> None:
    declined = await paydue.an_invoice(
        "300.00", client=await paydue.a_client("insufficient_funds"), due=today() - timedelta(1)
    )
    await limit(paydue, "day", 300)
    await paydue.autopay()
    charged = await paydue.an_invoice("300.00")

    report = await paydue.autopay()

    assert invoices(report, "charged") == [charged]
    assert [one.state for one in await paydue.attempts(declined)] == ["declined"]


# --- pauses, and the day that autopay began --------------------------------------------------


@pytest.mark.parametrize("of", ["client", "invoice", "everything"])
async def test_a_pause_holds_until_its_day_or_its_end(paydue: Paydue, of: str) -> None:
    client = await paydue.a_client()
    invoice = await paydue.an_invoice(client=client)
    named = {"client": {"client_id": client}, "invoice": {"invoice_id": invoice}}.get(of, {})
    until = today() + timedelta(days=2)
    body = {"reason": "new card", "until": f"{until}T00:00:00", **named}
    status, saved = await post(paydue, "AutopayPause", [body])
    assert status == 200, saved

    first, later = await paydue.autopay(), await paydue.foresee(until)
    headers = await paydue.access()
    async with paydue.http.delete(f"/api/AutopayPause/{saved['id']}", headers=headers) as answer:
        assert answer.status == 200
    last = await paydue.autopay()

    (skipped,) = first["skipped"]
    name = of if of == "everything" else f"the {of}"
    assert skipped["reason"] == f"autopay of {name} is paused until {until} by tests: new card"
    assert skipped["next_try"] == str(until)
    assert invoices(later, "charged") == invoices(last, "charged") == [invoice]


async def test_invoices_of_before_autopay_began_wait_for_a_person(
    paydue: Paydue, database_url: str, stripe_url: str
) -> None:
    old = await paydue.an_invoice()
    settings = settings_for(
        database_url, stripe_url, PAYDUE_AUTOPAY_FROM=str(today() + timedelta(days=1))
    )

    async with Paydue.running(settings, paydue.sandbox) as node:
        first = await node.autopay()
        await decide(paydue, "approve", old)
        second = await node.autopay()

    assert "autopay began on" in first["held"][0]["reason"]
    assert invoices(second, "charged") == [old]

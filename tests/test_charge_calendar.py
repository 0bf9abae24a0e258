"""The calendar of coming charges: each day's charges by client and currency, and what is held."""

from datetime import timedelta
from typing import Any

import pytest

from app.payments.autopay.charge_calendar import read_calendar
from tests.harness import CLIENTS, Paydue, today
from tests.test_autopay_rules import add, limit, post

pytestmark = pytest.mark.anyio


async def calendar(paydue: Paydue, query: str = "") -> dict[str, Any]:
    headers = await paydue.access("read:invoices")
    async with paydue.http.get(f"/api/AutopayCalendar{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


def charges(found: dict[str, Any]) -> list[tuple[str | None, int, str, str, int]]:
    entries = [*found["charges"], *found["awaiting_approval"]]
    return [
        (one["date"], one["client_id"], one["amount"], one["currency"], one["count"])
        for one in entries
    ]


async def test_charges_are_summed_by_day_client_and_currency(paydue: Paydue) -> None:
    first, second = await paydue.a_client(), await paydue.a_client()
    soon, later = today() + timedelta(days=3), today() + timedelta(days=60)
    await paydue.an_invoice(client=first, due=today() - timedelta(days=9))
    await paydue.an_invoice("0.10", client=second, due=soon)
    await paydue.an_invoice("0.20", client=second, due=soon)
    await paydue.an_invoice("500", client=second, due=soon, currency_iso="jpy")
    await paydue.an_invoice(client=second, due=later)
    await paydue.an_invoice(client=second, due=later + timedelta(days=1))
    await paydue.an_invoice(client=first, due=soon, take_auto_payment=False)
    await paydue.an_invoice(client=first, due=soon, voided=True)

    found, of_one = await calendar(paydue), await calendar(paydue, f"?client_id={first}")

    assert charges(found) == [
        (str(today()), first, "120.00", "usd", 1),
        (str(soon), second, "500", "jpy", 1),
        (str(soon), second, "0.30", "usd", 2),
        (str(later), second, "120.00", "usd", 1),
    ]
    assert found["totals"] == {"usd": "240.30", "jpy": "500"}
    assert (found["from"], found["until"]) == (str(today()), str(later))
    assert found["is_complete"]
    assert charges(of_one) == [(str(today()), first, "120.00", "usd", 1)]
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == first)
    assert of_one["charges"][0]["client_name"] == row.name


async def test_an_invoice_that_needs_approval_on_its_day_has_no_day_yet(paydue: Paydue) -> None:
    client = await paydue.a_client()
    soon = today() + timedelta(days=3)
    held = await paydue.an_invoice("5000.00", client=client, due=soon)
    await paydue.an_invoice(client=client, due=soon)
    await limit(paydue, "invoice", 1000)

    found = await calendar(paydue)

    assert charges(found) == [
        (str(soon), client, "120.00", "usd", 1),
        (None, client, "5000.00", "usd", 1),
    ]
    assert found["awaiting_approval"][0]["invoice_ids"] == [held]
    assert found["totals"] == {"usd": "120.00"}


async def test_rules_and_pauses_move_the_day(paydue: Paydue) -> None:
    client, paused = await paydue.a_client(), await paydue.a_client()
    flagless = await paydue.an_invoice(client=client, take_auto_payment=False, contract_id=4)
    await paydue.an_invoice(client=paused)
    await add(paydue, name="Late", contract_id=4, unflagged=True, days=5)
    until = today() + timedelta(days=20)
    body = [{"client_id": paused, "until": str(until), "reason": "a new card"}]
    assert (await post(paydue, "AutopayPause", body))[0] == 200

    found = await calendar(paydue)

    assert charges(found) == [
        (str(today() + timedelta(days=5)), client, "120.00", "usd", 1),
        (str(until), paused, "120.00", "usd", 1),
    ]
    assert found["charges"][0]["invoice_ids"] == [flagless]


async def test_the_calendar_foresees_what_a_run_of_today_charges(paydue: Paydue) -> None:
    client = await paydue.a_client()
    declined = await paydue.a_client(behaviour="insufficient_funds")
    await paydue.an_invoice(client=client)
    await paydue.an_invoice(client=declined)

    before, report, after = await calendar(paydue), await paydue.autopay(), await calendar(paydue)

    assert {one[1] for one in charges(before)} == {client, declined}
    (refused,) = report["declined"]
    assert charges(after) == [(refused["next_try"], declined, "120.00", "usd", 1)]


async def test_a_calendar_of_too_many_invoices_says_so(paydue: Paydue) -> None:
    client = await paydue.a_client()
    for _ in range(3):
        await paydue.an_invoice(client=client)
    settings, now = paydue.node.settings, paydue.database.now()

    whole = await read_calendar(paydue.database, settings, now=now, looked_at_max=1)
    none = await read_calendar(paydue.database, settings, now=now, looked_at_max=0)

    assert (whole.looked_at, whole.is_complete) == (3, True)  # a page is looked at as a whole
    assert (none.looked_at, none.is_complete) == (0, False)


@pytest.mark.parametrize("query", ["?days=0", "?days=101", "?days=x", "?client_id=x"])
async def test_a_calendar_of_other_days_is_refused(paydue: Paydue, query: str) -> None:
    headers = await paydue.access("read:invoices")
    async with paydue.http.get(f"/api/AutopayCalendar{query}", headers=headers) as answer:
        assert answer.status == 400
    headers = await paydue.access("read:customers")
    async with paydue.http.get("/api/AutopayCalendar", headers=headers) as answer:
        assert answer.status == 403

"""A server that is killed anywhere loses no event it has answered; the others come again."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest
from sqlalchemy import insert

from app.storage.engines import Database
from tests.crash import scenario
from tests.crash.conftest import Fresh
from tests.crash.lives import Zygote
from tests.crash.scenario import CLIENTS, INVOICES
from tests.harness import event, intent, signed

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

SIGKILLED = -9
WAVE = 4
# Nobody listens at Stripe's address: the webhook way never asks.
NO_STRIPE = "http://127.0.0.1:9"
# Events that end as something other than applied, in whatever order they come.
ODD = {"evt_price": "ignored", "evt_stranger": "parked"}


def _refund(number: int, of: str, amount: int) -> dict[str, Any]:
    return {"id": f"re_{number}", "object": "refund", "payment_intent": of, "amount": amount,
            "currency": "usd", "status": "succeeded", "charge": f"ch_of_{of}"}  # fmt: skip


def _dispute(of: str, amount: int, status: str) -> dict[str, Any]:
    return {"id": "dp_1", "object": "dispute", "payment_intent": of, "amount": amount,
            "currency": "usd", "status": status, "charge": f"ch_of_{of}"}  # fmt: skip


def _events() -> list[dict[str, Any]]:
    """Every kind of news, and news that comes too early, makes no sense or concerns nobody."""
    pay, early, debit = "pi_a", "pi_b", "pi_c"
    told: list[tuple[str, str, Mapping[str, Any]]] = [
        ("created", "payment_intent.created", intent(1, "requires_confirmation", id=pay)),
        ("paid", "payment_intent.succeeded", intent(1, id=pay)),
        ("early", "refund.created", _refund(1, early, 2000)),
        ("failed", "payment_intent.payment_failed", intent(2, "requires_payment_method", id=early)),
        ("late", "payment_intent.succeeded", intent(2, id=early)),
        ("pending", "payment_intent.processing", intent(3, "processing", id=debit)),
        ("stranger", "payment_intent.succeeded", intent(99, id="pi_d")),
        ("price", "price.created", {"id": "price_1", "object": "price"}),
        ("debit", "payment_intent.succeeded", intent(3, id=debit)),
        ("refund", "refund.created", _refund(2, pay, 5000)),
        ("dispute", "charge.dispute.created", _dispute(debit, 12000, "needs_response")),
        ("lost", "charge.dispute.closed", _dispute(debit, 12000, "lost")),
        ("canceled", "payment_intent.canceled", intent(4, "canceled", id="pi_e")),
        ("gone", "payment_method.detached", {"id": "pm_1", "object": "payment_method"}),
    ]  # fmt: skip
    return [event(kind, thing, id=f"evt_{name}") for name, kind, thing in told]


async def test_no_answered_event_is_lost_wherever_the_server_is_killed(
    engine: str,
    fresh_database: Fresh,
    lanes: Sequence[Zygote],
    count_points: Callable[[str, int], None],
) -> None:
    events = _events()
    calm = Trial(await fresh_database(), lanes[0], events)
    wanted = await calm.undisturbed()
    assert calm.wrong == []
    assert [Decimal(paid) for paid in wanted["paid"].values()] == [70, 100, 0, 0]
    points = [f"{side} commit of {one['id']}" for one in events for side in ("before", "after")]
    points += [f"answer {number}" for number in range(1, len(events), 3)]

    left: Iterator[str] = iter(points)
    wrong: dict[str, list[str]] = {}

    async def work(lane: Zygote) -> None:
        for point in left:
            trial = Trial(await fresh_database(), lane, events)
            await trial.killed(point, wanted)
            if trial.wrong:
                wrong[point] = trial.wrong

    await asyncio.gather(*(work(lane) for lane in lanes))

    assert wrong == {}
    count_points("webhook", len(points))


class Trial:
    """One database, one server that dies, one that follows it, and what both leave behind."""

    def __init__(self, url: str, lane: Zygote, events: Sequence[Mapping[str, Any]]) -> None:
        self.wrong: list[str] = []
        self._url = url
        self._lane = lane
        self._events = events
        self._answered: set[str] = set()

    async def undisturbed(self) -> Any:
        await self._write_books()
        await self._served(None, None)
        return await self._settled()

    async def killed(self, point: str, wanted: Any) -> None:
        await self._write_books()
        kill_after = int(point.split()[1]) if point.startswith("answer") else None
        await self._served(None if kill_after else point, kill_after)
        survived = await self._look()
        lost = self._answered - set(survived["events"])
        if lost:
            self.wrong.append(f"answered and lost: {lost}")
        if len(self._answered) == len(self._events) and not kill_after:
            self.wrong.append("everything was answered by a server that died")
        await self._served(None, None)
        found = await self._settled()
        if found != wanted:
            self.wrong.append(f"ended as {found} instead of {wanted}")

    async def _served(self, die_at: str | None, kill_after: int | None) -> None:
        """A server's life: what was not answered is sent, all of it again to one that lives."""
        is_to_die = die_at is not None or kill_after is not None
        life = await self._lane.begin(
            "serve", database_url=self._url, stripe_url=NO_STRIPE, die_at=die_at
        )
        url = await life.told("url")
        async with aiohttp.ClientSession(url) as http:
            sent = self._events if is_to_die or not self._answered else self._not_answered()
            for start in range(0, len(sent), WAVE):
                wave = [self._post(http, one) for one in sent[start : start + WAVE]]
                for done in asyncio.as_completed(wave):
                    await done
                    if kill_after is not None and len(self._answered) >= kill_after:
                        os.kill(life.pid, signal.SIGKILL)
                        kill_after = None
        if not is_to_die:
            if len(self._answered) < len(self._events):
                self.wrong.append(f"not answered in peace: {self._not_answered()}")
            os.kill(life.pid, signal.SIGKILL)
        if await life.end() != SIGKILLED:
            self.wrong.append("it lived")

    def _not_answered(self) -> list[Mapping[str, Any]]:
        return [one for one in self._events if one["id"] not in self._answered]

    async def _post(self, http: aiohttp.ClientSession, one: Mapping[str, Any]) -> None:
        body = orjson.dumps(one)
        try:
            async with http.post(
                "/stripe/webhook", data=body, headers={"Stripe-Signature": signed(body)}
            ) as answer:
                await answer.read()
                if answer.status == 200:
                    self._answered.add(one["id"])
                else:
                    self.wrong.append(f"{one['id']} was answered {answer.status}")
        except (aiohttp.ClientError, OSError):
            return  # the server is dead: Stripe delivers it again

    async def _look(self) -> Any:
        life = await self._lane.begin("look", database_url=self._url)
        books = await life.told("books")
        assert await life.end() == 0
        return books

    async def _settled(self) -> Any:
        """What is left once the worker has had its turn, without what time alone decides."""
        life = await self._lane.begin("settle", database_url=self._url, stripe_url=NO_STRIPE)
        books = await life.told("books")
        assert await life.end() == 0
        odd = {one: state for one, state in books["events"].items() if state != "applied"}
        if odd != ODD:
            self.wrong.append(f"events ended as {odd}")
        if set(books["events"]) != {one["id"] for one in self._events}:
            self.wrong.append(f"events kept: {sorted(books['events'])}")
        kept = ("paid", "due", "pending", "reversed", "payments")
        return {name: books[name] for name in kept}

    async def _write_books(self) -> None:
        database = Database(self._url)
        async with database.transaction() as tx:
            await tx.execute(insert(CLIENTS), [scenario.client(one) for one in (1, 2, 3)])
            await tx.execute(insert(INVOICES), [scenario.invoice(one) for one in (1, 2, 3, 4)])
        await database.close()

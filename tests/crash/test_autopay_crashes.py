"""A run that is killed anywhere is finished by the next one: each invoice paid once, none stuck."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.crash import scenario
from tests.crash.conftest import Fresh
from tests.crash.lives import Zygote
from tests.crash.points import Calls

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

SIGKILLED = -9
# Right after one step is as good as right before the next: nothing is written in between. So each
# side alone tries every state a death can leave; PAYDUE_TEST_CRASH_BOTH_SIDES tries them twice.
SIDE = {"sqlite": "before", "postgres": "after"}
ONE_SIDE = "PAYDUE_TEST_CRASH_BOTH_SIDES" not in os.environ
CALLS_MIN = 22
COMMITS_MIN = 27
# Every reservation of pace is alike; each endpoint of the scenario makes at least one.
PACE_POINTS = 6 * 2
# Guests' sessions are listed once at least, and again by the clock.
GUEST_POINTS = 2


async def test_a_run_killed_at_any_commit_or_call_is_finished_by_the_next(
    engine: str,
    fresh_database: Fresh,
    lanes: Sequence[Zygote],
    count_points: Callable[[str, int], None],
) -> None:
    points = await _all_points(fresh_database, lanes[0])
    if ONE_SIDE:
        points = [point for point in points if point.startswith(SIDE[engine])]
    assert len([point for point in points if " call " in point]) >= CALLS_MIN
    assert len([point for point in points if " commit " in point]) >= COMMITS_MIN

    wrong = await _tried(points, fresh_database, lanes, concurrency=1)

    assert wrong == {}
    count_points("autopay", len(points))


async def test_a_run_killed_among_many_charges_at_once_is_finished_by_the_next(
    fresh_database: Fresh, lanes: Sequence[Zygote], count_points: Callable[[str, int], None]
) -> None:
    points = [f"after call {number}" for number in range(1, 22, 3)]

    wrong = await _tried(points, fresh_database, lanes, concurrency=8)

    assert wrong == {}
    count_points("autopay with eight at once", len(points))


async def test_a_process_that_dies_again_and_again_still_gets_everything_done(
    fresh_database: Fresh, lanes: Sequence[Zygote], count_points: Callable[[str, int], None]
) -> None:
    trial = await Trial.begun(fresh_database, lanes[0], "storm")

    # A run reads Stripe's events first, so a life needs more than a few calls to get further.
    deaths = await trial.storm(every=12)

    assert deaths >= 5
    assert trial.wrong == []
    count_points("deaths in one storm", deaths)


async def _all_points(fresh_database: Fresh, lane: Zygote) -> list[str]:
    """Where a run that nobody disturbs passes: around its commits, around its calls."""
    trial = await Trial.begun(fresh_database, lane, "undisturbed")
    commits, calls = await trial.undisturbed()
    assert trial.wrong == []
    pace = [point for point in commits if " pace " in point][:PACE_POINTS]
    assert len(pace) == PACE_POINTS
    rest = [point for point in commits if " pace " not in point]
    around = [f"{side} {call}" for call in calls for side in ("before", "after")]
    guests = [point for point in around if " guests " in point][:GUEST_POINTS]
    assert len(guests) == GUEST_POINTS
    return pace + rest + guests + [point for point in around if " guests " not in point]


async def _tried(
    points: Sequence[str], fresh_database: Fresh, lanes: Sequence[Zygote], *, concurrency: int
) -> dict[str, list[str]]:
    """What was wrong, by the point of the death."""
    left: Iterator[tuple[int, str]] = iter(enumerate(points))
    wrong: dict[str, list[str]] = {}

    async def work(lane: Zygote) -> None:
        for disorder, point in left:
            trial = await Trial.begun(fresh_database, lane, point, concurrency, disorder)
            await trial.killed()
            if trial.wrong:
                wrong[point] = trial.wrong

    await asyncio.gather(*(work(lane) for lane in lanes))
    return wrong


class Trial:
    """One database, one Stripe, one death at one point, one restart, and the verdict."""

    def __init__(self, url: str, lane: Zygote, point: str, concurrency: int, disorder: int) -> None:
        self.point = point
        self.wrong: list[str] = []
        self._url = url
        self._lane = lane
        self._concurrency = concurrency
        self._disorder = disorder
        self._stripe = scenario.a_stripe()
        self._calls = Calls(self._stripe.app)
        self._stripe.app = self._calls  # type: ignore[assignment]

    @classmethod
    async def begun(
        cls, fresh: Fresh, lane: Zygote, point: str, concurrency: int = 1, disorder: int = 0
    ) -> "Trial":
        return cls(await fresh(), lane, point, concurrency, disorder)

    async def undisturbed(self) -> tuple[list[str], list[str]]:
        async with self._stripe.running() as stripe_url:
            life = await self._begin(stripe_url, die_at=None)
            self._calls.aim(life.pid)
            commits = await life.told("points")
            assert await life.end() == 0
            calls = list(self._calls.seen)
            await self._judge(stripe_url)
        return commits, calls

    async def killed(self) -> None:
        async with self._stripe.running() as stripe_url:
            at_call = " call " in self.point or " guests " in self.point
            self._calls.aim(0)
            life = await self._begin(stripe_url, die_at=None if at_call else self.point)
            self._calls.aim(life.pid, self.point if at_call else None)
            if await life.end() != SIGKILLED:
                self.wrong.append("it lived")
            await self._judge(stripe_url)

    async def storm(self, *, every: int) -> int:
        async with self._stripe.running() as stripe_url:
            life = await self._begin(stripe_url, die_at=None)
            self._calls.aim(life.pid, every=every)
            ended, deaths = await life.end(), 0
            while ended == SIGKILLED:
                deaths += 1
                assert deaths < 100, "no life gets any further"
                life = await self._lane.begin(
                    "one_of_many", database_url=self._url, stripe_url=stripe_url,
                    concurrency=self._concurrency,
                )  # fmt: skip
                self._calls.aim(life.pid, every=every)
                ended = await life.end()
            assert ended == 0
            await self._judge(stripe_url)
        return deaths

    async def _begin(self, stripe_url: str, *, die_at: str | None) -> Any:
        return await self._lane.begin(
            "run", database_url=self._url, stripe_url=stripe_url,
            concurrency=self._concurrency, die_at=die_at,
        )  # fmt: skip

    async def _judge(self, stripe_url: str) -> None:
        life = await self._lane.begin(
            "restart", database_url=self._url, stripe_url=stripe_url,
            concurrency=self._concurrency, disorder=self._disorder,
        )  # fmt: skip
        said = await life.told("verdict")
        assert await life.end() == 0
        self._expect("charged by a third run", said["charged_again"], [])
        self._expect_books("before the events", said["before"], scenario.PAID, scenario.ATTEMPTS)
        self._expect_books(
            "after the events", said["after"], scenario.PAID_AFTER, scenario.ATTEMPTS_AFTER
        )
        net = {int(invoice): taken for invoice, taken in
               self._stripe.ledger.net_by_invoice().items()}  # fmt: skip
        self._expect("taken", net, scenario.TAKEN_AFTER)
        self._expect("charged twice", self._stripe.ledger.double_charges(), {})
        self._expect(
            "intents", self._stripe.status()["counts"]["payment_intents"], scenario.INTENTS
        )
        self._expect_events(said["after"]["events"])

    def _expect_books(
        self, when: str, books: Any, paid: dict[int, int], attempts: dict[int, list[str]]
    ) -> None:
        found = {int(one): int(float(amount)) for one, amount in books["paid"].items()}
        self._expect(f"paid {when}", {one: sum_ for one, sum_ in found.items() if sum_}, paid)
        states: dict[int, list[str]] = {}
        for invoice, _, state in books["attempts"]:
            states.setdefault(invoice, []).append(state)
        self._expect(f"attempts {when}", states, attempts)
        self._expect(f"leases {when}", books["leased"], [])

    def _expect_events(self, kept: dict[str, str]) -> None:
        self._expect("events", sorted(kept), sorted(one["id"] for one in self._stripe.events))
        odd = {one: state for one, state in kept.items() if state not in ("applied", "ignored")}
        self._expect("events not applied", odd, {})

    def _expect(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found} instead of {wanted}")

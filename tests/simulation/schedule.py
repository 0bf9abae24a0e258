"""One schedule: steps drawn by its seed, then everything comes to rest, and is judged."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from app.payments.webhook import dead_letters
from tests.simulation import judge, steps
from tests.simulation.world import Place, World, world

STEPS = (10, 30)
# As many kinds are drawn for each step; the first that has anything to do is it.
DRAWN = 3
# By the loop's clock, which skips: a step that waits longer waits for a lease that nobody holds.
WAIT_MAX_S = 60
# At most so often everything is told and asked again, until nothing is left to say.
ROUNDS = 5


class ScheduleFailed(Exception):
    """Names the seed, so that the schedule can be run again, and tells its story."""

    def __init__(self, seed: int, story: list[str], why: str) -> None:
        told = "\n".join(story)
        super().__init__(
            f"schedule {seed} failed: {why}\n{told}\n"
            f"again: python -m tests.simulation --schedules 1 --seed {seed}"
        )
        self.seed = seed
        self.why = why
        self._given = seed, story, why

    def __reduce__(self) -> tuple[type["ScheduleFailed"], tuple[int, list[str], str]]:
        """It crosses from one process to another, where the error itself may not."""
        return ScheduleFailed, self._given


async def run(seed: int, here: Place) -> Counter[str]:
    """Runs the schedule of this seed; answers how often each kind of step occurred in it."""
    w = await world(seed, here)
    try:
        await _run(w)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ScheduleFailed(seed, w.story, why) from error
    return w.did


async def _run(w: World) -> None:
    await judge.check_books(w)
    names = list(steps.KINDS)
    weights = [steps.KINDS[name][0] for name in names]
    for _ in range(w.random.randint(*STEPS)):
        for name in w.random.choices(names, weights, k=DRAWN):
            if await _take(w, name):
                break
    async with asyncio.timeout(WAIT_MAX_S):
        await _rest(w)
    await judge.check_end(w)


async def _take(w: World, name: str) -> bool:
    _, step = steps.KINDS[name]
    before = len(w.story)
    w.story.append(f"{before + 1:4} {name}, day {w.days}")
    async with asyncio.timeout(WAIT_MAX_S):
        did = await step(w)
    if not did:
        del w.story[before:]
        return False
    w.did[name] += 1
    w.collect()
    await judge.check_books(w)
    return True


async def _rest(w: World) -> None:
    """No more faults; days pass, so that keys are forgotten; what was lost is found.

    What was parked is tried again, and what has no answer is asked about.
    """
    w.story.append("     rest")
    w.sandbox.clear_faults()
    while w.later:
        await steps.the_invoice_comes(w)
    await _hear_all(w)
    for _ in range(ROUNDS):
        await w.pass_time(26 * steps.HOUR)
        await w.node.autopay().recover()
        await w.pass_time(2 * steps.HOUR)
        await _deliver_all(w)
        await w.node.reconciliation().run()
        await w.node.autopay().recover()
        await _retry_parked(w)
        await _deliver_all(w)
        await judge.check_books(w)
        if not w.waiting and not w.sandbox.clock._timers and not await _waits(w):
            return


async def _hear_all(w: World) -> None:
    """Where Stripe has told everything, its events alone are enough to know it all."""
    await _deliver_all(w)
    if w.did["event lost"] or w.did["event never made"] or w.did["older copy restored"]:
        return
    await _retry_parked(w)
    await judge.check_told(w)


async def _retry_parked(w: World) -> None:
    in_five_days = datetime.now(UTC) + timedelta(days=5)
    await dead_letters.retry_due(w.database, w.node.installation, in_five_days)


async def _deliver_all(w: World) -> None:
    w.collect()
    w.waiting, waiting = [], w.waiting
    await steps.received(w, waiting)
    w.collect()


async def _waits(w: World) -> bool:
    """Whether anything is open, other than events in a currency that fits no invoice."""
    parked = {intent for (intent,) in await w.look(_PARKED_SQL)}
    return bool(parked - w.never_fits or await w.look(_OPEN_SQL))


_OPEN_SQL = "SELECT id FROM charge_attempt WHERE state IN ('open', 'unknown', 'processing')"
_PARKED_SQL = "SELECT intent_id FROM stripe_event WHERE state = 'parked'"

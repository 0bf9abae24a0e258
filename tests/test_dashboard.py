"""Each query of the dashboard and of the alerts is asked of a real Prometheus, and answered."""

import asyncio
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from app.worker import Worker
from tests import prometheus
from tests.conftest import absent
from tests.harness import Paydue, event, intent
from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import Load, server
from tests.test_worker import a_job, finished

pytestmark = pytest.mark.anyio

DASHBOARD = Path(__file__).parents[1] / "ops/grafana-dashboard.json"
# They have no sample before something goes wrong.
OF_TROUBLE = ("paydue_stripe_pace_wait", "paydue_database_errors")


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The words of a query are the same whatever the database is."""
    copy = tmp_path / "paydue.db"
    copy.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{copy}"


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


async def test_every_query_of_the_dashboard_is_answered(paydue: Paydue, tmp_path: Path) -> None:
    if prometheus.program("prometheus") is None:
        absent(prometheus.MISSING)
    await paydue.an_invoice()
    await a_job(paydue, "autopay")  # due now, not tomorrow morning
    worker = Worker(replace(paydue.node, stop=asyncio.Event()))
    working = asyncio.create_task(worker.run())
    for job in ("autopay", "reconcile"):
        await finished(paydue, job)
    worker.node.stop.set()
    await working
    with prometheus.scraping(paydue.url.removeprefix("http://"), tmp_path) as url:
        deadline = time.monotonic() + wait_limit(40)
        unanswered = [one for one in queries() if not any(name in one for name in OF_TROUBLE)]
        while unanswered and time.monotonic() < deadline:
            await paydue.deliver(event("payment_intent.succeeded", intent(None)))
            await paydue.reconcile()
            unanswered = [one for one in unanswered if not await answer(url, one)]
            await asyncio.sleep(0.5)
        troubles = [
            await answer(url, one) for one in queries() if any(n in one for n in OF_TROUBLE)
        ]

    assert unanswered == []
    assert len(troubles) == len(OF_TROUBLE), "they were asked, and Prometheus understood them"


async def answer(url: str, expression: str) -> list[object]:
    return await asyncio.to_thread(prometheus.ask, url, expression)


def test_every_metric_that_is_asked_for_is_described_in_the_runbook() -> None:
    runbook = (prometheus.ROOT / "docs/operations.md").read_text()
    asked = " ".join([*queries(), prometheus.RULES.read_text()])

    names = {re.sub(r"_(bucket|count|sum)$", "", one) for one in re.findall(r"\bpaydue_\w+", asked)}

    assert [one for one in sorted(names) if f"`{one}`" not in runbook] == []


async def test_whichever_of_several_processes_is_scraped_tells_of_all(
    database_url: str, stripe_url: str, tmp_path: Path
) -> None:
    invoices = await books.write(database_url, None, 3)
    where = {"database_url": database_url, "stripe_url": stripe_url, "folder": tmp_path}
    async with server("--workers", "3", **where) as serving:
        load = Load(serving.url)
        await load.at(20, 2, invoices)
        assert load.statuses() == {200}

        counts = [await delivered(serving.url) for _ in range(12)]

    assert set(counts) == {40}, "each scrape is a connection, and meets any of the processes"


async def delivered(url: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as scraped:
        text = await scraped.text()
    found = re.findall(r'^paydue_webhook_answers_total{status="200"} (\S+)$', text, re.MULTILINE)
    return float(found[0]) if found else 0

"""Behind an nginx that passes upgrades on, no anonymous request takes a delivery of Stripe's."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from app.sandbox.server import Sandbox
from tests.conftest import absent
from tests.edge.proxies import NGINX, PASSES_UPGRADES_ON, RunningProxy
from tests.edge.wire import exchange
from tests.harness import NO_STRIPE, Paydue, event, intent, settings_for, signed

pytestmark = pytest.mark.anyio
# A thousand with PAYDUE_FUZZ_ROUNDS=4.
TRIES = 250 * int(os.environ.get("PAYDUE_FUZZ_ROUNDS", "1"))
# Long enough for head and body to come in segments of their own; its end would be the head of the
# request that comes next on the connection, to whoever takes the body for requests.
BODY = b"\r\n" * 20_000 + b"GET /healthz HTTP/1.1\r\nHost: paydue\r\nX: "
ATTACK = (
    b"POST /auth/token HTTP/1.1\r\nHost: paydue\r\nConnection: close, Upgrade\r\nUpgrade: x\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
) + BODY
DELIVERY = (
    b"POST /stripe/webhook HTTP/1.1\r\nHost: paydue\r\nConnection: close\r\n"
    b"Stripe-Signature: %b\r\nContent-Length: %d\r\n\r\n%b"
)


@pytest.fixture
async def paydue(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Paydue]:
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'paydue.db')}"
    async with Paydue.running(settings_for(url, NO_STRIPE), Sandbox(seed=0)) as running:
        yield running


async def test_no_delivery_is_lost_in_hundreds_of_tries(paydue: Paydue, tmp_path: Path) -> None:
    if not NGINX.is_installed:
        absent("no nginx: apt-get install nginx")
    port = int(paydue.url.rpartition(":")[2])

    with NGINX.before(port, tmp_path, PASSES_UPGRADES_ON) as nginx:
        answers = [await attacked_and_delivered(nginx) for _ in range(TRIES)]

    assert [one for one in answers if not is_taken(one)] == []
    assert len(await paydue.events()) == TRIES


async def attacked_and_delivered(nginx: RunningProxy) -> bytes:
    """The answer to the delivery, which comes next on the connection that the attack went on."""
    await exchange(nginx.port, ATTACK)
    body = orjson.dumps(event("payment_intent.created", intent(None)))
    return await exchange(nginx.port, DELIVERY % (signed(body).encode(), len(body), body))


def is_taken(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b'{"received":true}')

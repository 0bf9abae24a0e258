"""Security events are logged in one form, and no flood of them fills the disk."""

import aiohttp
import pytest
import structlog
from structlog.testing import capture_logs

from app import security_log
from app.halo.access.api_credentials import create_credential
from app.logs import SAMPLE_BURST, LogSampler
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import Database
from tests.api.client import Api
from tests.clock import NOW, Clock
from tests.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _nothing_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of this process have done counts for nothing here."""
    monkeypatch.setattr(security_log, "_sampler", LogSampler())
    monkeypatch.setattr(security_log, "log", structlog.get_logger("paydue.security"))


async def test_a_token_that_is_bought_or_refused_is_logged_without_its_secret(
    service: Service,
) -> None:
    client_id, secret = await service.access("read:invoices")
    form = {"grant_type": "client_credentials", "client_id": client_id}

    with capture_logs() as logs:
        bought = await service.api.token(**form, client_secret=secret)
        await service.api.token(**form, client_secret="wrong")
        await service.api.token(**{**form, "client_id": secret}, client_secret="wrong")

    issued, refused, unknown = (one for one in logs if one["event"] == "security event")
    assert (issued["kind"], issued["client_id"], issued["scope"]) == (
        "token_issued",
        client_id,
        "read:invoices",
    )
    assert issued["access_id"]
    assert (refused["kind"], refused["client_id"]) == ("token_refused", client_id)
    assert refused["peer"] == "127.0.0.1"
    assert "client_id" not in unknown  # a secret may have been pasted there
    assert secret not in str(logs)
    assert bought.json["access_token"] not in str(logs)


async def test_what_a_token_does_not_open_is_logged_with_its_credential(service: Service) -> None:
    async with service.signed_in("read:customers") as stranger:
        with capture_logs() as logs:
            await stranger.send("GET", "/api/Invoice")
            await stranger.send("GET", "/api/Invoice", headers={"Authorization": "Bearer no"})

    forbidden, unknown = (one for one in logs if one["event"] == "security event")
    assert (forbidden["kind"], forbidden["method"], forbidden["path"]) == (
        "not_allowed",
        "GET",
        "/api/Invoice",
    )
    assert forbidden["access_id"]
    assert unknown["kind"] == "not_authenticated"
    assert "access_id" not in unknown


async def test_a_caller_beyond_the_rate_limit_is_logged(database: Database, clock: Clock) -> None:
    settings = Settings(_env_file=None, PAYDUE_RATE_LIMIT=1)
    async with (
        serve_in_loop(create_app(settings, database, clock=clock)) as base,
        aiohttp.ClientSession(base) as session,
    ):
        api = Api(session, database)
        async with database.transaction() as tx:
            credentials = await create_credential(tx, "fast", ["all"], NOW)
        await api.sign_in(*credentials)
        with capture_logs() as logs:
            statuses = [(await api.send("GET", "/api/Client")).status for _ in range(2)]

    assert statuses == [200, 429]
    [limited] = [one for one in logs if one["event"] == "security event"]
    assert limited["kind"] == "rate_limited"
    assert limited["access_id"]


@pytest.mark.parametrize("path", ["/stripe/webhook", "/api/Invoice", "/auth/token"])
async def test_a_flood_of_refused_requests_writes_few_lines_and_is_counted(
    service: Service, path: str
) -> None:
    method = "GET" if path == "/api/Invoice" else "POST"

    with capture_logs() as logs:
        for _ in range(SAMPLE_BURST * 5):
            await service.api.send(method, path, headers={"Authorization": "Bearer no"}, data=b"")

    assert len(logs) <= SAMPLE_BURST + 5
    shown = (await service.api.send("GET", "/metrics", headers={})).text
    counts = [
        float(line.split()[-1])
        for line in shown.splitlines()
        if line.startswith("paydue_security_events_total")
    ]
    assert max(counts) >= SAMPLE_BURST * 5

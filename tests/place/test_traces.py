"""A small OTLP collector gets one trace from a delivery to its commit, and from a charge to Stripe.

The spans carry ids and outcomes, and none of what is private. Without an endpoint nothing is traced
and nothing of OpenTelemetry is imported; a collector that is away delays nobody.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.sandbox.server import Sandbox
from tests.harness import KEY, SECRET
from tests.place import books
from tests.place.programs import STOPPED_WITHIN_S, Load, program, server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
NOBODY = "http://127.0.0.1:9"


@dataclass
class Collector:
    """What an OTLP collector on a loopback port has been sent."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    def spans(self) -> list[Span]:
        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resources(self) -> list[dict[str, Any]]:
        return [
            {one.key: one.value.string_value for one in resource.resource.attributes}
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        ]

    def named(self, name: str) -> list[Span]:
        return [one for one in self.spans() if one.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    found = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            found.headers.append({"path": self.path, **dict(self.headers)})
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    found.url = f"http://127.0.0.1:{listener.server_port}"
    try:
        yield found
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def test_a_delivery_is_one_trace_down_to_its_commit(
    sqlite_url: str, tmp_path: Path, collector: Collector
) -> None:
    invoices = await books.write(sqlite_url, None, 1)
    where: dict[str, Any] = {
        "database_url": sqlite_url, "stripe_url": NOBODY, "folder": tmp_path,
        ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=ours",
    }  # fmt: skip

    async with server(**where) as up:
        sent = await Load(up.url).one(invoices[0])
        code, _ = await up.terminated()

    assert (sent.status, code) == (200, 0)
    (delivery,) = collector.named("POST /stripe/webhook")
    (stored,) = collector.named("store and apply event")
    (commit,) = collector.named("commit batch")
    assert {one.trace_id for one in (delivery, stored, commit)} == {delivery.trace_id}
    assert (delivery.parent_span_id, delivery.kind) == (b"", Span.SPAN_KIND_SERVER)
    assert stored.parent_span_id == delivery.span_id
    assert commit.parent_span_id == stored.span_id
    assert attributes(delivery) == {"http.response.status_code": 200}
    assert attributes(stored) == {
        "paydue.event.id": sent.event_id, "paydue.event.type": "payment_intent.succeeded",
    }  # fmt: skip
    assert attributes(commit) == {"paydue.batch.size": 1}
    assert collector.headers[0]["path"] == "/v1/traces"
    assert collector.headers[0]["x-tenant"] == "ours"
    assert collector.resources()[0]["service.name"] == "paydue"


async def test_each_delivery_of_a_batch_is_linked_to_the_commit(
    sqlite_url: str, tmp_path: Path, collector: Collector
) -> None:
    invoices = await books.write(sqlite_url, None, 1)
    where: dict[str, Any] = {
        "database_url": sqlite_url, "stripe_url": NOBODY, "folder": tmp_path,
        ENDPOINT: collector.url,
    }  # fmt: skip

    async with server(**where) as up:
        await Load(up.url).at_once(40, invoices[0])
        await up.terminated()

    stored = {one.span_id for one in collector.named("store and apply event")}
    commits = collector.named("commit batch")
    linked = [link.span_id for one in commits for link in one.links]
    assert len(stored) == 40
    assert {one.parent_span_id for one in commits} | set(linked) == stored
    assert sum(attributes(one)["paydue.batch.size"] for one in commits) == 40


async def test_a_charge_is_one_trace_with_its_calls_to_stripe(
    sqlite_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path, collector: Collector
) -> None:
    (invoice,) = await books.write(sqlite_url, sandbox, 1)
    where: dict[str, Any] = {
        "database_url": sqlite_url, "stripe_url": stripe_url, "folder": tmp_path,
        ENDPOINT: collector.url, "OTEL_SERVICE_NAME": "billing",
    }  # fmt: skip

    async with program("autopay", "run", **where) as run:
        assert await run.end() == 0

    (charge,) = collector.named("charge")
    calls = [one for one in collector.spans() if one.parent_span_id == charge.span_id]
    assert attributes(charge) | {"paydue.attempt.id": 1} == {
        "paydue.attempt.id": 1, "paydue.invoice.id": invoice, "paydue.outcome": "charged",
    }  # fmt: skip
    assert {one.name for one in calls} >= {
        "Stripe POST /v1/payment_intents", "Stripe POST /v1/payment_intents/{id}/confirm",
    }  # fmt: skip
    assert {(one.trace_id, one.kind) for one in calls} == {(charge.trace_id, Span.SPAN_KIND_CLIENT)}
    assert collector.resources()[0]["service.name"] == "billing"


async def test_a_call_that_fails_is_named_by_its_kind_and_not_by_its_words(
    sqlite_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path, collector: Collector
) -> None:
    await books.write(sqlite_url, sandbox, 1)
    sandbox.fault("POST /v1/payment_intents", kind="unauthorized", times=1)
    where: dict[str, Any] = {
        "database_url": sqlite_url, "stripe_url": stripe_url, "folder": tmp_path,
        ENDPOINT: collector.url,
    }  # fmt: skip

    async with program("autopay", "run", **where) as run:
        assert await run.end() == 1

    (create,) = collector.named("Stripe POST /v1/payment_intents")
    assert attributes(create) == {"error.type": "NotAuthorized"}
    assert create.status.message == ""
    assert not create.events


async def test_nothing_private_is_sent(
    sqlite_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path, collector: Collector
) -> None:
    invoices = await books.write(sqlite_url, sandbox, 2)
    where: dict[str, Any] = {
        "database_url": sqlite_url, "stripe_url": stripe_url, "folder": tmp_path,
        ENDPOINT: collector.url,
    }  # fmt: skip

    async with program("autopay", "run", **where) as run:
        assert await run.end() == 0
    async with server(**where) as up:
        await Load(up.url).one(invoices[0])
        await up.terminated()

    sent = b"".join(collector.bodies)
    private = [KEY, SECRET, "cus_", "pm_", "client_secret", "whsec_", "sk_", str(tmp_path)]
    assert len(collector.spans()) > 5
    assert [one for one in private if one.encode() in sent] == []


async def test_a_collector_that_is_away_delays_no_delivery_and_no_end(
    sqlite_url: str, tmp_path: Path
) -> None:
    invoices = await books.write(sqlite_url, None, 1)
    where: dict[str, Any] = {
        "database_url": sqlite_url, "stripe_url": NOBODY, "folder": tmp_path, ENDPOINT: NOBODY,
    }  # fmt: skip

    async with server(**where) as up:
        load = Load(up.url)
        await load.at_once(20, invoices[0])
        code, seconds = await up.terminated()

    assert load.statuses() == {200}
    assert (code, seconds < STOPPED_WITHIN_S) == (0, True)
    assert "Traceback" not in up.log()


# --- settings --------------------------------------------------------------------------------

CONFIGURE = """
import sys
from app import tracing
from app.errors import ConfigurationError
try:
    tracing.configure()
except ConfigurationError as error:
    print(error)
print(tracing.is_on(), any(name.startswith("opentelemetry") for name in sys.modules))
"""


def configured(folder: Path, before: str = "", **given: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", before + CONFIGURE], cwd=folder, text=True, check=True,
        capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT), **given},
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: NOBODY, "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: NOBODY, "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=str,
)
def test_without_an_endpoint_nothing_is_traced_and_nothing_imported(
    tmp_path: Path, given: dict[str, str]
) -> None:
    assert configured(tmp_path, **given) == "False False"


def test_the_endpoint_may_stand_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{ENDPOINT}={NOBODY}\n")

    assert configured(tmp_path) == "True True"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({ENDPOINT: "localhost:4318"}, f"{ENDPOINT}: is no address like http://localhost:4318"),
        ({ENDPOINT: NOBODY, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "sent by http/protobuf"),
        ({ENDPOINT: NOBODY, "OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: traces are"),
    ],
)
def test_settings_that_cannot_be_followed_are_named(
    tmp_path: Path, given: dict[str, str], words: str
) -> None:
    said = configured(tmp_path, **given)

    assert words in said
    assert said.endswith("False False")


def test_a_missing_package_is_named_with_its_cure(tmp_path: Path) -> None:
    lacking = 'import sys\nsys.modules["opentelemetry.sdk"] = None\n'

    said = configured(tmp_path, lacking, **{ENDPOINT: NOBODY})

    assert "pip install 'paydue[otel]'" in said

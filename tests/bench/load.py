"""A load of signed webhooks over 32 kept-alive connections, from a process of its own.

Requests are made before the clock starts, so that the generator costs little while it runs.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path

import uvloop

SECRET = "whsec_bench_of_paydue_0123456789"
INVOICES = 1000
AMOUNT = 100


def requests(template: bytes, count: int, run: str, secret: str = SECRET) -> list[bytes]:
    """Distinct succeeded PaymentIntents over 1,000 invoices, as Stripe posts them."""
    text = template.decode()
    event = json.loads(text)
    intent = event["data"]["object"]
    now = int(time.time())
    made = []
    for number in range(count):
        body = (
            text.replace(event["id"], f"evt_{run}{number:020d}")
            .replace(intent["id"], f"pi_{run}{number:020d}")
            .replace(intent["latest_charge"], f"ch_{run}{number:020d}")
            .replace('"invoice_id": "1"', f'"invoice_id": "{number % INVOICES + 1}"')
        ).encode()
        digest = hmac.new(secret.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
        head = (
            f"POST /stripe/webhook HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Stripe-Signature: t={now},v1={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the last is answered."""

    def __init__(self, todo: list[bytes], latencies: list[float], ended: asyncio.Future) -> None:
        self.todo, self.latencies, self.ended = todo, latencies, ended
        self.received = b""
        self.bad = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        if not self.todo:
            self.transport.close()
            if not self.ended.done():
                self.ended.set_result(self.bad)
            return
        self.sent = time.perf_counter()
        self.transport.write(self.todo.pop())

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        self.latencies.append(time.perf_counter() - self.sent)
        self.bad += not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201"))
        self.received = b""
        self.next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server closed"))


async def run(port: int, todo: list[bytes], connections: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    count = len(todo)
    ends = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    for end in ends:
        await loop.create_connection(
            lambda end=end: Connection(todo, latencies, end), "127.0.0.1", port
        )
    bad = sum(await asyncio.gather(*ends))
    took = time.perf_counter() - started
    latencies.sort()
    return {
        "events": count,
        "not_200": bad,
        "per_second": count / took,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
    }


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--count", type=int)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--run", default="a")
    options.add_argument("--secret", default=SECRET)
    options.add_argument("--template", type=Path)
    options.add_argument("--stdin", action="store_true", help="a JSON list of requests comes in")
    given = options.parse_args()
    if given.stdin:
        todo = [one.encode("latin-1") for one in reversed(json.load(sys.stdin))]
    else:
        todo = requests(given.template.read_bytes(), given.count, given.run, given.secret)
    json.dump(uvloop.run(run(given.port, todo, given.connections)), sys.stdout)


if __name__ == "__main__":
    main()

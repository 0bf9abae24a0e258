"""The floor: the smallest Starlette app that does the job durably. Group commit, sqlite3, one file.

It verifies, parses, and writes one event row, one payment row and the invoice's paid amount. It has
no rules, no order of events, no audit, no recovery: what is left of a webhook when nothing else is.
"""

import asyncio
import hashlib
import hmac
import os
import sqlite3
import time

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECRET = os.environ["STRIPE_WEBHOOK_SECRET"].encode()
SCHEMA = """
CREATE TABLE event (id INTEGER PRIMARY KEY, event_id TEXT UNIQUE, type TEXT, payload BLOB);
CREATE TABLE payment (id INTEGER PRIMARY KEY, intent_id TEXT UNIQUE, invoice_id INT, amount INT);
CREATE TABLE invoice (id INTEGER PRIMARY KEY, amountpaid INT NOT NULL DEFAULT 0);
CREATE INDEX payment_invoice ON payment (invoice_id);
"""

database = sqlite3.connect(
    os.environ["BENCH_DATABASE"], isolation_level=None, check_same_thread=False
)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=FULL")
database.executescript(SCHEMA)
database.executemany("INSERT INTO invoice (id) VALUES (?)", [(n,) for n in range(1, 1001)])
waiting: list[tuple[dict, bytes, asyncio.Future]] = []
committing: asyncio.Task | None = None


def commit(batch: list[tuple[dict, bytes, asyncio.Future]]) -> None:
    database.execute("BEGIN IMMEDIATE")
    for event, body, _ in batch:
        intent = event["data"]["object"]
        new = database.execute(
            "INSERT OR IGNORE INTO event (event_id, type, payload) VALUES (?, ?, ?)",
            (event["id"], event["type"], body),
        ).rowcount
        if new:
            invoice = int(intent["metadata"]["invoice_id"])
            database.execute(
                "INSERT OR IGNORE INTO payment (intent_id, invoice_id, amount) VALUES (?, ?, ?)",
                (intent["id"], invoice, intent["amount_received"]),
            )
            database.execute(
                "UPDATE invoice SET amountpaid = amountpaid + ? WHERE id = ?",
                (intent["amount_received"], invoice),
            )
    database.execute("COMMIT")


async def commit_waiting() -> None:
    while waiting:
        batch = waiting[:]
        del waiting[:]
        await asyncio.to_thread(commit, batch)
        for _, _, durable in batch:
            durable.set_result(None)


async def webhook(request: Request) -> Response:
    global committing  # noqa: PLW0603
    body = await request.body()
    parts = dict(part.split("=", 1) for part in request.headers["stripe-signature"].split(","))
    signed = parts["t"].encode() + b"." + body
    expected = hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, parts["v1"]) or abs(time.time() - int(parts["t"])) > 300:
        return Response(status_code=400)
    durable = asyncio.get_running_loop().create_future()
    waiting.append((orjson.loads(body), body, durable))
    if committing is None or committing.done():
        committing = asyncio.create_task(commit_waiting())
    await durable
    return Response(b'{"received":true}')


app = Starlette(routes=[Route("/stripe/webhook", webhook, methods=["POST"])])

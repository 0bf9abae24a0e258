"""A Stripe balance in front of the sandbox: its payouts and balance transactions, as lists.

Every other request is passed on. Objects have the fields of Stripe's published fixtures.
"""

import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.server import Sandbox
from app.sandbox.transport import asgi_server

Thing = dict[str, Any]
PAGE = 100  # the most that Stripe shows at once, and Paydue asks for


class StripeBalance:
    """Balance transactions and payouts of one account; a test makes them and Paydue lists them."""

    def __init__(self, stripe: ASGIApp) -> None:
        self.url = ""
        self.refusal: tuple[int, Thing] | None = None
        self.listed: list[str] = []
        self.shows_payouts_contents = True
        self._stripe = stripe
        self._numbers = itertools.count(1)
        self.transactions: list[Thing] = []
        self.payouts: list[Thing] = []
        self._contents: dict[str, str] = {}

    # --- what happens at Stripe --------------------------------------------------------------

    def moves(self, kind: str, amount: int, fee: int = 0, **more: Any) -> Thing:
        """A balance transaction of minor units; `source` is the charge, refund or dispute."""
        now = int(time.time())
        transaction = {
            "id": f"txn_{next(self._numbers):04}",
            "object": "balance_transaction",
            "amount": amount,
            "available_on": now + 2 * 86400,
            "balance_type": "payments",
            "created": now,
            "currency": "usd",
            "description": None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [],
            "net": amount - fee,
            "reporting_category": kind,
            "source": None,
            "status": "pending",
            "type": kind,
            **more,
        }
        self.transactions.append(transaction)
        return transaction

    def pays_out(self, *transactions: Thing, status: str = "paid", **more: Any) -> Thing:
        """A payout of these transactions, with the movement that it is itself."""
        payout_id = f"po_{next(self._numbers):04}"
        currency = transactions[0]["currency"] if transactions else "usd"
        amount = more.pop("amount", sum(one["net"] for one in transactions))
        own = self.moves("payout", -amount, source=payout_id, currency=currency)
        payout = {
            "id": payout_id,
            "object": "payout",
            "amount": amount,
            "arrival_date": own["created"] // 86400 * 86400,
            "automatic": True,
            "balance_transaction": own["id"],
            "created": own["created"],
            "currency": currency,
            "description": "STRIPE PAYOUT",
            "failure_code": None,
            "livemode": False,
            "metadata": {},
            "reconciliation_status": "completed",
            "status": status,
            **more,
        }
        self.payouts.append(payout)
        self._contents |= {one["id"]: payout_id for one in (*transactions, own)}
        return payout

    # --- the API -----------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # the sandbox behind it has been started already
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        lists: dict[str, Callable[[Thing], Response]] = {
            "/v1/payouts": self._list_payouts,
            "/v1/balance_transactions": self._list_transactions,
        }
        answer = lists.get(scope["path"])
        if answer is None:
            await self._stripe(scope, receive, send)
            return
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"]).items()}
        params = {name.decode(): value.decode() for name, value in query.items()}
        self.listed.append(Request(scope).url.path + "?" + scope["query_string"].decode())
        await answer(params)(scope, receive, send)

    def _list_payouts(self, params: Thing) -> Response:
        return self._page("/v1/payouts", self.payouts, params)

    def _list_transactions(self, params: Thing) -> Response:
        payout_id = params.get("payout")
        if payout_id is None:
            return self._page("/v1/balance_transactions", self.transactions, params)
        (payout,) = [one for one in self.payouts if one["id"] == payout_id]
        if not payout["automatic"]:
            message = "Balance transaction history can only be filtered on automatic transfers."
            return _json({"error": {"type": "invalid_request_error", "message": message}}, 400)
        shown = [
            one
            for one in self.transactions
            if self.shows_payouts_contents and self._contents.get(one["id"]) == payout_id
        ]
        return self._page("/v1/balance_transactions", shown, params)

    def _page(self, url: str, things: list[Thing], params: Thing) -> Response:
        """A page, newest first, as `created[gte]` and `starting_after` say."""
        if self.refusal:
            return _json(self.refusal[1], self.refusal[0])
        oldest = int(params.get("created[gte]", 0))
        rows = [one for one in reversed(things) if one["created"] >= oldest]
        after = params.get("starting_after")
        if after:
            rows = rows[[one["id"] for one in rows].index(after) + 1 :]
        data = rows[:PAGE]
        found = {"object": "list", "data": data, "has_more": len(rows) > PAGE, "url": url}
        return _json(found, 200)


def _json(content: Thing, status: int) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


@contextlib.asynccontextmanager
async def with_balance(sandbox: Sandbox) -> AsyncIterator[StripeBalance]:
    """Another address of a running sandbox, which has a balance."""
    balance = StripeBalance(sandbox.app)
    async with asgi_server.serve(balance, 0, "127.0.0.1") as balance.url:
        yield balance

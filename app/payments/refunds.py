"""One refund that a person asks for, as steps that any process may go on with after a crash.

    open    transaction: the amount is checked under the payment's lock, the exact call is stored
    send    no transaction: the call, under a key that makes it once
    book    transaction: settlement.record, the same function that webhooks use

Without an answer the same call is sent again under the same key while Stripe knows the key; after
that the intent's refunds are listed, and the request is found among them by its metadata. Nothing
here ever makes a second refund.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import structlog

from app.errors import Refused
from app.ledger import refund_requests, settlement
from app.ledger.refund_requests import RefundRequestRow, WantedRefund
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    ReplayedFailure,
    RequestRefused,
    StripeKeyReused,
    StripeRateLimited,
    with_backoff,
)
from app.payments.stripe.stripe_objects import evidence_in, metadata_number, refund_report
from app.rules import money
from app.rules.claim import Evidence
from app.rules.refund import REQUEST_KEY, UNRESOLVED, RefundState, refund_key
from app.storage.driver_errors import DuplicateKey
from app.storage.engines import Database, Tx

log = structlog.get_logger("paydue.refunds")

# Stripe forgets a key after 24 h at the earliest; an hour less allows for clocks that differ.
KEY_LASTS = timedelta(hours=23)
_NO_REFUND = "Stripe lists no refund of it; nothing was given back"


@dataclass(frozen=True, slots=True)
class Refunds:
    """Makes refunds, and goes on with those that got no answer. Its gateway is open."""

    database: Database
    gateway: Gateway
    installation: str
    stop: asyncio.Event

    async def refund(self, wanted: WantedRefund) -> RefundRequestRow:
        """Give money back, and answer the request as it is then; Refused with Stripe's words.

        An `unknown` one was perhaps made: the worker asks until Stripe answers.
        """
        request = await self._open(wanted)
        try:
            if request.state == RefundState.OPEN:
                request = await self._send(request, is_first=True)
            elif request.state == RefundState.UNKNOWN:
                request = await self._go_on(request.id) or request
        except NotAuthorized as error:
            raise Refused(f"Stripe does not accept the key: {error}") from error
        if request.state == RefundState.REFUSED:
            raise Refused(f"Stripe refuses the refund: {request.said}")
        return request

    async def recover(self) -> int:
        """Go on with the requests whose time to be asked about has come. Answers how many."""
        async with self.database.snapshot() as tx:
            due = await refund_requests.list_due(tx, now=self.database.now())
        count = 0
        for request_id in due:
            if self.stop.is_set():
                break
            count += await self._go_on(request_id) is not None
        return count

    async def _open(self, wanted: WantedRefund) -> RefundRequestRow:
        now = self.database.now()
        try:
            return await self.database.with_retry(
                lambda tx: refund_requests.open_request(
                    tx, wanted, installation=self.installation, now=now
                )
            )
        except DuplicateKey:
            raise Refused("Idempotency-Key: it has made another refund request") from None

    async def _go_on(self, request_id: int) -> RefundRequestRow | None:
        now = self.database.now()
        async with self.database.transaction() as tx:
            request = await refund_requests.take_over(tx, request_id, now=now)
        if request is None:
            return None
        if now - request.created_at > KEY_LASTS:
            return await self._find(request, is_last=True)
        return await self._send(request, is_first=False)

    # --- send --------------------------------------------------------------------------------

    async def _send(self, request: RefundRequestRow, *, is_first: bool) -> RefundRequestRow:
        key = refund_key(self.installation, request.id)
        params = cast(Mapping[str, Any], request.params)
        try:
            made = await with_backoff(lambda: self.gateway.refund(params, key))
        except (RequestRefused, StripeKeyReused) as error:
            return await self._end(request, RefundState.REFUSED, str(error))
        except NotAuthorized as error:
            if is_first:
                return await self._end(request, RefundState.REFUSED, str(error))
            await self._leave_unknown(request, error)
            raise
        except ReplayedFailure:
            return await self._find(request, is_last=False)
        except (NoAnswer, StripeRateLimited) as error:
            return await self._leave_unknown(request, error)
        return await self._book(request, made.object)

    async def _find(self, request: RefundRequestRow, *, is_last: bool) -> RefundRequestRow:
        """The refund that a lost call made. The list is read-after-write, so absence is proof
        once the call is a day old."""
        try:
            async for one in self.gateway.refunds_of(request.intent_id):
                if self._is_made_by(request, one):
                    return await self._book(request, one)
        except (NoAnswer, StripeRateLimited, RequestRefused) as error:
            return await self._leave_unknown(request, error)
        if is_last:
            return await self._end(request, RefundState.FAILED, _NO_REFUND)
        return await self._leave_unknown(request, "Stripe answers with a failure of its own")

    def _is_made_by(self, request: RefundRequestRow, refund: Mapping[str, Any]) -> bool:
        return (
            evidence_in(refund, self.installation) == Evidence.METADATA
            and metadata_number(refund, REQUEST_KEY) == request.id
            and refund.get("amount") == request.amount_minor
        )

    # --- book --------------------------------------------------------------------------------

    async def _book(self, request: RefundRequestRow, refund: Mapping[str, Any]) -> RefundRequestRow:
        async def book(tx: Tx) -> RefundRequestRow:
            now = self.database.now()
            report = refund_report(refund, at=now, installation=self.installation)
            await settlement.record(tx, [report], now=now, who=request.who)
            return await refund_requests.load_request(tx, request.id)

        return _logged(await self.database.with_retry(book))

    async def _end(
        self, request: RefundRequestRow, state: RefundState, said: str
    ) -> RefundRequestRow:
        async def end(tx: Tx) -> RefundRequestRow:
            now = self.database.now()
            await refund_requests.end_without_refund(tx, request, state, said, now=now)
            return await refund_requests.load_request(tx, request.id)

        return _logged(await self.database.with_retry(end))

    async def _leave_unknown(
        self, request: RefundRequestRow, why: Exception | str
    ) -> RefundRequestRow:
        async def leave(tx: Tx) -> RefundRequestRow:
            now = self.database.now()
            await refund_requests.leave_unknown(tx, request, str(why), now=now)
            return await refund_requests.load_request(tx, request.id)

        return _logged(await self.database.with_retry(leave))


def _logged(request: RefundRequestRow) -> RefundRequestRow:
    log.info(
        "refund " + request.state,
        request=request.id,
        intent=request.intent_id,
        refund=request.refund_id,
        why=request.said,
    )
    return request


def refund_as_dict(request: RefundRequestRow) -> dict[str, Any]:
    """A request as the API and `--json` show it."""
    return {
        "id": request.id,
        "state": request.state,
        "intent_id": request.intent_id,
        "invoice_id": request.invoice_id,
        "amount": money.text(request.amount, request.currency),
        "currency": request.currency,
        "reason": request.reason,
        "refund_id": request.refund_id,
        "said": request.said if request.state in (*UNRESOLVED, RefundState.FAILED) else None,
    }

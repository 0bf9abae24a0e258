"""Changes of autopay's rules, written or only tried, with a preview of the invoices they move."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete
from starlette.requests import Request
from starlette.responses import Response

from app.halo.access.authenticator import Caller
from app.halo.access.concurrency_limit import reading_place
from app.halo.engine import request_body
from app.halo.engine.codec import codec_of, number
from app.halo.engine.idempotency import run_idempotent
from app.halo.engine.responses import json_response
from app.halo.resource_writers import WRITERS
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.ledger import autopay_policy
from app.ledger.autopay_policy import RULES
from app.ledger.rule_preview import RulePreview, preview
from app.rules.autopay_rule import Rule, RuleBook
from app.rules.home import Home, home_of
from app.storage.engines import Database, Tx

READ_RULES = "read:autopay"


async def preview_rules(request: Request) -> Response:
    """The open invoices that rules would move if they were posted. Nothing is changed."""

    async def prepare(caller: Caller, body: bytes) -> Response:
        records = codec_of(AUTOPAY_RULES).parse_request(request_body.parse_json(body))
        now: datetime = request.app.state.clock()
        home = home_of(request.app.state.settings)
        database: Database = request.app.state.database
        before, after = await try_rules(
            database, records, replaces=False, now=now, who=caller.name, home=home
        )
        async with reading_place(request, caller):
            found = await preview(database, before, after, now=now, timezone=home.timezone)
        return json_response(preview_as_dict(found))

    return await run_idempotent(request, READ_RULES, prepare)


def preview_as_dict(found: RulePreview) -> dict[str, Any]:
    """A preview as JSON."""
    return {
        "looked_at": found.looked_at,
        "moves": [
            {
                "move": str(move),
                "currency": currency,
                "count": found.counts[move, currency],
                "amount": number(total),
            }
            for (move, currency), total in sorted(found.sums.items())
        ],
        "invoices": [
            {
                "invoice_id": one.invoice_id,
                "move": str(one.move),
                "amount": number(one.amount),
                "currency": one.currency,
                "rule": one.rule,
                "charge_on": one.charge_on.isoformat() if one.charge_on else None,
            }
            for one in found.invoices
        ],
    }


class _Undo(Exception):
    """Takes a trial back."""


async def try_rules(
    database: Database,
    records: Sequence[Mapping[str, Any]],
    *,
    replaces: bool,
    now: datetime,
    who: str,
    home: Home,
) -> tuple[RuleBook, RuleBook]:
    """The rules before and after these are written, which is only tried."""

    async def change(tx: Tx) -> None:
        await write_rules(tx, records, replaces=replaces, now=now, who=who, home=home)

    return await try_change(database, change)


async def try_change(
    database: Database, change: Callable[[Tx], Awaitable[None]]
) -> tuple[RuleBook, RuleBook]:
    """The rules before and after a change, which is tried in a transaction that is taken back."""
    before: list[Rule] = []
    after: list[Rule] = []
    try:
        async with database.transaction() as tx:
            before += await autopay_policy.load_rules(tx)
            await change(tx)
            after += await autopay_policy.load_rules(tx)
            raise _Undo
    except _Undo:
        return RuleBook(before), RuleBook(after)


async def write_rules(
    tx: Tx,
    records: Sequence[Mapping[str, Any]],
    *,
    replaces: bool,
    now: datetime,
    who: str,
    home: Home,
) -> None:
    """Write parsed rules, instead of all that are there where they replace them."""
    if replaces:
        await tx.execute(delete(RULES))
    if records:
        await WRITERS[AUTOPAY_RULES](tx, records, now=now, who=who, home=home)
    else:
        await autopay_policy.raise_revision(tx)

"""The commands on what autopay holds back: approvals, limits and pauses."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import click
from sqlalchemy import select

from app.cli.autopay_rule_commands import WHO
from app.cli.command_group import run, settings_and_logs
from app.cli.refund_commands import MONEY
from app.cli.terminal import amount, console, moment, say, say_json, table
from app.halo.engine.codec import codec_of
from app.halo.resource_writers import WRITERS
from app.halo.resources.autopay_limit_resource import AUTOPAY_LIMITS
from app.ledger import approvals as queue, autopay_pauses, autopay_policy
from app.ledger.approvals import ApprovalState, QueueRow
from app.ledger.autopay_pauses import Pause
from app.ledger.autopay_policy import LIMITS
from app.node import open_current_database
from app.rules import money
from app.rules.autopay_limit import LimitKind
from app.rules.home import home_of
from app.settings import Settings
from app.storage.engines import Tx

T = TypeVar("T")
_by = click.option("--by", "who", required=True, metavar="NAME", help="Who decides it.")
_invoices = click.argument("invoice_ids", nargs=-1, required=True, type=int, metavar="INVOICE...")


# --- approvals -------------------------------------------------------------------------------


@click.group()
def approvals() -> None:
    """Decide about the invoices that autopay holds for a person."""


@approvals.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_approvals(*, as_json: bool) -> None:
    """List what waits, the longest first: the amount, the reason, and since when."""
    rows = _run(queue.list_waiting)
    if as_json:
        say_json([_as_dict(one) for one in rows])
        return
    shown = (
        (
            one.approval.invoice_id, one.invoicenumber,
            amount(one.amountdue, one.approval.currency), moment(one.approval.held_at),
            one.approval.reason,
        )
        for one in rows
    )  # fmt: skip
    columns = (">invoice", "number", ">amount", "held since", "why")
    console().print(table("Waiting for an approval", columns, shown))


def _as_dict(one: QueueRow) -> dict[str, object]:
    held = one.approval
    return {
        "invoice_id": held.invoice_id,
        "invoicenumber": one.invoicenumber,
        "amount": money.text(one.amountdue, held.currency),
        "currency": held.currency,
        "reason": held.reason,
        "rule": held.rule_name,
        "held_at": held.held_at.isoformat(),
    }


@approvals.command("approve")
@_invoices
@_by
@click.option("--reason", default="", help="Why; it stands in the invoice's history.")
def approve(invoice_ids: tuple[int, ...], who: str, reason: str) -> None:
    """Let autopay charge each INVOICE: what is due on it now, and no more.

    The next run charges it, where nothing else stands in the way.
    """
    _decide(invoice_ids, ApprovalState.APPROVED, who, reason)


@approvals.command("reject")
@_invoices
@_by
@click.option("--reason", required=True, help="Why; it stands in the invoice's history.")
def reject(invoice_ids: tuple[int, ...], who: str, reason: str) -> None:
    """Keep autopay from charging each INVOICE, until somebody approves it after all."""
    _decide(invoice_ids, ApprovalState.REJECTED, who, reason)


def _decide(invoice_ids: tuple[int, ...], state: ApprovalState, who: str, reason: str) -> None:
    async def work(tx: Tx) -> list[queue.ChargeApproval]:
        return await queue.decide(
            tx,
            dict.fromkeys(invoice_ids),
            state,
            who=who,
            reason=reason.strip(),
            now=datetime.now(UTC),
        )

    for one in _run(work, writes=True):
        say(f"invoice {one.invoice_id}: {amount(one.amount, one.currency)} is {state} by {who}")


# --- limits ----------------------------------------------------------------------------------


@click.group()
def limits() -> None:
    """Say how much autopay takes without a person; what is over it waits for an approval."""


@limits.command("list")
def list_limits() -> None:
    """List the limits; the least that applies holds."""

    async def read(tx: Tx) -> list[tuple[int, str, Decimal, str, int | None]]:
        columns = (LIMITS.c.id, LIMITS.c.kind, LIMITS.c.amount, LIMITS.c.currency)
        found = await tx.execute(select(*columns, LIMITS.c.client_id).order_by(LIMITS.c.id))
        return [(*row,) for row in found]

    shown = (
        (id_, kind, amount(most, currency), client or "every")
        for id_, kind, most, currency, client in _run(read)
    )
    console().print(table("Autopay limits", (">id", "of", ">at most", "client"), shown))


@limits.command("add")
@click.argument("kind", type=click.Choice([str(one) for one in LimitKind]))
@click.argument("most", type=MONEY, metavar="AMOUNT")
@click.argument("currency")
@click.option("--client", "client_id", type=int, help="Only for this client.")
def add_limit(kind: str, most: Decimal, currency: str, client_id: int | None) -> None:
    """Take at most AMOUNT of CURRENCY for each invoice, a client's day, a day or a run."""
    settings = settings_and_logs()
    record = {"kind": kind, "amount": most, "currency": currency, "client_id": client_id}
    parsed = codec_of(AUTOPAY_LIMITS).parse_request([record])

    async def write(tx: Tx) -> list[int]:
        now, home = datetime.now(UTC), home_of(settings)
        return await WRITERS[AUTOPAY_LIMITS](tx, parsed, now=now, who=WHO, home=home)

    (limit_id,) = _run(write, writes=True, settings=settings)
    say(f"limit {limit_id} is set")


@limits.command("remove")
@click.argument("limit_id", type=int)
def remove_limit(limit_id: int) -> None:
    """Delete the limit LIMIT_ID."""
    settings = settings_and_logs()

    async def delete(tx: Tx) -> None:
        now, home = datetime.now(UTC), home_of(settings)
        await autopay_policy.delete_limit(tx, limit_id, now=now, who=WHO, home=home)

    _run(delete, writes=True, settings=settings)
    say(f"limit {limit_id} is deleted")


# --- pauses ----------------------------------------------------------------------------------


@click.group()
def pauses() -> None:
    """Stop autopay for a client, an invoice or everything, with a reason and an end."""


@pauses.command("list")
def list_pauses() -> None:
    """List the pauses that nobody has ended."""
    shown = (
        (one.id, _of(one), one.until or "somebody ends it", one.paused_by, one.reason)
        for one in _run(autopay_pauses.list_pauses)
    )
    console().print(table("Autopay is paused", (">id", "of", "until", "by", "why"), shown))


def _of(one: Pause) -> str:
    named = one.invoice_id or one.client_id
    return one.of if named is None else f"{one.of} {named}"


@pauses.command("add")
@click.option("--client", "client_id", type=int, help="Only the invoices of this client.")
@click.option("--invoice", "invoice_id", type=int, help="Only this invoice.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The day to go on.")
@click.option("--reason", required=True, help="Why; every invoice that it holds says so.")
@_by
def add_pause(
    client_id: int | None, invoice_id: int | None, until: datetime | None, reason: str, who: str
) -> None:
    """Charge nothing by autopay: of a client, of an invoice, or at all while neither is given."""

    async def work(tx: Tx) -> int:
        return await autopay_pauses.pause(
            tx,
            client_id=client_id,
            invoice_id=invoice_id,
            reason=reason,
            until=until.date() if until else None,
            who=who,
            now=datetime.now(UTC),
        )

    say(f"pause {_run(work, writes=True)} holds from now on")


@pauses.command("end")
@click.argument("pause_id", type=int)
@_by
def end_pause(pause_id: int, who: str) -> None:
    """Let autopay go on: the pause PAUSE_ID ends."""
    now = datetime.now(UTC)
    _run(lambda tx: autopay_pauses.end_pause(tx, pause_id, who=who, now=now), writes=True)
    say(f"pause {pause_id} has ended")


def _run(
    work: Callable[[Tx], Awaitable[T]], *, writes: bool = False, settings: Settings | None = None
) -> T:
    wanted = settings or settings_and_logs()

    async def within() -> T:
        async with open_current_database(wanted) as database:
            if writes:
                return await database.with_retry(work)
            async with database.snapshot() as tx:
                return await work(tx)

    return run(within())

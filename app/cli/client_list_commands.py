"""The commands on all clients: `paydue clients map` finds their customers at Stripe."""

import contextlib
import sys
from collections.abc import Iterator, Mapping

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import console, say, say_json, table
from app.errors import ConfigurationError
from app.node import open_current_database, open_gateway
from app.payments import customer_mapping
from app.payments.customer_mapping import MappingPlan, TellProgress
from app.rules.customer_match import ClientMatch, MatchCandidate
from app.settings import Settings


@click.group()
def clients() -> None:
    """Find the customers at Stripe of clients that have none yet."""


@clients.command("map")
@click.option("--yes", is_flag=True, help="Write what is certain without asking.")
@click.option(
    "--pair", "pairs", multiple=True, metavar="CLIENT=CUSTOMER",
    help="Give this client this customer, whatever the match says; may be repeated.",
)  # fmt: skip
@click.option("--by", "who", default="paydue clients map", metavar="NAME", help="Who decides it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; writes with --yes.")
def map_clients(*, yes: bool, pairs: tuple[str, ...], who: str, as_json: bool) -> None:
    """Match clients without a customer with the customers of the Stripe account.

    A pair is certain by two kinds of evidence that agree, while nothing contradicts: the e-mail
    address or the client's number in the customer's metadata, with the name; or the whole name
    with the address's domain. All else is shown with its reason, for --pair. A client that has a
    customer keeps it. It asks before it writes; without a terminal, and with --json, only --yes
    writes. Exit code 1 when a --pair is refused.
    """
    chosen = _parsed(pairs)
    settings = settings_and_logs()
    if not settings.api_key:
        raise ConfigurationError("STRIPE_API_KEY is not set; nothing can be asked of Stripe")
    with _progress(quiet=as_json) as tell:
        plan = run(_plan(settings, tell))
    if not as_json:
        _show(plan, chosen)
    wanted = {**plan.certain, **chosen}
    may_write = yes or (not as_json and bool(wanted) and _is_confirmed(len(wanted)))
    written = run(_write(settings, plan, chosen, who)) if may_write and wanted else {}
    if as_json:
        say_json(_as_dict(plan, written))
        return
    if may_write:
        say(f"{len(written)} clients have their customer now")
        for client_id in sorted(wanted.keys() - written.keys()):
            say(f"client {client_id} is not certain any more and was left as it is", err=True)


def _is_confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        say("nothing was written; --yes does it")
        return False
    return click.confirm(f"Give {count} clients their customer?")


async def _plan(settings: Settings, tell: TellProgress) -> MappingPlan:
    async with (
        open_current_database(settings) as database,
        open_gateway(settings, database) as gateway,
    ):
        assert gateway is not None, "the key is set"
        return await customer_mapping.plan_mapping(database, gateway, tell)


async def _write(
    settings: Settings, plan: MappingPlan, chosen: Mapping[int, str], who: str
) -> dict[int, str]:
    async with (
        open_current_database(settings) as database,
        open_gateway(settings, database) as gateway,
    ):
        assert gateway is not None, "the key is set"
        return await customer_mapping.write_mapping(
            database, gateway, plan.certain, chosen, who=who
        )


def _parsed(pairs: tuple[str, ...]) -> dict[int, str]:
    found: dict[int, str] = {}
    for one in pairs:
        client, _, customer = one.partition("=")
        if not client.isdecimal() or not customer.startswith("cus_") or int(client) in found:
            raise click.BadParameter(f"{one!r} is no CLIENT=cus_..., or names the client again")
        found[int(client)] = customer
    return found


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[TellProgress]:
    """Counts on the terminal while Stripe is read; programs and files get none of it."""
    screen = console()
    if quiet or not sys.stdout.isatty():
        yield lambda *_: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("Asking Stripe", total=None)
        words = {"customers": "{:,} customers read", "clients": "{:,} clients matched"}
        yield lambda what, count: progress.update(task, description=words[what].format(count))


# --- what is shown -----------------------------------------------------------------------------


def _show(plan: MappingPlan, chosen: Mapping[int, str]) -> None:
    certain = [one for one in plan.matches if one.is_certain and one.client.id not in chosen]
    unsure = [one for one in plan.matches if one.doubt and one.client.id not in chosen]
    if certain:
        console().print(_certain_table(certain))
    if unsure:
        console().print(_unsure_table(unsure))
        for one in unsure:
            say(f"client {one.client.id}: {one.doubt}")
    for client_id, customer in sorted(chosen.items()):
        say(f"chosen: client {client_id} gets {customer}")
    for gone in plan.stale:
        say(f"client {gone.id} has {gone.customer_id}, which Stripe does not show under this key")
    none = sum(not one.candidates for one in plan.matches)
    say(
        f"{len(certain)} certain, {len(unsure)} unsure, {none} without any like it, of "
        f"{len(plan.matches)} clients without a customer; {len(plan.customers)} customers at Stripe"
    )


def _certain_table(found: list[ClientMatch]) -> object:
    rows = (
        (one.client.id, one.client.name, best.customer.id, _name(best), " and ".join(best.evidence))
        for one in found
        for best in one.candidates
    )
    columns = (">client", "name", "customer", "its name", "by")
    return table("Certain", columns, rows)


def _unsure_table(found: list[ClientMatch]) -> object:
    rows = (
        (
            one.client.id if first else "", one.client.name if first else "", best.customer.id,
            _name(best), best.customer.email, f"{best.likeness} %",
        )
        for one in found
        for first, best in zip((True, *[False] * len(one.candidates)), one.candidates, strict=False)
    )  # fmt: skip
    columns = (">client", "name", "customer", "its name", "its e-mail", ">names")
    return table("Unsure: nothing is written of these", columns, rows)


def _name(one: MatchCandidate) -> str:
    return " / ".join(one.customer.names)


def _as_dict(plan: MappingPlan, written: Mapping[int, str]) -> dict[str, object]:
    return {
        "certain": [_match_as_dict(one) for one in plan.matches if one.is_certain],
        "unsure": [_match_as_dict(one) for one in plan.matches if one.doubt],
        "without": [one.client.id for one in plan.matches if not one.candidates],
        "stale": [{"client_id": one.id, "customer_id": one.customer_id} for one in plan.stale],
        "customers": len(plan.customers),
        "written": [{"client_id": one, "customer_id": written[one]} for one in sorted(written)],
    }


def _match_as_dict(one: ClientMatch) -> dict[str, object]:
    return {
        "client_id": one.client.id,
        "name": one.client.name,
        "doubt": one.doubt or None,
        "candidates": [
            {
                "customer_id": each.customer.id,
                "names": each.customer.names,
                "email": each.customer.email,
                "evidence": each.evidence,
                "likeness": each.likeness,
            }
            for each in one.candidates
        ],
    }

"""The command of retention: purge."""

import dataclasses

import click

from app.cli.command_group import on_signals, run, settings_and_logs
from app.cli.terminal import say, say_json
from app.node import open_node
from app.payments.purge import PurgeResult


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be freed, and change nothing.")
@click.option(
    "--from-start",
    is_flag=True,
    help="Look at all events again, not only at newer ones.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def purge(dry_run: bool, from_start: bool, as_json: bool) -> None:
    """Make old bodies of events smaller, and delete what has expired. The worker does so daily.

    PAYDUE_COMPRESS_EVENTS_AFTER and PAYDUE_DROP_EVENTS_AFTER say how old. Events that are not
    applied, and those of payments that are not at rest, keep their bodies.
    """
    settings = settings_and_logs()

    async def work() -> PurgeResult:
        async with open_node(settings) as node:
            on_signals(node.stop)
            return await node.purge(from_start=from_start, is_dry=dry_run).run()

    found = run(work())
    if as_json:
        say_json(dataclasses.asdict(found))
    else:
        say(f"would be: {found}" if dry_run else str(found))

"""The command on the audit: audit verify."""

import sys

import click

from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.terminal import say
from app.ledger import audit_chain
from app.ledger.audit_chain import ChainCheck
from app.node import open_current_database


@click.group()
def audit() -> None:
    """Prove that nobody changed what was written down about invoices."""


@audit.command("verify")
@click.option("--expect", metavar="HEAD", help="A head, NUMBER:HASH, that was kept elsewhere.")
def audit_verify(expect: str | None) -> None:
    """Compare every change of an invoice with the chain of hashes over them.

    The worker seals changes every minute and logs the newest head. Whoever may write to the
    database could build the chain anew, so keep a head elsewhere now and then, and give it as
    --expect. Exit code 1 when a change is gone, was edited or was added behind a seal.
    """
    settings = settings_and_logs()

    async def work() -> ChainCheck:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            return await audit_chain.verify(tx, expect)

    found = run(work())
    say(f"{found.changes} changes are sealed, {found.unsealed} newer ones are not yet")
    say(f"head {found.head}")
    for fault in found.faults:
        say(fault, err=True)
    if found.faults:
        sys.exit(FAILED)

"""All commands, in the order `paydue --help` lists them."""

from pathlib import Path

from app.cli import (
    attempt_commands,
    audit_commands,
    demo,
    journal_commands,
    payout_commands,
    refund_commands,
    server_commands,
    setup_commands,
    stripe_commands,
    support_commands,
)
from app.cli.command_group import paydue

COMMANDS = (
    demo.demo,
    server_commands.serve,
    server_commands.worker,
    stripe_commands.autopay,
    attempt_commands.attempts,
    support_commands.payment,
    support_commands.events,
    stripe_commands.reconcile,
    payout_commands.payouts,
    journal_commands.journal,
    journal_commands.check,
    audit_commands.audit,
    support_commands.status,
    setup_commands.access,
    setup_commands.import_file,
    setup_commands.db,
    setup_commands.doctor,
    server_commands.sandbox,
)

# Commands that need `app.sandbox`, which the image is built without.
SANDBOX_COMMANDS = frozenset({demo.demo, server_commands.sandbox})

# Commands on payments that stand in modules of their own.
PAYMENT_COMMANDS = (refund_commands.payment_refund, refund_commands.payment_apply)


def add_all() -> None:
    for command in PAYMENT_COMMANDS:
        support_commands.payment.add_command(command)
    has_sandbox = (Path(__file__).parents[1] / "sandbox").is_dir()
    for command in COMMANDS:
        if has_sandbox or command not in SANDBOX_COMMANDS:
            paydue.add_command(command)

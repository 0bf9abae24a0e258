"""All commands, in the order `paydue --help` lists them."""

from app.cli import demo, setup_commands, stripe_commands, support_commands
from app.cli.command_group import paydue

COMMANDS = (
    demo.demo,
    stripe_commands.serve,
    stripe_commands.worker,
    stripe_commands.autopay,
    support_commands.payment,
    support_commands.events,
    stripe_commands.reconcile,
    support_commands.status,
    setup_commands.access,
    setup_commands.import_file,
    setup_commands.db,
    setup_commands.doctor,
    stripe_commands.sandbox,
)


def add_all() -> None:
    for command in COMMANDS:
        paydue.add_command(command)

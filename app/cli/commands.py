"""All commands, in the order `paydue --help` lists them."""

from app.cli import demo, look, runs, setup
from app.cli.main import paydue

COMMANDS = (
    demo.demo,
    runs.serve,
    runs.worker,
    runs.autopay,
    look.payment,
    look.events,
    runs.reconcile,
    look.status,
    setup.access,
    setup.import_file,
    setup.db,
    setup.doctor,
    runs.sandbox,
)


def add_all() -> None:
    for command in COMMANDS:
        paydue.add_command(command)

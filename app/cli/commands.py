"""All commands, in the order `paydue --help` lists them."""

from app.cli import demo, inspect, jobs, setup
from app.cli.program import paydue

COMMANDS = (
    demo.demo,
    jobs.serve,
    jobs.worker,
    jobs.autopay,
    inspect.payment,
    inspect.events,
    jobs.reconcile,
    inspect.status,
    setup.access,
    setup.import_file,
    setup.db,
    setup.doctor,
    jobs.sandbox,
)


def add_all() -> None:
    for command in COMMANDS:
        paydue.add_command(command)

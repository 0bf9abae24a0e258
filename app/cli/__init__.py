"""The command `paydue`: how an operator, support and the demo use Paydue from a shell.

It may import everything in `app`, and nothing imports it. Begin with `commands.py`, which lists the
commands in the order of `paydue --help`; `command_group.py` holds what all of them share.
"""


def main() -> None:
    """The console script starts here."""
    from app.cli import command_group, commands

    commands.add_all()
    command_group.paydue(prog_name="paydue")

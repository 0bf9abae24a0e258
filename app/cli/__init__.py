"""The command `paydue`: how an operator, support and the demo use Paydue from a shell.

It may import everything in `app`, and nothing imports it. Begin with `commands.py`, which lists the
commands in the order of `paydue --help`; `command_group.py` holds what all of them share.
"""


def main() -> None:
    """The console script starts here. Files that it makes are this user's alone."""
    import os

    from app.cli import command_group, commands

    os.umask(0o077)
    commands.add_all()
    command_group.paydue(prog_name="paydue")

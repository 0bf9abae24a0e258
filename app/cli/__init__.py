"""The command `paydue`."""


def main() -> None:
    """The console script's entry."""
    from app.cli import command_group, commands

    commands.add_all()
    command_group.paydue(prog_name="paydue")

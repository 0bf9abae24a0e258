"""The command `paydue`."""


def main() -> None:
    """The console script's entry."""
    from app.cli import commands, program as group

    commands.add_all()
    group.paydue(prog_name="paydue")

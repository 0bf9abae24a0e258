"""The command `paydue`: how an operator, support and the demo use Paydue from a shell.

It may import everything in `app`, and nothing imports it. Begin with `commands.py`, which lists the
commands in the order of `paydue --help`; `command_group.py` holds what all of them share.
"""


def main() -> None:
    """The console script starts here. Files that it makes are this user's alone."""
    import os
    import signal

    # Until Python can answer Ctrl-C in words, the signal simply ends the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.umask(0o077)
    from app.cli import command_group

    signal.signal(signal.SIGINT, signal.default_int_handler)
    command_group.paydue(prog_name="paydue")

"""A warm process that forks a child for each life, so that a death costs milliseconds.

It reads one life a line on stdin, as JSON, and answers on its first stdout: the child's pid, what
the child tells, and how it ended.
"""

import asyncio
import contextlib
import json
import os
import sys
import traceback
from typing import Any

from app.logs import configure
from app.settings import Settings
from tests.crash import child


class Wire:
    """Lines of JSON to the test. Only the child writes while it lives, only the zygote else."""

    def __init__(self) -> None:
        self._file = os.dup(1)
        os.dup2(2, 1)  # whatever else prints must not speak to the test

    def tell(self, **said: Any) -> None:
        line = json.dumps(said, default=str).encode() + b"\n"
        while line:
            line = line[os.write(self._file, line) :]


def main() -> None:
    wire = Wire()
    configure(Settings(_env_file=None, PAYDUE_LOG_LEVEL="warning"))
    asyncio.run(child.warm_up())
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            live(json.loads(line), wire)
        _, status = os.waitpid(pid, 0)
        wire.tell(ended=os.waitstatus_to_exitcode(status))


def live(life: dict[str, Any], wire: Wire) -> None:
    code = 1
    try:
        wire.tell(pid=os.getpid())
        asyncio.run(child.LIVES[life.pop("part")](wire.tell, **life))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

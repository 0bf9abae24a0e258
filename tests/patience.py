"""How long tests wait before they give up, or call an answer late.

A limit holds on a machine that does little else. PAYDUE_TEST_PATIENCE=3 triples all of them.
"""

import os

_FACTOR = float(os.environ.get("PAYDUE_TEST_PATIENCE", "1"))


def wait_limit(seconds: float) -> float:
    return seconds * _FACTOR

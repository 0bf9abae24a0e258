"""Secrets and a person's data that are planted in the tests, and the search for them in output.

Every output that pytest captures is searched, and the log of every served process.
"""

import re

SIGNING_SECRET = "whsec_tests_of_paydue_0123456789"
STRIPE_KEY = "sk_test_tests"
# The address of every invoice that the harness makes.
STREET = "12 Planted Private Road"

_PLANTED = (SIGNING_SECRET, STRIPE_KEY, STREET)
# Kinds of secrets that the tests get from Paydue itself, and parts of statements.
_KINDS = (
    re.compile(r"\b[sr]k_(?:live|test)_\w{12,}"),
    re.compile(r"\bpi_\w+_secret_\w+"),
    re.compile(r"Bearer [\w-]{43}"),
    re.compile(r"client_secret['\"= ]{1,4}[\w-]{43}"),
    re.compile(r"\[parameters: "),
    re.compile(r"Stripe-Signature['\": ]+t=", re.IGNORECASE),
)


def leaked(output: str) -> str | None:
    """The first secret or private value in an output."""
    for planted in _PLANTED:
        if planted in output:
            return planted
    for kind in _KINDS:
        found = kind.search(output)
        if found:
            return found[0]
    return None

"""The life of one automatic charge attempt, and the keys that make each step happen once."""

import re
from dataclasses import dataclass
from enum import StrEnum


class AttemptState(StrEnum):
    OPEN = "open"  # claimed; no money can have moved without our confirm
    UNKNOWN = "unknown"  # a call got no answer we can trust; Stripe is asked until it answers
    PROCESSING = "processing"  # a bank debit under way; blocks every other way to pay
    SUCCEEDED = "succeeded"
    DECLINED = "declined"  # the bank, its network or Stripe's risk rules said no
    REFUSED = "refused"  # Stripe refuses the request itself: no bank was asked, no try is counted
    CANCELED = "canceled"  # ended by us before any money moved


UNRESOLVED = (AttemptState.OPEN, AttemptState.UNKNOWN, AttemptState.PROCESSING)


class AttemptStep(StrEnum):
    """The step an attempt has reached; each name says what is durably true."""

    CLAIMED = "claimed"  # no intent id is known
    PREPARED = "prepared"  # the intent id is known, confirm was never sent
    CONFIRMING = "confirming"  # confirm may have been sent
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """An idempotency key taken apart: which installation, invoice, attempt and call it names."""

    installation: str
    invoice_id: int
    attempt: int
    call: str
    epoch: int = 0

    def __str__(self) -> str:
        epoch = f"-e{self.epoch}" if self.epoch else ""
        attempt = f"inv-{self.invoice_id}-att-{self.attempt}"
        return f"paydue-{self.installation}{epoch}-{attempt}-{self.call}"


_KEY = re.compile(
    r"paydue-([0-9a-z]{1,32})(?:-e(\d{1,9}))?-inv-(\d{1,18})-att-(\d{1,9})-([a-z]+\d*)"
)


def create_key(
    installation: str, invoice_id: int, attempt: int, creates: int, *, epoch: int = 0
) -> str:
    """The key of the nth create of an attempt.

    It is derived, not random: a database restored from a backup repeats the same keys, so inside
    Stripe's 24 h window the repeated calls are replays and not new charges. The installation keeps
    two databases on one Stripe account apart. Once a restore has been noticed and all is known
    again, a new epoch begins and no key of an earlier one is used.
    """
    return str(AttemptKey(installation, invoice_id, attempt, f"create{creates}", epoch))


def confirm_key(installation: str, invoice_id: int, attempt: int, *, epoch: int = 0) -> str:
    return str(AttemptKey(installation, invoice_id, attempt, "confirm", epoch))


def parse_key(text: str | None) -> AttemptKey | None:
    """The key's parts when it is one of ours."""
    found = _KEY.fullmatch(text) if text else None
    if found is None:
        return None
    return AttemptKey(found[1], int(found[3]), int(found[4]), found[5], int(found[2] or 0))

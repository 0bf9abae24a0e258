"""The kinds of mail, and which of them tells a client about a decline."""

from datetime import date
from enum import StrEnum


class MailKind(StrEnum):
    """Each is switched on by itself; none is to begin with."""

    COMING_CHARGE = "coming_charge"
    RECEIPT = "receipt"
    DECLINED = "declined"
    ACTION_NEEDED = "action_needed"
    DEBIT_RETURNED = "debit_returned"
    REMINDER = "reminder"
    STATEMENT = "statement"
    CARD_EXPIRING = "card_expiring"
    DISPUTE = "dispute"


# An alert is on wherever finance has an address.
ALERT = "alert"
# Told to the business itself, at PAYDUE_MAIL_FINANCE.
TO_FINANCE = frozenset({str(MailKind.DISPUTE), ALERT})


def kind_of_decline(*, was_processing: bool, next_try_on: date | None) -> MailKind:
    """A debit that was under way has been returned; without a next try the client must act."""
    if was_processing:
        return MailKind.DEBIT_RETURNED
    return MailKind.DECLINED if next_try_on else MailKind.ACTION_NEEDED

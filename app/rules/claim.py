"""Whose money is it? A claim that a PaymentIntent pays an invoice counts only by its evidence.

A number in `metadata.invoice_id` or in a payment link's `client_reference_id` is a claim that any
program on the Stripe account, and any payer, can make. A claim that is not trusted neither pays the
invoice nor keeps autopay from charging it; the money is shown, and a person assigns it.
"""

from decimal import Decimal
from enum import StrEnum


class Evidence(StrEnum):
    """The reason why a claim is believed, or FOREIGN: the intent is another installation's."""

    ATTEMPT = "attempt"  # our own charge attempt has the intent's id
    METADATA = "metadata"  # the metadata names this installation
    KEY = "key"  # the request that made it carried an idempotency key of ours
    PERSON = "person"  # somebody assigned it
    CUSTOMER = "customer"  # the intent's Stripe customer is the invoice's client's
    AMOUNT = "amount"  # no customer, and exactly what is due
    FOREIGN = "foreign"


# Our intents and sessions carry the installation's name under this key of their metadata.
INSTALLATION_KEY = "paydue_installation"


def evidence_of_metadata(named: str | None, installation: str) -> Evidence | None:
    """The evidence in an installation's name; without a name there is none, for or against."""
    if named is None:
        return None
    return Evidence.METADATA if named == installation else Evidence.FOREIGN


def evidence_for_invoice(
    *,
    intent_customer: str | None,
    client_customer: str | None,
    amount: Decimal,
    amount_due: Decimal,
) -> Evidence | None:
    """The evidence for a claim that nothing but a number makes."""
    if intent_customer is not None:
        return Evidence.CUSTOMER if intent_customer == client_customer else None
    return Evidence.AMOUNT if amount == amount_due else None

"""A claim on an invoice is believed by its evidence, and by nothing else."""

from decimal import Decimal

import pytest

from app.rules.claim import Evidence, evidence_for_invoice, evidence_of_metadata


@pytest.mark.parametrize(
    ("named", "evidence"),
    [
        (None, None),
        ("a1b2", Evidence.METADATA),
        ("c3d4", Evidence.FOREIGN),
        ("", Evidence.FOREIGN),
        ("A1B2", Evidence.FOREIGN),
    ],
)
def test_metadata_that_names_another_installation_speaks_against_a_claim(
    named: str | None, evidence: Evidence | None
) -> None:
    assert evidence_of_metadata(named, "a1b2") == evidence


@pytest.mark.parametrize(
    ("customer", "clients", "amount", "due", "evidence"),
    [
        ("cus_1", "cus_1", "120", "120", Evidence.CUSTOMER),
        ("cus_1", "cus_1", "1", "120", Evidence.CUSTOMER),
        # The customer of somebody else pays nothing of ours, be the amount ever so right.
        ("cus_1", "cus_2", "120", "120", None),
        ("cus_1", None, "120", "120", None),
        (None, None, "120", "120", Evidence.AMOUNT),
        (None, "cus_1", "120", "120.00", Evidence.AMOUNT),
        (None, None, "119.99", "120", None),
        (None, None, "120.01", "120", None),
        (None, None, "5000", "5000", Evidence.AMOUNT),
        (None, None, "120", "0", None),
    ],
)
def test_a_bare_number_is_believed_of_the_clients_customer_or_of_exactly_what_is_due(
    customer: str | None, clients: str | None, amount: str, due: str, evidence: Evidence | None
) -> None:
    found = evidence_for_invoice(
        intent_customer=customer,
        client_customer=clients,
        amount=Decimal(amount),
        amount_due=Decimal(due),
    )

    assert found == evidence

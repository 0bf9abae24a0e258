"""A refund never gives back more than is left, and each request is made once."""

from decimal import Decimal

import pytest

from app.rules.refund import (
    UNRESOLVED,
    Promised,
    RefundState,
    refund_key,
    refund_state,
    refundable,
)

PAID = Decimal(100)


@pytest.mark.parametrize(
    ("promised", "share", "invoice_id", "left"),
    [
        ([], None, None, 100),
        ([Promised(Decimal(30), 1), Promised(Decimal(20), None)], None, None, 50),
        ([Promised(Decimal(130), 1)], None, None, 0),
        # Of one invoice's share, only what was promised of that share is gone.
        ([], Decimal(40), 1, 40),
        ([Promised(Decimal(30), 1)], Decimal(40), 1, 10),
        ([Promised(Decimal(30), 2)], Decimal(40), 1, 40),
        ([Promised(Decimal(30), None)], Decimal(40), 1, 40),
        # The share without an invoice has promises of its own.
        ([Promised(Decimal(30), None)], Decimal(40), None, 10),
        ([Promised(Decimal(30), 1)], Decimal(40), None, 40),
        # Never more than the payment has left, whatever a share has.
        ([Promised(Decimal(90), 2)], Decimal(40), 1, 10),
        ([Promised(Decimal(50), 1)], Decimal(40), 1, 0),
        ([], Decimal(0), 1, 0),
    ],
)
def test_a_refund_is_of_what_is_left_and_not_promised(
    promised: list[Promised], share: Decimal | None, invoice_id: int | None, left: int
) -> None:
    found = refundable(PAID, iter(promised), share=share, invoice_id=invoice_id)

    assert found == Decimal(left)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", RefundState.SUCCEEDED),
        ("failed", RefundState.FAILED),
        ("canceled", RefundState.FAILED),
        ("pending", RefundState.PENDING),
        ("requires_action", RefundState.PENDING),
        ("a status of tomorrow", RefundState.PENDING),
    ],
)
def test_a_request_has_ended_only_by_a_status_that_is_final(
    status: str, state: RefundState
) -> None:
    assert refund_state(status) == state
    assert state not in UNRESOLVED


def test_requests_and_installations_have_keys_of_their_own() -> None:
    assert refund_key("a1", 7) == "paydue-a1-refund-7"
    assert refund_key("a1", 7) != refund_key("a1", 8)
    assert refund_key("a1", 7) != refund_key("b2", 7)

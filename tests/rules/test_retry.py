"""A decline is tried again on the right day, or never: every branch, every list."""

from datetime import date, timedelta

import pytest

from app.rules import retry
from app.rules.retry import Decline, after_decline
from app.sandbox.account.card_declines import ADVICE

ON = date(2026, 11, 22)
SOFT = (
    "insufficient_funds generic_decline do_not_honor processing_error issuer_not_available".split()
)
NEEDS_CUSTOMER = """authentication_required authentication_not_handled expired_card incorrect_cvc
    incorrect_number incorrect_zip incorrect_pin invalid_cvc invalid_expiry_month invalid_number
    invalid_pin new_account_information_available mobile_device_authentication_required""".split()
NEVER = """lost_card stolen_card pickup_card fraudulent highest_risk_level merchant_blacklist
    restricted_card revocation_of_authorization revocation_of_all_authorizations
    security_violation stop_payment_order transaction_not_allowed not_permitted
    service_not_allowed card_not_supported currency_not_supported invalid_account invalid_amount
    pin_try_exceeded testmode_decline do_not_try_again""".split()


def days(decline: Decline, tries: int = 1) -> int | None:
    """In how many days it is tried again."""
    verdict = after_decline(decline, tries=tries, on=ON)
    return verdict.next_try_on and (verdict.next_try_on - ON).days


def card(code: str | None, **more: str) -> Decline:
    return Decline(code="card_declined", decline_code=code, **more)


@pytest.mark.parametrize("code", SOFT)
def test_a_soft_decline_is_tried_six_times_in_two_weeks_never_twice_a_day(code: str) -> None:
    waits = [days(card(code), tries) for tries in range(1, 8)]

    assert waits == [1, 2, 3, 4, 4, None, None]
    assert sum(retry.GAPS) == 14
    assert f"tried {retry.TRIES_MAX} times" in after_decline(card(code), tries=6, on=ON).reason


@pytest.mark.parametrize("code", [*NEEDS_CUSTOMER, *NEVER, "duplicate_transaction"])
def test_a_hopeless_decline_is_never_tried_again(code: str) -> None:
    verdict = after_decline(card(code), tries=1, on=ON)

    assert verdict.next_try_on is None
    assert verdict.reason.startswith(f"{code}: ")


def test_each_reason_for_no_retry_says_which_it_is() -> None:
    reasons = {
        "the customer must act": card("expired_card"),
        "another try cannot succeed": card("stolen_card"),
        "look for the earlier payment first": card("duplicate_transaction"),
        "Stripe advises never to try this again": card("x", advice_code="do_not_try_again"),
        "the card network forbids another try": card("x", network_advice_code="03"),
    }

    for reason, decline in reasons.items():
        assert after_decline(decline, tries=1, on=ON).reason.endswith(f": {reason}")


@pytest.mark.parametrize(
    ("more", "wait"),
    [
        ({"advice_code": "do_not_try_again"}, None),
        ({"advice_code": "confirm_card_data"}, None),
        ({"advice_code": "try_again_later"}, 1),
        ({"network_advice_code": "03"}, None),
        ({"network_advice_code": "21"}, None),
        ({"network_advice_code": "02"}, 1),
        ({"network_advice_code": "24"}, 1),
        ({"network_advice_code": "26"}, 2),
        ({"network_advice_code": "27"}, 4),
        ({"network_advice_code": "28"}, 6),
        ({"network_advice_code": "29"}, 8),
        ({"network_advice_code": "30"}, 10),
        *(({"network_decline_code": code}, None)
          for code in "04 07 12 14 15 41 43 46 57 R0 R1 R3".split()),
        ({"network_decline_code": "51"}, 1),
        ({"advice_code": "try_again_later", "network_advice_code": "03"}, None),
    ],
)  # fmt: skip
def test_advice_comes_before_the_decline_code(more: dict[str, str], wait: int | None) -> None:
    assert days(card("generic_decline", **more)) == wait


def test_a_wait_the_network_asks_for_never_shortens_ours() -> None:
    assert days(card("generic_decline", network_advice_code="24"), tries=4) == 4


@pytest.mark.parametrize(
    ("code", "waits"),
    [
        ("insufficient_funds", [5, 5, None]),
        ("could_not_process", [5, 5, None]),
        ("debit_declined", [5, 5, None]),
        ("account_closed", [None]),
        ("no_account", [None]),
        ("debit_not_authorized", [None]),
        ("payment_intent_payment_attempt_failed", [None]),
        ("something_new", [None]),
    ],
)
def test_a_bank_debit_is_presented_again_at_most_twice_and_only_where_it_helps(
    code: str, waits: list[int | None]
) -> None:
    for method in ("us_bank_account", "sepa_debit", "bacs_debit"):
        # Bank debits tell the reason in `code`; their decline_code is always generic.
        debit = Decline(code=code, decline_code="generic_decline", method=method)

        assert [days(debit, tries) for tries in range(1, len(waits) + 1)] == waits


def test_a_debits_network_code_is_not_read_as_visas() -> None:
    debit = Decline(code="insufficient_funds", network_decline_code="R1", method="us_bank_account")

    assert days(debit) == 5


@pytest.mark.parametrize(
    ("today", "month", "forbidden"),
    [(0, 0, False), (9, 14, False), (10, 10, True), (0, 15, True), (11, 30, True)],
)
def test_the_networks_limits_hold_over_all_invoices_of_a_card(
    today: int, month: int, forbidden: bool
) -> None:
    reason = retry.network_limit(declines_today=today, declines_month=month)

    assert (reason is not None) == forbidden


@pytest.mark.parametrize(
    ("decline", "why"),
    [
        (Decline("card_declined", "do_not_honor"), "do_not_honor"),
        (Decline("card_declined"), "card_declined"),
        (Decline(), "declined"),
        # A debit's decline_code is generic where its code tells more.
        (Decline("no_account", "generic_decline", method="sepa_debit"), "no_account"),
        (Decline(None, "generic_decline", method="sepa_debit"), "generic_decline"),
        (Decline(method="sepa_debit"), "declined"),
    ],
)
def test_the_most_telling_code_is_the_reason(decline: Decline, why: str) -> None:
    assert decline.why == why


def test_no_unknown_decline_stops_for_ever_without_a_reason() -> None:
    verdict = after_decline(Decline(), tries=1, on=ON)

    assert (verdict.next_try_on, verdict.reason) == (ON + timedelta(days=1), "declined")


@pytest.mark.parametrize("code", ADVICE)
def test_what_stripe_measurably_advises_against_is_never_tried_again(code: str) -> None:
    """The sandbox's table of advice is of another hand than the rule."""
    own = card(code)
    advised = card(code, **({"advice_code": ADVICE[code]} if ADVICE[code] else {}))

    if ADVICE[code] in {"do_not_try_again", "confirm_card_data"}:
        assert days(own) is None
        assert days(advised) is None
    if ADVICE[code] == "try_again_later":
        assert days(own) == days(advised) == 1


def test_a_retry_before_the_first_try_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        after_decline(card("generic_decline"), tries=0, on=ON)

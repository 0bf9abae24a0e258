"""A decline is tried again on the right day, or never: every branch, every list."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.rules import retry
from app.rules.retry import (
    Decline,
    DeclineSource,
    Verdict,
    VerdictSubject,
    after_decline,
    holds_for,
)
from app.sandbox.account.card_declines import ADVICE

ON = date(2026, 11, 22)
SOFT = (
    "insufficient_funds generic_decline do_not_honor processing_error issuer_not_available".split()
)
NEEDS_CUSTOMER = """authentication_required authentication_not_handled expired_card incorrect_cvc
    incorrect_number incorrect_zip incorrect_address incorrect_pin invalid_cvc
    invalid_expiry_month invalid_expiry_year invalid_number invalid_pin offline_pin_required
    online_or_offline_pin_required new_account_information_available
    mobile_device_authentication_required payment_intent_authentication_failure
    requires_action""".split()
NEVER = """lost_card stolen_card pickup_card fraudulent highest_risk_level merchant_blacklist
    restricted_card revocation_of_authorization revocation_of_all_authorizations
    security_violation stop_payment_order transaction_not_allowed not_permitted
    service_not_allowed card_not_supported currency_not_supported invalid_account invalid_amount
    pin_try_exceeded testmode_decline do_not_try_again account_closed no_account
    debit_not_authorized bank_account_restricted incorrect_account_holder_name
    invalid_account_number bank_ownership_changed amount_too_small amount_too_large
    resource_missing payment_method_not_available mandate_invalid""".split()


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


@pytest.mark.parametrize(
    ("code", "why"),
    [
        *((code, "the customer must act") for code in NEEDS_CUSTOMER),
        *((code, "another try cannot succeed") for code in NEVER),
        ("duplicate_transaction", "look for the earlier payment first"),
    ],
)
def test_a_hopeless_decline_is_never_tried_again(code: str, why: str) -> None:
    hopeless = Verdict(None, f"{code}: {why}")

    assert after_decline(card(code), tries=1, on=ON) == hopeless
    # A bank debit has its reason in `code`.
    debit = Decline(code, "generic_decline", method="sepa_debit")
    assert after_decline(debit, tries=1, on=ON) == hopeless


NETWORK, STRIPE = "the card network forbids another try", "Stripe advises never to try this again"


@pytest.mark.parametrize(
    ("code", "more", "why"),
    [
        ("x", {"network_advice_code": "03"}, NETWORK),
        ("x", {"network_decline_code": "R0"}, NETWORK),
        ("x", {"advice_code": "do_not_try_again"}, STRIPE),
        ("x", {"advice_code": "confirm_card_data"}, "the customer must act"),
        # The network, Stripe's advice and the decline code are asked in this order.
        ("x", {"network_advice_code": "21", "advice_code": "do_not_try_again"}, NETWORK),
        ("expired_card", {"network_decline_code": "04"}, NETWORK),
        ("expired_card", {"advice_code": "do_not_try_again"}, STRIPE),
        ("stolen_card", {"advice_code": "confirm_card_data"}, "the customer must act"),
    ],
)
def test_the_reason_for_no_retry_is_the_first_in_the_order_of_evidence(
    code: str, more: dict[str, str], why: str
) -> None:
    assert after_decline(card(code, **more), tries=1, on=ON) == Verdict(None, f"{code}: {why}")


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
        ({"network_advice_code": "25"}, 1),
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
    for method in retry.BANK_DEBITS:
        # Bank debits tell the reason in `code`; their decline_code is always generic.
        debit = Decline(code=code, decline_code="generic_decline", method=method)

        assert [days(debit, tries) for tries in range(1, len(waits) + 1)] == waits


@pytest.mark.parametrize(
    ("code", "tries", "reason"),
    [
        ("insufficient_funds", 1, "insufficient_funds"),
        ("insufficient_funds", 3, "insufficient_funds: a debit may be presented again only twice"),
        ("something_new", 1, "something_new: a failed debit costs a fee and would fail again"),
    ],
)
def test_a_bank_debits_verdict_says_why(code: str, tries: int, reason: str) -> None:
    debit = Decline(code, "generic_decline", method="us_bank_account")

    assert after_decline(debit, tries=tries, on=ON).reason == reason


WALLETS = "link paypal cashapp klarna amazon_pay revolut_pay wechat_pay something_new".split()


@pytest.mark.parametrize("method", WALLETS)
@pytest.mark.parametrize(
    ("more", "waits"),
    [
        ({"decline_code": "insufficient_funds"}, [1, 2, 3, 4, 4, None]),
        ({"decline_code": "generic_decline"}, [1, 2, 3, 4, 4, None]),
        ({"code": "payment_method_provider_decline"}, [1, 2, 3, 4, 4, None]),
        ({"decline_code": "generic_decline", "advice_code": "do_not_try_again"}, [None]),
        ({"decline_code": "generic_decline", "advice_code": "confirm_card_data"}, [None]),
        ({"decline_code": "fraudulent"}, [None]),
    ],
)
def test_a_wallet_is_no_bank_debit_and_is_tried_again_as_a_card_is(
    method: str, more: dict[str, str], waits: list[int | None]
) -> None:
    decline = Decline(**more, method=method)

    assert [days(decline, tries) for tries in range(1, len(waits) + 1)] == waits


def test_bank_debits_are_a_closed_list() -> None:
    """A method that Stripe adds tomorrow is tried as cards are, until somebody decides."""
    assert sorted(retry.BANK_DEBITS) == [
        "acss_debit", "au_becs_debit", "bacs_debit", "nz_bank_account", "sepa_debit",
        "us_bank_account",
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "wait"), [("card", None), ("link", None), ("paypal", 1)])
def test_visas_numbers_are_read_of_cards_alone(method: str, wait: int | None) -> None:
    decline = Decline(decline_code="generic_decline", network_decline_code="14", method=method)

    assert days(decline) == wait


def test_a_debits_network_code_is_not_read_as_visas() -> None:
    debit = Decline(code="insufficient_funds", network_decline_code="R1", method="us_bank_account")

    assert days(debit) == 5


@pytest.mark.parametrize(
    ("today", "month", "reason"),
    [
        (0, 0, None),
        (9, 14, None),
        (10, 14, "10 declines on this payment method in 24 hours"),
        (10, 15, "10 declines on this payment method in 24 hours"),
        (0, 15, "15 declines on this payment method in 30 days"),
        (9, 30, "30 declines on this payment method in 30 days"),
    ],
)
def test_the_networks_limits_hold_over_all_invoices_of_a_card(
    today: int, month: int, reason: str | None
) -> None:
    assert retry.network_limit(declines_today=today, declines_month=month) == reason


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


SUBJECT = VerdictSubject(5000, "usd", "cus_1", "pm_1", "v1")


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"amount_minor": 5001}, False),
        ({"amount_minor": 0}, False),
        ({"currency": "jpy"}, False),
        ({"customer_id": "cus_2"}, False),
        ({"customer_id": None}, False),
        ({"payment_method_id": "pm_2"}, False),
        ({"payment_method_version": "v2"}, False),
        # That nobody has told a version is no change of the card.
        ({"payment_method_version": None}, True),
        ({"payment_method_version": None, "amount_minor": 1}, False),
        ({"payment_method_version": None, "payment_method_id": "pm_2"}, False),
    ],
)
def test_a_verdict_holds_for_what_it_is_about_alone(change: dict[str, object], holds: bool) -> None:
    changed = replace(SUBJECT, **change)

    assert holds_for(SUBJECT, changed) == holds_for(changed, SUBJECT) == holds


@pytest.mark.parametrize(
    ("decline", "source"),
    [
        (card("stolen_card"), DeclineSource.NETWORK),
        (card("fraudulent"), DeclineSource.NETWORK),
        (Decline(), DeclineSource.NETWORK),
        (Decline("account_closed", "generic_decline", method="sepa_debit"), DeclineSource.NETWORK),
        (card("highest_risk_level"), DeclineSource.STRIPE),
        (card("merchant_blacklist"), DeclineSource.STRIPE),
        (Decline(code="requires_action"), DeclineSource.STRIPE),
        # A number of the network's shows that the bank was asked.
        (card("highest_risk_level", network_decline_code="05"), DeclineSource.NETWORK),
    ],
)
def test_a_decline_says_who_said_no(decline: Decline, source: DeclineSource) -> None:
    assert decline.source == source


@pytest.mark.parametrize(
    ("code", "about_amount"),
    [
        ("amount_too_small", True),
        ("amount_too_large", True),
        ("resource_missing", False),
        ("refused", False),
        (None, False),
    ],
)
def test_a_refusal_of_the_amount_waits_for_another_amount(
    code: str | None, about_amount: bool
) -> None:
    assert retry.is_about_amount(code) == about_amount


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

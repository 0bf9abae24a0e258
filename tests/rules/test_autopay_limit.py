"""How much autopay takes without a person, and a run that is unlike the others."""

from decimal import Decimal

import pytest

from app.rules.autopay_limit import AmountLimit, LimitKind, beyond_usual, limit_of, over_limit

USD = AmountLimit(LimitKind.INVOICE, "usd", Decimal(100))
OWN = AmountLimit(LimitKind.INVOICE, "usd", Decimal(50), client_id=7)


def test_the_least_limit_that_applies_holds() -> None:
    limits = [USD, OWN]

    assert limit_of(limits, LimitKind.INVOICE, "usd", 7) == 50
    assert limit_of(limits, LimitKind.INVOICE, "usd", 8) == 100
    assert limit_of(limits, LimitKind.INVOICE, "eur", 7) is None
    assert limit_of(limits, LimitKind.DAY, "usd", 7) is None


@pytest.mark.parametrize(
    ("amount", "taken", "is_over"),
    [("100", "0", False), ("100.01", "0", True), ("0.01", "100", True), ("0", "100", False)],
)
def test_a_limit_may_be_reached_and_not_passed(amount: str, taken: str, is_over: bool) -> None:
    said = over_limit([USD], LimitKind.INVOICE, Decimal(amount), "usd", None, taken=Decimal(taken))

    assert (said is not None) == is_over


def test_a_currency_without_cents_is_written_without_them() -> None:
    limit = AmountLimit(LimitKind.DAY, "jpy", Decimal(5000))

    said = over_limit([limit], LimitKind.DAY, Decimal(1), "jpy", None, taken=Decimal(5000))

    assert said == "it would pass the limit of 5000 jpy a day, of which 5000 jpy is taken"


def _earlier(*sums: int) -> list[dict[str, Decimal]]:
    return [{"usd": Decimal(one)} for one in sums]


@pytest.mark.parametrize(
    ("planned", "earlier", "is_beyond"),
    [
        (300, (100, 100, 100), False),
        (301, (100, 100, 100), True),
        (301, (100, 100), False),  # two runs are no custom
        (301, (0, 100, 100), False),  # a run that took nothing is none
        (301, (100, 100, 100, 9000), True),  # one large run makes no other usual
    ],
)
def test_a_run_is_compared_with_the_median_of_the_last_ones(
    planned: int, earlier: tuple[int, ...], is_beyond: bool
) -> None:
    said = beyond_usual({"usd": Decimal(planned)}, _earlier(*earlier), Decimal(3))

    assert (said is not None) == is_beyond


def test_only_the_last_ten_runs_are_usual() -> None:
    earlier = _earlier(*[1000] * 10, *[1] * 50)

    assert beyond_usual({"usd": Decimal(3000)}, earlier, Decimal(3)) is None


def test_a_currency_that_was_never_charged_is_not_compared() -> None:
    assert beyond_usual({"eur": Decimal(10**6)}, _earlier(1, 1, 1), Decimal(3)) is None

"""One charge for several invoices keeps Stripe's limits, and its shares are read as written."""

import pytest

from app.rules.consolidation import (
    DESCRIPTION_MAX,
    INVOICES_MAX,
    SUM_MINOR_MAX,
    VALUE_MAX,
    charges_of,
    description_of,
    metadata_of,
    shares_in,
)


@pytest.mark.parametrize(
    ("amounts", "sizes"),
    [
        ([], []),
        ([5], [1]),
        ([5] * INVOICES_MAX, [INVOICES_MAX]),
        ([5] * (INVOICES_MAX + 1), [INVOICES_MAX, 1]),
        ([SUM_MINOR_MAX - 1, 1], [2]),
        ([SUM_MINOR_MAX, 1], [1, 1]),
        ([SUM_MINOR_MAX + 1, 1, 1], [1, 2]),
    ],
)
def test_a_charge_has_no_more_invoices_and_no_larger_sum_than_allowed(
    amounts: list[int], sizes: list[int]
) -> None:
    found = charges_of(amounts)

    assert [len(amounts[one]) for one in found] == sizes
    assert [amount for one in found for amount in amounts[one]] == amounts


@pytest.mark.parametrize("count", [1, 2, 26, INVOICES_MAX])
def test_the_largest_charge_fits_stripes_metadata_and_is_read_as_written(count: int) -> None:
    shares = {10**18 - 1 - one: SUM_MINOR_MAX for one in range(count)}

    metadata = metadata_of(shares)

    assert shares_in({"attempt": "1", **metadata}) == shares
    assert len(metadata) <= 47
    assert all(len(value) <= VALUE_MAX and len(key) <= 40 for key, value in metadata.items())


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"invoice_ids_2": "1=5"},
        {"invoice_ids_1": ""},
        {"invoice_ids_1": "1=5 2"},
        {"invoice_ids_1": "1=5 2=-5"},
        {"invoice_ids_1": "1=5", "invoice_ids_2": "x"},
        {"invoice_ids_1": 7},
    ],
)
def test_metadata_that_is_not_whole_names_no_shares(metadata: dict[str, object]) -> None:
    assert shares_in(metadata) == {}


def test_a_description_names_as_many_invoices_as_it_holds() -> None:
    numbers = [f"INV-{one:06}" for one in range(200)]

    assert description_of(numbers[:2]) == "Invoices INV-000000, INV-000001"
    found = description_of(numbers)

    assert len(found) <= DESCRIPTION_MAX
    assert found.startswith("Invoices INV-000000, INV-000001, ")
    assert found.endswith(f" and {200 - found.count('INV')} more")
    assert len(found) > DESCRIPTION_MAX - 12
    assert description_of(["x" * 2000, "y"]) == "2 invoices"


@pytest.mark.parametrize(
    ("amounts", "sizes"),
    [
        ([1] * 201, [200, 1]),
        ([99_999_998, 1], [2]),
        ([99_999_999, 1], [1, 1]),
    ],
)
def test_200_invoices_and_eight_digits_are_the_most_of_one_charge(
    amounts: list[int], sizes: list[int]
) -> None:
    assert [len(amounts[one]) for one in charges_of(amounts)] == sizes


def test_the_metadata_of_a_few_invoices_is_one_value() -> None:
    assert metadata_of({17: 4500, 18: 990}) == {"invoice_ids_1": "17=4500 18=990"}


@pytest.mark.parametrize(("last_amount", "lengths"), [(100_000, [500]), (1_000_000, [474, 26])])
def test_a_value_of_metadata_takes_500_characters(last_amount: int, lengths: list[int]) -> None:
    shares = {10**17 + one: 10_000 for one in range(19)} | {10**17 + 19: last_amount}

    found = metadata_of(shares)

    assert [len(value) for value in found.values()] == lengths
    assert list(found) == [f"invoice_ids_{number + 1}" for number in range(len(lengths))]


@pytest.mark.parametrize(
    ("numbers", "description"),
    [
        (["x" * 991], f"Invoices {'x' * 991}"),
        (["x" * 992], "1 invoices"),
        (["x" * 980, "y" * 10], f"Invoices {'x' * 980} and 1 more"),
        (["x" * 981, "y" * 10], "2 invoices"),
        (["x" * 970, "y", "z" * 20], f"Invoices {'x' * 970}, y and 1 more"),
    ],
)
def test_a_description_takes_1000_characters(numbers: list[str], description: str) -> None:
    assert description_of(numbers) == description

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

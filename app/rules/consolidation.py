"""One charge for several invoices: how many go into one, and how Stripe's metadata names them."""

import re
from collections.abc import Mapping, Sequence

# One charge is one row of locks and one list in the metadata: 200 invoices fill 14 of Stripe's 50
# keys at most. The rest of a client's invoices are charged in a second one.
INVOICES_MAX = 200
# Stripe takes eight digits of minor units for most currencies; a larger sum would be refused whole.
SUM_MINOR_MAX = 99_999_999
# Stripe's limits of one metadata value, and of a description.
VALUE_MAX = 500
DESCRIPTION_MAX = 1000

_PREFIX = "invoice_ids_"
_SHARE = re.compile(r"(\d{1,18})=(\d{1,12})")


def charges_of(amounts_minor: Sequence[int]) -> list[slice]:
    """The charges that amounts are taken in, each as many of them as one charge may have."""
    found = []
    start = total = 0
    for place, amount in enumerate(amounts_minor):
        is_full = place - start == INVOICES_MAX or total + amount > SUM_MINOR_MAX
        if is_full and place > start:
            found.append(slice(start, place))
            start, total = place, 0
        total += amount
    return [*found, slice(start, len(amounts_minor))] if amounts_minor else []


def metadata_of(shares_minor: Mapping[int, int]) -> dict[str, str]:
    """The metadata that names each invoice and its share in minor units: `17=4500 18=990`."""
    values = [""]
    for invoice_id, amount in shares_minor.items():
        share = f"{invoice_id}={amount}"
        if len(values[-1]) + 1 + len(share) > VALUE_MAX:
            values.append("")
        values[-1] = f"{values[-1]} {share}".strip()
    return {f"{_PREFIX}{number}": value for number, value in enumerate(values, start=1)}


def shares_in(metadata: Mapping[str, object]) -> dict[int, int]:
    """The shares that metadata names, in minor units by invoice; none where one is unreadable."""
    found: dict[int, int] = {}
    number = 1
    while f"{_PREFIX}{number}" in metadata:
        for text in str(metadata[f"{_PREFIX}{number}"]).split():
            share = _SHARE.fullmatch(text)
            if share is None:
                return {}
            found[int(share[1])] = int(share[2])
        number += 1
    return found


def description_of(numbers: Sequence[str]) -> str:
    """The invoices' numbers, as many as a description holds, and how many more there are."""
    whole = f"Invoices {', '.join(numbers)}"
    if len(whole) <= DESCRIPTION_MAX:
        return whole
    shown = len(numbers) - 1
    while shown and len(_shortened(numbers, shown)) > DESCRIPTION_MAX:
        shown -= 1
    return _shortened(numbers, shown)


def _shortened(numbers: Sequence[str], shown: int) -> str:
    more = len(numbers) - shown
    return f"Invoices {', '.join(numbers[:shown])} and {more} more" if shown else f"{more} invoices"

"""Limits of autopay: how much it takes without a person, and a run that is unlike the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from statistics import median

from app.rules import money

# A run is compared with so many of the last ones, and not at all with fewer than the least.
USUAL_OF_RUNS = 10
USUAL_RUNS_MIN = 3


class LimitKind(StrEnum):
    """Limits are of each invoice, or of all charges of a client's day, of a day or of a run."""

    INVOICE = "invoice"
    CLIENT = "client"
    DAY = "day"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class AmountLimit:
    """An amount, in a currency, that is taken at most; of one client only where it names one."""

    kind: LimitKind
    currency: str
    amount: Decimal
    client_id: int | None = None


def limit_of(
    limits: Iterable[AmountLimit], kind: LimitKind, currency: str, client_id: int | None
) -> Decimal | None:
    """The least limit of a kind that applies, or None."""
    return min(
        (
            one.amount
            for one in limits
            if (one.kind, one.currency) == (kind, currency) and one.client_id in (None, client_id)
        ),
        default=None,
    )


def over_limit(
    limits: Iterable[AmountLimit],
    kind: LimitKind,
    amount: Decimal,
    currency: str,
    client_id: int | None,
    *,
    taken: Decimal = Decimal(0),
) -> str | None:
    """The sentence about an amount that would pass a limit with what is taken already; or None."""
    limit = limit_of(limits, kind, currency, client_id)
    if limit is None or taken + amount <= limit:
        return None
    most = f"{money.text(limit, currency)} {currency}"
    if kind == LimitKind.INVOICE:
        return f"it is over the limit of {most} for one invoice"
    already = f"{money.text(taken, currency)} {currency}"
    return f"it would pass the limit of {most} {_OF[kind]}, of which {already} is taken"


_OF = {
    LimitKind.CLIENT: "a day for the client",
    LimitKind.DAY: "a day",
    LimitKind.RUN: "a run",
}


def beyond_usual(
    planned: Mapping[str, Decimal], earlier: Sequence[Mapping[str, Decimal]], times: Decimal
) -> str | None:
    """The sentence about a run whose sum in a currency is more than `times` the usual; or None.

    The usual is the median of the last runs that took anything in that currency. A currency in
    which fewer than USUAL_RUNS_MIN runs took anything has no usual yet, and is not compared.
    """
    for currency, amount in sorted(planned.items()):
        known = [one[currency] for one in earlier if one.get(currency)][:USUAL_OF_RUNS]
        if len(known) < USUAL_RUNS_MIN:
            continue
        usual = median(known)
        if amount > usual * times:
            return (
                f"it would take {money.text(amount, currency)} {currency}, more than {times} times "
                f"the usual {money.text(money.rounded(usual, currency), currency)} {currency}"
            )
    return None

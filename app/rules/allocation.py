"""Allocation: how the money of one payment is shared out among invoices.

Each share of a PaymentIntent is a row of InvoicePayment. The share without an invoice is unapplied
money: the client's credit. The shares of a payment always add up to its amount.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.rules.claim import Evidence
from app.rules.payment import PaymentState, PaymentStatus, ReversedTotal

ZERO = Decimal(0)
# The key of the share that has no invoice.
UNAPPLIED = None
Key = int | None


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a payment that one invoice has, or none has, and what went back of it."""

    amount: Decimal
    state: PaymentState
    evidence: Evidence | None = None
    refunded: Decimal = ZERO
    lost: Decimal = ZERO
    disputed: bool = False

    @property
    def counted(self) -> Decimal:
        """The amount that counts towards the invoice."""
        if self.state != PaymentState.SUCCEEDED:
            return ZERO
        return self.amount - self.refunded - self.lost

    @property
    def is_pending(self) -> bool:
        """A bank debit under way: no other way to pay may start until it ends."""
        return self.state == PaymentState.PROCESSING

    @property
    def is_reversed(self) -> bool:
        """Money went back or is contested, so a person decides what happens next."""
        return bool(self.refunded or self.lost or self.disputed)

    @property
    def status(self) -> PaymentStatus:
        if self.state != PaymentState.SUCCEEDED:
            return PaymentStatus(self.state)
        if self.lost:
            return PaymentStatus.DISPUTE_LOST
        if self.disputed:
            return PaymentStatus.DISPUTED
        if self.refunded:
            whole = self.refunded >= self.amount
            return PaymentStatus.REFUNDED if whole else PaymentStatus.PART_REFUNDED
        return PaymentStatus.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Claims:
    """The invoices that a payment is for, each with its amount, and the evidence for it."""

    amounts: Mapping[int, Decimal]
    evidence: Evidence | None = None


NO_CLAIMS = Claims({})


def allocate(
    *,
    total: Decimal,
    state: PaymentState,
    back: ReversedTotal,
    shares: Mapping[Key, Share],
    claims: Claims,
    amount_due: Mapping[int, Decimal],
) -> dict[Key, Share]:
    """The shares of a payment after a report on it.

    `shares` are those it had. The claims are trusted ones. `amount_due` is what each invoice owes
    while it counts these shares as they were.

    Until money was taken, the claims have their amounts and count nothing. When it is taken, no
    invoice gets more than it owes, and the rest is unapplied. A refund that names an invoice is
    taken from that invoice's share. Other money that goes back is taken from the unapplied share
    first, then from the invoices, the newest first. An invoice that owes something again takes it
    from the unapplied share of a payment that claims it, but for the money refunded of it by name.
    """
    # Money that no invoice has yet is shared out as if it came now, so that a refund which is known
    # before the claim falls on the same invoice as one that is known after it.
    was_taken = any(
        share.state == PaymentState.SUCCEEDED for key, share in shares.items() if key is not None
    )
    amounts = {key: share.amount for key, share in shares.items() if key is not None}
    for one, amount in claims.amounts.items():
        amounts.setdefault(one, ZERO if was_taken else amount)
    room = {one: amount_due.get(one, ZERO) + _counted(shares.get(one)) for one in amounts}
    if state == PaymentState.SUCCEEDED and not was_taken:
        amounts = {one: max(min(amount, room[one]), ZERO) for one, amount in amounts.items()}
    _clip(amounts, total)
    if state == PaymentState.SUCCEEDED:
        _fill(amounts, claims.amounts, total, back, room)
    return _spread(_with_unapplied(amounts, total), state, back, shares, claims)


def move(
    shares: Mapping[Key, Share],
    amounts: Mapping[int, Decimal],
    back: ReversedTotal,
    *,
    total: Decimal,
) -> dict[Key, Share]:
    """The shares of a payment after a person gave these invoices these amounts, and no other."""
    state = next(iter(shares.values())).state
    by_person = Claims(amounts, Evidence.PERSON)
    return _spread(_with_unapplied(amounts, total), state, back, shares, by_person)


def _evidence(key: Key, shares: Mapping[Key, Share], claims: Claims) -> Evidence | None:
    if key is UNAPPLIED:
        return None
    return shares[key].evidence if key in shares else claims.evidence


def _counted(share: Share | None) -> Decimal:
    return share.counted if share else ZERO


def _newest_first(invoices: Iterable[int]) -> list[int]:
    return sorted(invoices, reverse=True)


def _clip(amounts: dict[int, Decimal], total: Decimal) -> None:
    """Shares never exceed their payment: Stripe may have received less than was asked."""
    excess = sum(amounts.values(), ZERO) - total
    for one in _newest_first(amounts):
        if excess <= 0:
            return
        taken = min(excess, amounts[one])
        amounts[one] -= taken
        excess -= taken


def _fill(
    amounts: dict[int, Decimal],
    claims: Mapping[int, Decimal],
    total: Decimal,
    back: ReversedTotal,
    room: Mapping[int, Decimal],
) -> None:
    """Unapplied money that did not go back pays the claimed invoices that still owe something."""
    if sum(amounts.values(), ZERO) >= total:
        return
    shares = _with_unapplied(amounts, total)
    gone = _gone(shares, back)
    free = max(shares.get(UNAPPLIED, ZERO) - gone[UNAPPLIED].total, ZERO)
    for one in sorted(claims):
        counts = amounts[one] - gone.get(one, _NOTHING_GONE).total
        wanted = room[one] - counts - back.refunded_of.get(one, ZERO)
        given = min(max(wanted, ZERO), free)
        amounts[one] += given
        free -= given


@dataclass(frozen=True, slots=True)
class _Gone:
    """The part of a share that went back."""

    refunded: Decimal = ZERO
    lost: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return self.refunded + self.lost


_NOTHING_GONE = _Gone()


def _gone(amounts: Mapping[Key, Decimal], back: ReversedTotal) -> dict[Key, _Gone]:
    """The part of each share that went back, by the order that `allocate` says."""
    if not back.refunded and not back.lost:
        return dict.fromkeys((UNAPPLIED, *amounts), _NOTHING_GONE)
    named = {
        key: min(amount, back.refunded_of.get(key, ZERO)) if key is not None else ZERO
        for key, amount in amounts.items()
    }
    refunded = max(back.refunded - sum(named.values(), ZERO), ZERO)
    lost = back.lost
    found: dict[Key, _Gone] = {UNAPPLIED: _NOTHING_GONE}
    for key in (UNAPPLIED, *_newest_first([one for one in amounts if one is not None])):
        if key not in amounts:
            continue
        of_refunds = named[key] + min(refunded, amounts[key] - named[key])
        of_losses = min(lost, amounts[key] - of_refunds)
        found[key] = _Gone(of_refunds, of_losses)
        refunded -= of_refunds - named[key]
        lost -= of_losses
    return found


def _with_unapplied(amounts: Mapping[int, Decimal], total: Decimal) -> dict[Key, Decimal]:
    """The shares that are not empty, with the rest that no invoice has; never none at all."""
    found: dict[Key, Decimal] = {one: amount for one, amount in amounts.items() if amount > 0}
    rest = total - sum(amounts.values(), ZERO)
    if rest > 0 or not found:
        found[UNAPPLIED] = max(rest, ZERO)
    return found


def _spread(
    amounts: Mapping[Key, Decimal],
    state: PaymentState,
    back: ReversedTotal,
    before: Mapping[Key, Share],
    claims: Claims,
) -> dict[Key, Share]:
    """Shares with the part of each that went back, and the evidence by which each was made."""
    gone = _gone(amounts, back)
    return {
        key: Share(
            amount,
            state,
            _evidence(key, before, claims),
            gone[key].refunded,
            gone[key].lost,
            back.disputed,
        )
        for key, amount in amounts.items()
    }


def is_sum_of_some(amount: Decimal, amounts: Sequence[Decimal]) -> bool:
    """Whether an amount is the sum of some of these, each taken once.

    Beyond _SUMS_MAX different sums the answer is yes: a person looks rather than nobody.
    """
    sums = {ZERO}
    for one in amounts:
        sums |= {known + one for known in sums if known + one <= amount}
        if amount in sums or len(sums) > _SUMS_MAX:
            return True
    return amount in sums


_SUMS_MAX = 10_000

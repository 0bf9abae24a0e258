"""Outcomes of a run, invoice by invoice, and their report: memory stays flat however long it is."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import IO, Any

import structlog

from app.payments.autopay.attempt_history import UnresolvedAttempt
from app.payments.autopay.attempts import Attempt, AttemptShare
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import Skip
from app.rules import money
from app.rules.attempt import AttemptState

log = structlog.get_logger("paydue.autopay")


class OutcomeKind(StrEnum):
    CHARGED = "charged"
    PENDING = "pending"
    DECLINED = "declined"
    HELD = "held"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one invoice in one run."""

    kind: OutcomeKind
    invoice_id: int
    amount: Decimal
    currency: str
    intent_id: str | None = None
    reason: str | None = None
    next_try: date | None = None
    # Stripe's code, where our configuration or the invoice is wrong: somebody has to mend it.
    fault: str | None = None
    # The invoices that a charge of several was withdrawn for, each with the reason.
    withdrawn: Mapping[int, str] = field(default_factory=dict)
    # The autopay rule that decided.
    rule: str | None = None
    # Of what is not charged: how that changes.
    change: str | None = None

    def __post_init__(self) -> None:
        if self.kind != OutcomeKind.CHARGED:
            assert self.reason, "who asks why gets an answer"
            assert self.change, "and hears what would change it"


def share_outcomes(whole: Outcome, shares: Iterable[AttemptShare]) -> list[Outcome]:
    """The outcome of an attempt, told for each of its invoices."""
    return [
        replace(
            whole,
            invoice_id=one.invoice_id,
            amount=money.from_minor(one.amount_minor, whole.currency),
            reason=whole.withdrawn.get(one.invoice_id, whole.reason),
            withdrawn={},
            rule=one.rule_name,
        )
        for one in shares
    ]


def attempt_outcome(
    kind: OutcomeKind,
    attempt: Attempt,
    *,
    intent_id: str | None = None,
    reason: str | None = None,
    next_try: date | None = None,
    fault: str | None = None,
) -> Outcome:
    amount = money.from_minor(attempt.amount_minor, attempt.currency)
    retried = f"the next try, on {next_try}, or another payment method" if next_try else None
    return Outcome(
        kind,
        attempt.invoice_id,
        amount,
        attempt.currency,
        intent_id,
        reason,
        next_try,
        fault,
        rule=attempt.rule_name,
        change=retried or _CHANGES.get(kind),
    )


# How an outcome of an attempt changes, where no next try is foreseen.
_CHANGES = {
    OutcomeKind.PENDING: "the bank's answer, in days",
    OutcomeKind.DECLINED: "another payment method of the client's, or `paydue payment retry`",
    OutcomeKind.HELD: "somebody mends what Stripe refuses",
    OutcomeKind.UNKNOWN: "Stripe's answer, for which the worker asks",
    OutcomeKind.SKIPPED: "the next run looks at it again",
    OutcomeKind.FAILED: "somebody mends what is broken",
}


def skipped_outcome(one: Candidate, skip: Skip) -> Outcome:
    waits = one.last is not None and one.last.state == AttemptState.UNKNOWN
    kind = OutcomeKind.FAILED if skip.is_failure else OutcomeKind.SKIPPED
    kind = OutcomeKind.HELD if skip.fault or skip.needs_approval else kind
    return Outcome(
        OutcomeKind.UNKNOWN if waits else kind,
        one.invoice_id,
        one.amount,
        one.currency,
        one.last.intent_id if one.last else None,
        skip.reason,
        skip.next_try,
        skip.fault,
        rule=one.ruling.decision.rule_name if one.ruling else None,
        change=skip.change,
    )


def outcome_as_dict(one: Outcome) -> dict[str, Any]:
    """One outcome as JSON, as a report lists it and with its kind."""
    return {"outcome": str(one.kind), **_entry(one)}


def unresolved_outcome(one: UnresolvedAttempt, skip: Skip) -> Outcome:
    """The outcome of an attempt that could not even be gone on with."""
    amount = money.from_minor(one.amount_minor, one.currency)
    kind = OutcomeKind.FAILED if skip.is_failure else OutcomeKind.UNKNOWN
    return Outcome(
        kind,
        one.invoice_id,
        amount,
        one.currency,
        one.intent_id,
        skip.reason,
        change=skip.change,
    )


def log_outcome(one: Outcome) -> None:
    """One line for each invoice; those that are only skipped at debug."""
    known = {"intent": one.intent_id, "reason": one.reason, "next_try": one.next_try}
    say = log.debug if one.kind == OutcomeKind.SKIPPED else log.info
    say(
        f"invoice {one.kind}",
        invoice=one.invoice_id,
        amount=str(one.amount),
        currency=one.currency,
        **{name: str(value) for name, value in known.items() if value},
    )


class FaultAlarm:
    """One line at error for each kind of fault in a run, however many invoices it holds."""

    def __init__(self) -> None:
        self._raised: set[str] = set()

    def note(self, one: Outcome) -> None:
        if one.fault is None or one.fault in self._raised:
            return
        self._raised.add(one.fault)
        log.error(
            "Stripe refuses what we ask; invoices are held until it is mended",
            code=one.fault,
            invoice=one.invoice_id,
            reason=one.reason,
        )


# So much stays in memory; the rest of a long list waits in a temporary file.
_SPOOL_BYTES = 256 * 1024


class RunReport:
    """Counts and sums at once; the entries one after the other, when they are asked for."""

    def __init__(self, day: date, *, dry_run: bool) -> None:
        self.day = day
        self.dry_run = dry_run
        self.counts: Counter[OutcomeKind] = Counter()
        self.sums: dict[tuple[OutcomeKind, str], Decimal] = {}
        self._spools: dict[OutcomeKind, IO[str]] = {
            kind: tempfile.SpooledTemporaryFile(  # noqa: SIM115  closed by close()
                max_size=_SPOOL_BYTES, mode="w+", encoding="utf-8"
            )
            for kind in OutcomeKind
        }

    def add(self, one: Outcome) -> None:
        self.counts[one.kind] += 1
        total = (one.kind, one.currency)
        self.sums[total] = self.sums.get(total, Decimal(0)) + one.amount
        self._spools[one.kind].write(json.dumps(_entry(one)) + "\n")

    def entries(self, kind: OutcomeKind) -> Iterator[dict[str, Any]]:
        spool = self._spools[kind]
        spool.seek(0)
        for line in spool:
            yield json.loads(line)
        spool.seek(0, 2)

    def json_lines(self) -> Iterator[str]:
        """The whole report as one JSON object, in pieces."""
        head = json.dumps({"day": self.day.isoformat(), "dry_run": self.dry_run})
        yield head[:-1]
        for kind in OutcomeKind:
            yield f', "{kind}": ['
            for number, entry in enumerate(self.entries(kind)):
                yield (", " if number else "") + json.dumps(entry)
            yield "]"
        yield "}"

    def close(self) -> None:
        for spool in self._spools.values():
            spool.close()


def _entry(one: Outcome) -> dict[str, Any]:
    return {
        "invoice_id": one.invoice_id,
        "intent_id": one.intent_id,
        "amount": money.text(one.amount, one.currency),
        "currency": one.currency,
        "reason": one.reason,
        "next_try": one.next_try.isoformat() if one.next_try else None,
        "rule": one.rule,
        "change": one.change,
    }

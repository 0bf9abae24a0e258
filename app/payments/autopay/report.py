"""What an autopay run did, entry by entry, in memory that stays flat however long the run."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import IO, Any

from app.payments.autopay.outcomes import Outcome, OutcomeKind
from app.rules import money

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
    }

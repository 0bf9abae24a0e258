"""Previews of a change of autopay's rules: the open invoices that it moves, with their sums.

It decides as a run decides, by `RuleBook.decide`, and changes nothing.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import bindparam, literal_column, select, tuple_

from app.ledger.rule_facts import load_facts
from app.rules import calendar
from app.rules.autopay_rule import Decision, RuleAction, RuleBook, RuleFacts
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.prepared import PreparedStatement
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

INVOICES = table_of(Invoice)

# Facts of so many invoices are in memory at a time.
PAGE = 500
# Invoices that are named; all of them are counted and summed.
NAMED_MAX = 200


class RuleMove(StrEnum):
    """Into automatic charging, out of it, to a person, or to another day."""

    IN = "in"
    OUT = "out"
    ASK = "ask"
    DAY = "day"


class MovedInvoice(NamedTuple):
    """An invoice that a change of rules moves, and the rule that decides about it then."""

    invoice_id: int
    move: RuleMove
    amount: Decimal
    currency: str
    rule: str | None
    charge_on: date | None


@dataclass(slots=True)
class RulePreview:
    """All invoices that a change moves, counted and summed; the first of them by name."""

    counts: Counter[tuple[RuleMove, str]] = field(default_factory=Counter)
    sums: dict[tuple[RuleMove, str], Decimal] = field(default_factory=dict)
    invoices: list[MovedInvoice] = field(default_factory=list)
    looked_at: int = 0

    def add(self, one: MovedInvoice) -> None:
        total = (one.move, one.currency)
        self.counts[total] += 1
        self.sums[total] = self.sums.get(total, Decimal(0)) + one.amount
        if len(self.invoices) < NAMED_MAX:
            self.invoices.append(one)


async def preview(
    database: Database, before: RuleBook, after: RuleBook, *, now: datetime, timezone: str
) -> RulePreview:
    """Go through every open invoice with a due date, page by page, in snapshots."""
    found = RulePreview()
    both = RuleBook([*before.rules, *after.rules])  # looks at whatever either of them looks at
    async for ids in _open_invoices(database):
        async with database.snapshot() as tx:
            facts = await load_facts(tx, ids, both, timezone)
        today = calendar.business_day(now, timezone)
        found.looked_at += len(facts)
        for invoice_id in sorted(facts):
            moved = moved_by(facts[invoice_id], before, after, today)
            if moved is not None:
                found.add(moved)
    return found


def moved_by(one: RuleFacts, before: RuleBook, after: RuleBook, today: date) -> MovedInvoice | None:
    """The move that a change of rules makes of an invoice, or None."""
    was, will = before.decide(one, today), after.decide(one, today)
    move = _move(standing_of(one, was), standing_of(one, will), was, will)
    if move is None:
        return None
    return MovedInvoice(
        one.invoice_id, move, one.amount, one.currency, will.rule_name, will.charge_on
    )


def standing_of(one: RuleFacts, decision: Decision) -> RuleAction:
    """Whether an invoice is charged, asked about, or neither: for want of its flag or day too."""
    is_taken = one.is_flagged or (decision.rule is not None and decision.rule.unflagged)
    has_day = decision.charge_on is not None
    return decision.action if is_taken and has_day else RuleAction.NEVER


def _move(was: RuleAction, will: RuleAction, before: Decision, after: Decision) -> RuleMove | None:
    if was != will:
        moves = {RuleAction.CHARGE: RuleMove.IN, RuleAction.ASK: RuleMove.ASK}
        return moves.get(will, RuleMove.OUT)
    is_other_day = before.charge_on != after.charge_on
    return RuleMove.DAY if will != RuleAction.NEVER and is_other_day else None


class _IdRow(NamedTuple):
    id: int
    duedate: date


# Each has an index of its own: those with a flag, and those without.
_FLAGS = (
    INVOICES.c.take_auto_payment | INVOICES.c.include_in_autopay,
    ~INVOICES.c.take_auto_payment & ~INVOICES.c.include_in_autopay,
)
_PAGES = [
    PreparedStatement(
        select(INVOICES.c.id, INVOICES.c.duedate)
        .where(
            flag,
            HAS_AMOUNT_DUE,
            INVOICES.c.voided.is_(False),
            INVOICES.c.is_recurring_invoice.is_(False),
            tuple_(INVOICES.c.duedate, INVOICES.c.id)
            > tuple_(
                bindparam("last_day", type_=INVOICES.c.duedate.type),
                bindparam("last_id", type_=INVOICES.c.id.type),
            ),
        )
        .order_by(INVOICES.c.duedate, INVOICES.c.id)
        .limit(literal_column(str(PAGE))),
        _IdRow,
    )
    for flag in _FLAGS
]


async def _open_invoices(database: Database) -> AsyncIterator[Sequence[int]]:
    for statement in _PAGES:
        last_day, last_id = date.min, 0
        while True:
            async with database.snapshot() as tx:
                rows = await statement.all(tx, last_day=last_day, last_id=last_id)
            if rows:
                yield [row.id for row in rows]
            if len(rows) < PAGE:
                break
            last_day, last_id = rows[-1].duedate, rows[-1].id

"""Autopay's rules and limits as they stand now, and the revision by which a change is noticed.

Each change of a rule, a limit or a pause raises the revision in its own transaction. Autopay reads
the revision with every invoice that it locks, so that no charge is decided by rules of before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select, update

from app.errors import InvalidField, Refused
from app.rules.autopay_limit import AmountLimit, LimitKind
from app.rules.autopay_rule import (
    ChargeDay,
    DayBase,
    MethodChoice,
    MethodRule,
    Rule,
    RuleAction,
    RuleBook,
    RuleConditions,
    assert_rule_makes_sense,
    weekdays_of,
)
from app.rules.bank_holidays import DayMove
from app.rules.home import Home
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.rows import InputRecord, insert_once
from app.storage.tables.autopay_policies import AutopayLimit, AutopayRule
from app.storage.tables.cluster import InstallationValue

FACTS = table_of(InstallationValue)
RULES = table_of(AutopayRule)
LIMITS = table_of(AutopayLimit)

# Its row in `fact`; without one nobody has ever decided anything about autopay.
REVISION = "autopay_revision"
# More could not be overlooked; evaluation would bear them.
RULES_MAX = 1000


@dataclass(frozen=True, slots=True)
class AutopayPolicy:
    """All rules that are in use, in their order, and all limits."""

    revision: int | None = None
    book: RuleBook = field(default_factory=RuleBook)
    limits: Sequence[AmountLimit] = ()


async def load_policy(tx: Tx) -> AutopayPolicy:
    revision = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == REVISION))
    if revision is None:
        return AutopayPolicy()
    return AutopayPolicy(int(revision), RuleBook(await load_rules(tx)), await _load_limits(tx))


async def raise_revision(tx: Tx) -> None:
    """Say that a rule, a limit or a pause has changed; its row is locked until the commit."""
    await insert_once(
        tx,
        FACTS,
        [{"name": REVISION, "value": "0"}],
        key=[FACTS.c.name],
        returning=[FACTS.c.name],
    )
    known = await lock_revision(tx)
    await tx.execute(
        update(FACTS).where(FACTS.c.name == REVISION).values(value=str((known or 0) + 1))
    )


async def lock_revision(tx: Tx) -> int | None:
    """The revision, locked: whoever compares sums of all clients with a limit takes turns."""
    found = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == REVISION).with_for_update())
    return None if found is None else int(found)


# --- rules ---------------------------------------------------------------------------------------


class RuleRow(NamedTuple):
    """A rule as it is stored."""

    id: int
    name: str
    sequence: int
    inactive: bool
    action: str
    unflagged: bool
    client_id: int | None
    toplevel_id: int | None
    contract_id: int | None
    recurring_invoice_id: int | None
    sitenumber: int | None
    billingcategory: int | None
    currency: str | None
    order_number: str | None
    item_code: str | None
    property_name: str | None
    property_value: str | None
    age_from: int | None
    age_to: int | None
    amount_from: Decimal | None
    amount_to: Decimal | None
    day_from: str
    days: int
    day_of_month: int | None
    weekdays: str | None
    move_days: str | None
    holidays: str | None
    charge_method: str
    payment_method_id: str | None
    card_max: Decimal | None
    consolidate: bool | None


async def load_rules(tx: Tx) -> list[Rule]:
    """The rules that are in use, in their order."""
    return [rule_of(row) for row in await load_rule_rows(tx) if not row.inactive]


async def load_rule_rows(tx: Tx) -> list[RuleRow]:
    """All rules in their order; of one place, the older is the first."""
    found = await tx.execute(
        select(*projection(RULES, RuleRow)).order_by(RULES.c.sequence, RULES.c.id)
    )
    return [RuleRow._make(row) for row in found]


def rule_of(row: RuleRow) -> Rule:
    """The rule that a row says."""
    return Rule(
        id=row.id,
        name=row.name,
        action=RuleAction(row.action),
        conditions=RuleConditions(
            **{name: getattr(row, name) for name in RuleConditions.__dataclass_fields__}
        ),
        day=ChargeDay(
            base=DayBase(row.day_from),
            days=row.days,
            day_of_month=row.day_of_month,
            weekdays=weekdays_of(row.weekdays),
            move=DayMove(row.move_days) if row.move_days else None,
            holidays=row.holidays,
        ),
        method=MethodRule(
            choice=MethodChoice(row.charge_method),
            payment_method_id=row.payment_method_id,
            card_max=row.card_max,
        ),
        consolidate=row.consolidate,
        unflagged=row.unflagged,
    )


async def finish_rules(tx: Tx, records: Mapping[int, InputRecord]) -> None:
    """After rules were written: each makes sense and has its place, and autopay notices."""
    known = await load_rule_rows(tx)
    if len(known) > RULES_MAX:
        raise Refused(f"there are {len(known)} autopay rules; at most {RULES_MAX} are kept")
    for row in known:
        if row.id in records:
            assert_rule_makes_sense(rule_of(row))
    await _place(tx, known, {rule_id: one.get("sequence") for rule_id, one in records.items()})
    await raise_revision(tx)


async def move_rule(tx: Tx, rule_id: int, place: int) -> None:
    """Give a rule its place, from 1 on; the others make room."""
    await rows.lock_rows(tx, RULES, "AutopayRule", [{"id": rule_id}])
    await _place(tx, await load_rule_rows(tx), {rule_id: place})
    await raise_revision(tx)


async def _place(tx: Tx, known: Sequence[RuleRow], wanted: Mapping[int, int | None]) -> None:
    """Number the rules from 1 on. A rule without a place, or with 0, comes last."""
    ids = [row.id for row in known if row.sequence] + [row.id for row in known if not row.sequence]
    for rule_id, place in wanted.items():
        if place is not None:
            ids.remove(rule_id)
            ids.insert(max(place, 1) - 1 if place else len(ids), rule_id)
    before = {row.id: row.sequence for row in known}
    changes = {
        rule_id: {"sequence": number}
        for number, rule_id in enumerate(ids, start=1)
        if before[rule_id] != number
    }
    await rows.update_rows(tx, RULES, changes)


async def delete_rule(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    await rows.delete_row(tx, RULES, "AutopayRule", record_id)
    await raise_revision(tx)


# --- limits --------------------------------------------------------------------------------------


async def _load_limits(tx: Tx) -> list[AmountLimit]:
    columns = (LIMITS.c.kind, LIMITS.c.currency, LIMITS.c.amount, LIMITS.c.client_id)
    found = await tx.execute(select(*columns).order_by(LIMITS.c.id))
    return [
        AmountLimit(LimitKind(kind), currency, amount, client_id)
        for kind, currency, amount, client_id in found
    ]


async def finish_limits(tx: Tx, records: Mapping[int, InputRecord]) -> None:
    """After limits were written: none is less than nothing, and autopay notices."""
    if any(one.amount < 0 for one in await _load_limits(tx)):
        raise InvalidField("amount", "is less than nothing")
    await raise_revision(tx)


async def delete_limit(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    await rows.delete_row(tx, LIMITS, "AutopayLimit", record_id)
    await raise_revision(tx)

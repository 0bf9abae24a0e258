"""Writes the parts of composite tax rates, whose value is their sum, and tax rules' conditions."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import delete, insert, or_, select, update

from app.errors import InvalidField, NotFound, Refused
from app.rules.tax import TaxFact, is_interval
from app.storage import rows
from app.storage.column_types import significant, table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.rows import InputRecord
from app.storage.tables.taxes import CompositeTax, Tax, TaxRuleCondition

TAXES = table_of(Tax)
LINKS = table_of(CompositeTax)
CONDITIONS = table_of(TaxRuleCondition)

_PERCENT_MAX = 100


async def write_linked_rates(tx: Tx, records: Mapping[int, InputRecord]) -> None:
    """`linked_rates` is the whole list; the value of a composite rate follows from it."""
    linked = {tax_id: _linked_ids(tax_id, one) for tax_id, one in records.items()}
    changed = {tax_id: ids for tax_id, ids in linked.items() if ids is not None}
    if changed:
        await tx.execute(delete(LINKS).where(LINKS.c.tax_id.in_(changed)))
        await _link(tx, changed)
    await _refuse_composites_of_composites(tx, records)
    await _sum_composites(tx, records)


def _linked_ids(tax_id: int, record: InputRecord) -> Sequence[int] | None:
    """The rates that shall be its parts; None leaves them as they are."""
    ids: Sequence[int] | None = record.get("linked_rates")
    if record.get("is_composite") is False:
        return []
    if ids and tax_id in ids:
        raise InvalidField("linked_rates", f"tax rate {tax_id} cannot be a part of itself")
    return None if ids is None else sorted(set(ids))


async def _link(tx: Tx, changed: Mapping[int, Sequence[int]]) -> None:
    links = [{"tax_id": tax_id, "linked_id": one} for tax_id, ids in changed.items() for one in ids]
    if not links:
        return
    wanted = {row["linked_id"] for row in links}
    missing = wanted.difference(await tx.scalars(select(TAXES.c.id).where(TAXES.c.id.in_(wanted))))
    if missing:
        raise InvalidField("linked_rates", f"{min(missing)} does not exist")
    await tx.execute(insert(LINKS), links)
    composites = TAXES.c.id.in_({row["tax_id"] for row in links})
    await tx.execute(update(TAXES).where(composites).values(is_composite=True))


async def _refuse_composites_of_composites(tx: Tx, ids: Collection[int]) -> None:
    part = LINKS.alias()
    found = await tx.scalar(
        select(LINKS.c.tax_id)
        .join(part, part.c.tax_id == LINKS.c.linked_id)
        .where(or_(LINKS.c.tax_id.in_(ids), part.c.tax_id.in_(ids)))
        .limit(1)
    )
    if found is not None:
        raise Refused(f"linked_rates: tax rate {found} would be made of a composite rate")


async def _sum_composites(tx: Tx, ids: Collection[int]) -> None:
    """Set the value of each composite that is, or has as a part, one of these to its parts' sum."""
    moved = select(LINKS.c.tax_id).where(or_(LINKS.c.tax_id.in_(ids), LINKS.c.linked_id.in_(ids)))
    parts = (
        select(LINKS.c.tax_id, TAXES.c.value)
        .join(TAXES, TAXES.c.id == LINKS.c.linked_id)
        .where(LINKS.c.tax_id.in_(moved))
        .order_by(LINKS.c.tax_id)
    )
    worth: dict[int, Decimal] = {}
    for tax_id, value in await tx.execute(parts):
        worth[tax_id] = significant(worth.get(tax_id, Decimal(0)) + value)
    for tax_id, value in worth.items():
        if value > _PERCENT_MAX:
            raise InvalidField(
                "linked_rates", f"tax rate {tax_id} would be over {_PERCENT_MAX} percent"
            )
    await rows.update_rows(tx, TAXES, {one: {"value": value} for one, value in worth.items()})


async def write_conditions(tx: Tx, records: Mapping[int, InputRecord]) -> None:
    """`tax_conditions` is the whole list: one left out is deleted, one with an id is changed."""
    of_rules = {
        rule_id: record["tax_conditions"]
        for rule_id, record in records.items()
        if "tax_conditions" in record
    }
    if not of_rules:
        return
    known = await _load_conditions(tx, of_rules)
    given = [(rule_id, one) for rule_id, listed in of_rules.items() for one in listed]
    kept = {one["id"]: _condition(rule_id, one, known) for rule_id, one in given if "id" in one}
    gone = known.keys() - kept
    await tx.execute(delete(CONDITIONS).where(CONDITIONS.c.id.in_(gone)))
    await rows.update_rows(tx, CONDITIONS, kept)
    new = [_condition(rule_id, one, known) for rule_id, one in given if "id" not in one]
    await rows.insert_rows(tx, CONDITIONS, new)


class ConditionRow(NamedTuple):
    """A condition of a tax rule, without its id."""

    tax_rule_id: int
    value: str | None = None
    value_type: int | None = None
    value_bool: bool | None = None
    value_display: str | None = None
    value_lookup: object = None
    extra: Mapping[str, object] | None = None


# Columns that a caller gives; the rule of a condition and its `extra` follow.
_GIVEN = frozenset(ConditionRow._fields) - {"tax_rule_id", "extra"}


async def _load_conditions(tx: Tx, rule_ids: Collection[int]) -> dict[int, ConditionRow]:
    columns = (CONDITIONS.c.id, *projection(CONDITIONS, ConditionRow))
    statement = select(*columns).where(CONDITIONS.c.tax_rule_id.in_(rule_ids))
    return {row_id: ConditionRow._make(values) for row_id, *values in await tx.execute(statement)}


def _condition(
    rule_id: int, given: InputRecord, known: Mapping[int, ConditionRow]
) -> dict[str, object]:
    """The columns of a condition as it will be."""
    row = known.get(given["id"]) if "id" in given else ConditionRow(rule_id)
    if row is None or row.tax_rule_id != rule_id:
        raise NotFound(f"TaxRule {rule_id}: condition", given["id"])
    changed = {name: value for name, value in given.items() if name in _GIVEN}
    extra = rows.merge_extra(row.extra, given.get("extra", {}))
    condition = {**row._asdict(), **changed, "extra": extra}
    _refuse_interval(condition)
    return condition


def _refuse_interval(condition: Mapping[str, object]) -> None:
    """Days that are none would make a rule that never holds, and nobody would be told."""
    if condition["value_type"] == TaxFact.TAX_POINT and not is_interval(
        str(condition["value"] or "")
    ):
        raise InvalidField(
            "tax_conditions.value", "of a tax point is two days, such as 2027-01-01/2027-12-31"
        )

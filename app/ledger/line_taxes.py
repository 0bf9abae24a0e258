"""The tax rate of each line that is given: of the tax it names, or of the rule that fits it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import select

from app.ledger.invoice_draft import CHANGED_LINES, Draft
from app.rules.tax import TaxCondition, TaxFact, TaxRuleTerms, matching_rule, tax_id
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.rows import InputRecord
from app.storage.tables.taxes import Tax, TaxRule, TaxRuleCondition

TAXES = table_of(Tax)
RULES = table_of(TaxRule)
CONDITIONS = table_of(TaxRuleCondition)

_NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class TaxRates:
    """What taxes are worth, and the rules for lines that name none."""

    of_tax: Mapping[int, Decimal]
    rules: Sequence[TaxRuleTerms]


async def load_rates(tx: Tx, records: Sequence[InputRecord]) -> TaxRates:
    """What these records' lines may need; nothing is asked for that none of them does."""
    lines = [line for record in records for key in _KEYS for line in record.get(key) or ()]
    rules = await _rules(tx) if any(_is_open(line) for line in lines) else []
    wanted = {tax_id(line.get("tax_code")) for line in lines} | {one.tax_id for one in rules}
    wanted.discard(None)
    if not wanted:
        return TaxRates({}, rules)
    found = await _LOCK_RATES.all(tx, ids=wanted)
    return TaxRates({row.id: row.value for row in found}, rules)


# Nobody deletes a rate while a line that names it is on its way: there is no foreign key.
class _RateRow(NamedTuple):
    id: int
    value: Decimal


_LOCK_RATES = PreparedStatement(
    select(TAXES.c.id, TAXES.c.value)
    .where(any_of(TAXES.c.id, "ids"))
    .order_by(TAXES.c.id)
    .with_for_update(read=True, key_share=True),
    _RateRow,
)


def with_line_taxes(record: InputRecord, one: Draft, rates: TaxRates) -> dict[str, Any]:
    """The record with a rate on each of its lines that does not keep the one it has."""
    given = {key: record[key] for key in _KEYS if record.get(key)}
    changed = {
        key: [{**line, **_rate(line, one, rates)} for line in lines] for key, lines in given.items()
    }
    return {**record, **changed}


_KEYS = ("lines", "add_lines", CHANGED_LINES)


def _is_open(line: InputRecord) -> bool:
    """A new line that says nothing about its tax."""
    return "id" not in line and "tax_rate" not in line and not line.get("tax_code")


def _rate(line: InputRecord, one: Draft, rates: TaxRates) -> dict[str, Any]:
    if _is_open(line):
        found = matching_rule(rates.rules, _facts(line, one))
        if found is None:
            return {}
        return {"tax_code": str(found), "tax_rate": rates.of_tax.get(found, _NONE)}
    if "tax_code" not in line:
        return {}
    worth = rates.of_tax.get(tax_id(line["tax_code"]) or 0)
    return {"tax_rate": line.get("tax_rate") or _NONE if worth is None else worth}


def _facts(line: InputRecord, one: Draft) -> dict[TaxFact, str]:
    facts = {
        TaxFact.CLIENT: one.now("client_id"),
        TaxFact.SITE: one.now("sitenumber"),
        TaxFact.CURRENCY: one.currency,
        TaxFact.ITEM_CODE: line.get("item_code"),
        TaxFact.NOMINAL_CODE: line.get("nominal_code"),
    }
    return {name: str(fact).lower() for name, fact in facts.items() if fact is not None}


async def _rules(tx: Tx) -> list[TaxRuleTerms]:
    found = await _RULES.all(tx)
    rules: dict[int, tuple[_RuleRow, list[TaxCondition]]] = {}
    for row in found:
        _, conditions = rules.setdefault(row.id, (row, []))
        if row.condition_id is not None:
            conditions.append(TaxCondition(row.value_type, _values(row)))
    return [
        TaxRuleTerms(row.id, row.sequence, row.taxid, tuple(conditions))
        for row, conditions in rules.values()
    ]


class _RuleRow(NamedTuple):
    """A rule beside one of its conditions, or beside none."""

    id: int
    sequence: int
    taxid: int
    condition_id: int | None
    value_type: int | None
    value: str | None
    value_lookup: object


_RULES = PreparedStatement(
    select(
        RULES.c.id, RULES.c.sequence, RULES.c.taxid, CONDITIONS.c.id.label("condition_id"),
        CONDITIONS.c.value_type, CONDITIONS.c.value, CONDITIONS.c.value_lookup,
    ).outerjoin(CONDITIONS, CONDITIONS.c.tax_rule_id == RULES.c.id),
    _RuleRow,
)  # fmt: skip


def _values(row: _RuleRow) -> frozenset[str]:
    """The condition's own value, and the ids of those it looks up."""
    looked_up = row.value_lookup if isinstance(row.value_lookup, list) else []
    ids = [one.get("id") for one in looked_up if isinstance(one, dict)]
    return frozenset(str(one).strip().lower() for one in (row.value, *ids) if one is not None)

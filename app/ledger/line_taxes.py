"""The tax rate of each line that is given: of the tax it names, or of the rule that fits it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.ledger.invoice_draft import Draft, DraftLine
from app.rules import calendar
from app.rules.home import Home
from app.rules.tax import (
    TaxCondition,
    TaxFact,
    TaxRuleTerms,
    explanation,
    matching_rule,
    tax_id,
)
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.rows import merge_extra
from app.storage.tables.clients import Client
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow, line_of
from app.storage.tables.taxes import Tax, TaxRule, TaxRuleCondition

TAXES = table_of(Tax)
RULES = table_of(TaxRule)
CONDITIONS = table_of(TaxRuleCondition)

_NO_TAX = Decimal(0)


@dataclass(frozen=True, slots=True)
class TaxRates:
    """The rates of taxes by their ids, and the rules for lines that name none."""

    of_tax: "Mapping[int, _RateRow]"
    rules: Sequence[TaxRuleTerms]
    clients: "Mapping[int, _ClientRow]"
    home: Home


async def apply_tax_rates(tx: Tx, drafts: Sequence[Draft], home: Home) -> None:
    """Give each line that does not keep its rate the one of its tax, before totals are made."""
    rates = await _load_rates(tx, drafts, home)
    for one in drafts:
        for line in one.lines or ():
            line.after = _with_rate(line, one, rates)


async def _load_rates(tx: Tx, drafts: Sequence[Draft], home: Home) -> TaxRates:
    """The rates their lines may need; nothing is read when none of them needs any."""
    lines = [line for one in drafts for line in one.lines or ()]
    rules = await _load_rules(tx) if any(_names_no_tax(line) for line in lines) else []
    named = {tax_id(line.after.tax_code) for line in lines if _is_given(line, "tax_code")}
    wanted = {one for one in named if one is not None} | {one.tax_id for one in rules}
    found = await _LOCK_RATES.all(tx, ids=wanted) if wanted else ()
    clients = {one.after.client_id for one in drafts} - {None} if rules else set()
    known = await _CLIENTS.all(tx, ids=clients) if clients else ()
    return TaxRates({row.id: row for row in found}, rules, {row.id: row for row in known}, home)


class _ClientRow(NamedTuple):
    id: int
    country: str | None
    vat_number: str | None
    timezone: str | None


_CLIENTS = PreparedStatement(
    select(Client.id, Client.country, Client.vat_number, Client.timezone).where(
        any_of(table_of(Client).c.id, "ids")
    ),
    _ClientRow,
)


class _RateRow(NamedTuple):
    id: int
    value: Decimal
    category_code: str | None
    exemption_reason: str | None


# Nobody deletes a rate while a line that names it is on its way: there is no foreign key.
_LOCK_RATES = PreparedStatement(
    select(TAXES.c.id, TAXES.c.value, TAXES.c.category_code, TAXES.c.exemption_reason)
    .where(any_of(TAXES.c.id, "ids"))
    .order_by(TAXES.c.id)
    .with_for_update(read=True, key_share=True),
    _RateRow,
)


def _is_given(line: DraftLine, name: str) -> bool:
    return line.given is not None and name in line.given.values


def _names_no_tax(line: DraftLine) -> bool:
    """A new line that says nothing about its tax: the rules choose."""
    if line.given is None or line.given.id is not None or line.given.keeps_tax:
        return False
    return not _is_given(line, "tax_rate") and not line.after.tax_code


def _with_rate(line: DraftLine, one: Draft, rates: TaxRates) -> FullLineRow:
    if _names_no_tax(line):
        return _by_rules(line, one, rates)
    if not _is_given(line, "tax_code") or (line.given and line.given.keeps_tax):
        return line.after
    rate_of_tax = rates.of_tax.get(tax_id(line.after.tax_code) or 0)
    if line.before is not None and line.before.tax_code == line.after.tax_code:
        return _with_kept_rate(line.before, line, one, rate_of_tax)
    if rate_of_tax is not None:
        return _taxed(line.after, rate_of_tax)
    # A code that is no tax of ours taxes nothing, unless a rate stands beside it.
    after = line.after._replace(tax_category=None, tax_exemption_reason=None)
    return after if _is_given(line, "tax_rate") else after._replace(tax_rate=_NO_TAX)


def _taxed(row: FullLineRow, tax: _RateRow) -> FullLineRow:
    """The line with the rate of its tax, and with the category and the reason that go with it."""
    return row._replace(
        tax_rate=tax.value,
        tax_category=tax.category_code,
        tax_exemption_reason=tax.exemption_reason,
    )


def _by_rules(line: DraftLine, one: Draft, rates: TaxRates) -> FullLineRow:
    """The line with the tax of the rule that fits, and with the reason."""
    facts = _facts(line.after, one, rates)
    rule = matching_rule(rates.rules, facts)
    if rule is None:
        return line.after
    code = str(rule.tax_id)
    result = {"taxid": rule.tax_id, "taxcode": code, "_warning": explanation(rule, facts)}
    extra = merge_extra(line.after.extra, {"taxRuleResult": [result]})
    return _taxed(line.after, rates.of_tax[rule.tax_id])._replace(tax_code=code, extra=extra)


def _with_kept_rate(
    before: FullLineRow, line: DraftLine, one: Draft, tax: _RateRow | None
) -> FullLineRow:
    """The rate was fixed with the line, and stays until its amount or its tax point changes.

    Clients post whole records back: else an invoice of last year is taxed at this year's rate.
    """
    if tax is None:  # its Tax is gone; the rate that is given or known counts
        return line.after
    is_moved = _priced(before) != _priced(line.after) or one.tax_point_changes
    return _taxed(line.after, tax) if is_moved else line.after._replace(tax_rate=before.tax_rate)


def _priced(row: FullLineRow) -> tuple[Decimal, bool]:
    return line_of(row).amount, row.price_includes_tax


def _facts(line: FullLineRow, one: Draft, rates: TaxRates) -> dict[TaxFact, str]:
    client = rates.clients.get(one.after.client_id or 0)
    facts = {
        TaxFact.CLIENT: one.after.client_id,
        TaxFact.SITE: one.after.sitenumber,
        TaxFact.CURRENCY: one.after.currency_iso,
        TaxFact.ITEM_CODE: line.item_code,
        TaxFact.NOMINAL_CODE: line.nominal_code,
        TaxFact.COUNTRY: client.country or None if client else None,
        TaxFact.VAT_NUMBER: ("yes" if client.vat_number else "no") if client else None,
        TaxFact.TAX_POINT: _tax_point(one.after, client, rates.home),
    }
    return {name: str(fact).lower() for name, fact in facts.items() if fact is not None}


def _tax_point(row: FullInvoiceRow, client: _ClientRow | None, home: Home) -> date | None:
    """The invoice's own day, where the client is, unless it names another one."""
    if row.tax_point_date is not None or row.invoice_date is None:
        return row.tax_point_date
    timezone = (client.timezone if client else None) or home.timezone
    return calendar.business_day(row.invoice_date, timezone)


class _RuleRow(NamedTuple):
    """A rule beside one of its conditions, or beside none."""

    id: int
    sequence: int
    taxid: int
    condition_id: int | None
    value_type: int | None
    value: str | None
    value_lookup: object


async def _load_rules(tx: Tx) -> list[TaxRuleTerms]:
    by_rule: dict[int, list[_RuleRow]] = {}
    for row in await _RULES.all(tx):
        by_rule.setdefault(row.id, []).append(row)
    return [_terms(rows) for rows in by_rule.values()]


def _terms(rows: Sequence[_RuleRow]) -> TaxRuleTerms:
    """One rule, of the rows that hold its conditions."""
    conditions = tuple(
        TaxCondition(row.value_type, _values(row)) for row in rows if row.condition_id is not None
    )
    return TaxRuleTerms(rows[0].id, rows[0].sequence, rows[0].taxid, conditions)


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

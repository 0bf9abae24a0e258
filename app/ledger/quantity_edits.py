"""Lets a quantity that is edited on a template count from a day on, rather than from a period.

The difference becomes an entry of the line's `prorata_data`: the next invoice bills its days by a
line of its own, and then the template's quantity follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from app.ledger.invoice_draft import Currencies, Draft, DraftLine
from app.ledger.prorata import ProrataEntry, load_open_entries, written
from app.storage.column_types import significant
from app.storage.engines import Tx
from app.storage.tables.invoices import FullLineRow

# HaloPSA's properties of a template's line that ask for an entry. They are used up by it.
_ASKING = frozenset(
    {
        "createproratadate", "prorata_quantity", "prorata_unit_price",
        "prorata_shortdescription", "prorata_longdescription",
    }
)  # fmt: skip
# The flag that stays with the line: each edit of its quantity counts from its day on.
_FLAG = "prorata_next_invoice"
# HaloPSA's recurring_invoice_quantity_type: any other is counted elsewhere, so we leave it.
FIXED_QUANTITY = 0


def is_fixed_quantity(row: FullLineRow) -> bool:
    kind = (row.extra or {}).get("recurring_invoice_quantity_type", FIXED_QUANTITY)
    return kind == FIXED_QUANTITY


async def prorate_edits(
    tx: Tx, drafts: Sequence[Draft], currencies: Currencies, now: datetime
) -> None:
    """Turn edited quantities of templates, and `prorata_quantity`, into entries."""
    for one in drafts:
        asking = [line for line in one.lines or () if one.is_template and _asks(one, line)]
        if not asking:
            continue
        open_of = await load_open_entries(tx, [line.before.id for line in asking if line.before])
        for line in asking:
            known = [] if line.before is None else open_of.get(line.before.id, [])
            given = None if line.given is None else line.given.prorata
            _prorate(one, line, known if given is None else given, currencies, now)


def _asks(one: Draft, line: DraftLine) -> bool:
    given = line.given
    if given is None or given.keeps_quantity:
        return False
    if not _ASKING.isdisjoint(name for name, value in given.extra.items() if value is not None):
        return True
    is_flagged = bool((line.after.extra or {}).get(_FLAG))
    return is_flagged and _has_billed(one) and _quantity_moves(line)


def _has_billed(one: Draft) -> bool:
    """Before its first invoice no period runs, so that nothing is to be billed for days of one."""
    return one.before is not None and one.before.lastcreated is not None


def _quantity_moves(line: DraftLine) -> bool:
    before = Decimal(0) if line.before is None else line.before.qty_order
    return line.after.qty_order != before and is_fixed_quantity(line.after)


def _prorate(
    one: Draft,
    line: DraftLine,
    known: Sequence[ProrataEntry],
    currencies: Currencies,
    now: datetime,
) -> None:
    asked = (line.given.extra if line.given else None) or {}
    first = _first_day(asked, one, currencies, now)
    entries = list(known)
    after = line.after
    if asked.get("prorata_quantity"):
        entries = _with_entry(entries, _asked_entry(asked, first))
    elif _quantity_moves(line):
        start = Decimal(0) if line.before is None else line.before.qty_order
        expected = start + sum((each.quantity or Decimal(0) for each in entries), Decimal(0))
        difference = after.qty_order - expected
        entries = _with_entry(entries, ProrataEntry(date=first, quantity=difference))
        after = after._replace(qty_order=start)
    kept = {name: value for name, value in (after.extra or {}).items() if name not in _ASKING}
    line.after = after._replace(
        extra=kept or None, prorata_data=[written(each) for each in entries] or None
    )
    assert line.given is not None, "only a line that was given asks for an entry"
    line.given = replace(line.given, prorata=entries)


def _first_day(
    asked: Mapping[str, object], one: Draft, currencies: Currencies, now: datetime
) -> datetime:
    """The first day that counts: the one that was given, or today where the client is."""
    said = asked.get("createproratadate")
    if isinstance(said, str):
        return datetime.fromisoformat(said).replace(tzinfo=UTC)
    return currencies.midnight(one.after.client_id, now)


def _asked_entry(asked: Mapping[str, object], first: datetime) -> ProrataEntry:
    """A price of 0 is none, as HaloPSA writes it: the line's counts."""
    return ProrataEntry(
        date=first,
        quantity=_number(asked.get("prorata_quantity")),
        unitprice=_number(asked.get("prorata_unit_price")) or None,
        shortdescription=_text(asked.get("prorata_shortdescription")),
        longdescription=_text(asked.get("prorata_longdescription")),
    )


def _number(value: object) -> Decimal:
    return significant(Decimal(str(value or 0)))


def _text(value: object) -> str | None:
    return str(value) if value else None


def _with_entry(known: Sequence[ProrataEntry], new: ProrataEntry) -> list[ProrataEntry]:
    """Two edits of one day are one entry, and those that cancel each other are none."""
    alike = [each for each in known if each._replace(quantity=None) == new._replace(quantity=None)]
    others = [each for each in known if each not in alike]
    quantity = sum((each.quantity or Decimal(0) for each in [*alike, new]), Decimal(0))
    return [*others, new._replace(quantity=quantity)] if quantity else others

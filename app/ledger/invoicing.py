"""Creates and changes invoices and their lines, and works out what they come to.

What has been paid is settlement's; it is asked to look again whenever a total moved.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import chain
from types import SimpleNamespace
from typing import Any

from sqlalchemy import String, cast, delete, or_, select, update

from app.data import batches
from app.data.batches import Given
from app.data.clients import Client, Currency
from app.data.columns import table_of
from app.data.database import Record, Tx
from app.data.invoice_payments import InvoicePayment
from app.data.invoices import Invoice, InvoiceLine, line_of
from app.data.stripe_records import ChargeAttempt
from app.data.values import plain
from app.errors import Changed, InvalidField, NotFound, Refused
from app.ledger import audit, settlement
from app.rules import money
from app.rules.attempt import UNRESOLVED
from app.rules.invoice import Line, totals

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)
PAYMENTS = table_of(InvoicePayment)
ATTEMPTS = table_of(ChargeAttempt)

# What settlement writes, or what follows from other columns; a caller's value never gets here.
_NOT_GIVEN = frozenset({"id", "currency_code", "currency_iso", "extra"})
_LINE_NOT_GIVEN = frozenset({"id", "ihid", "extra"})


@dataclass(slots=True)
class _Line:
    """A line as it will be, and as it is when it exists."""

    values: dict[str, Any]
    row: Record | None = None

    @property
    def rule(self) -> Line:
        return line_of(SimpleNamespace(**self.values))


@dataclass(slots=True)
class _Draft:
    """An invoice as it will be, and as it is when it exists."""

    values: dict[str, Any]
    row: Record | None
    currency: str
    # None when the lines are left as they are.
    lines: list[_Line] | None = None
    removed: list[Record] = field(default_factory=list)
    id: int = 0

    @property
    def is_new(self) -> bool:
        return self.row is None


async def save(
    tx: Tx, records: Sequence[Given], *, now: datetime, who: str, home: str
) -> list[int]:
    """Create the invoices without id and change the others; answers all ids in the order given.

    Only given fields change; `lines` is the whole list, `add_lines` adds to it.
    """
    known = await _locked(tx, records)
    currencies = await _currencies(tx, records, home)
    drafts = [_draft(record, known, currencies, home, now) for record in records]
    await _refuse_other_currency(tx, drafts)
    existing = await _existing_lines(tx, records, drafts)
    for record, draft in zip(records, drafts, strict=True):
        _put_lines(draft, record, existing.get(draft.id, []))
        _put_totals(draft)
    await _write(tx, drafts, now=now, who=who)
    return [draft.id for draft in drafts]


async def _locked(tx: Tx, records: Sequence[Given]) -> Mapping[int, Record]:
    for record in records:
        if record.get("id", 1) < 0:  # a template's id
            raise NotFound("Invoice", record["id"])
    known = await batches.locked(tx, INVOICES, "Invoice", records)
    for record in records:
        seen = record.get("last_change_seq")
        if seen is None or "id" not in record or record.get("ignore_change_seq"):
            continue
        if seen < known[record["id"]].change_seq:
            raise Changed(f"invoice {record['id']} has changed since you read it")
    return known


# --- headers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Currencies:
    """The currencies a batch needs: by id, of each client, and our own."""

    code_of: Mapping[int, str]
    of_client: Mapping[int, int | None]

    def chosen(self, record: Given, home: str) -> int:
        """The invoice's own, else its client's, else ours."""
        own = record.get("currency_code") or self.of_client.get(record.get("client_id") or 0)
        if own is not None:
            return own
        for currency_id, code in self.code_of.items():
            if code == home:
                return currency_id
        raise Refused(f"the currency {home} is not among the currencies; name a currency_code")


async def _currencies(tx: Tx, records: Sequence[Given], home: str) -> _Currencies:
    client_ids = {one for record in records if (one := record.get("client_id")) is not None}
    of_client = await _currency_of_clients(tx, client_ids)
    named = {one for record in records if (one := record.get("currency_code")) is not None}
    wanted = named | {one for one in of_client.values() if one is not None}
    found = await tx.execute(
        select(Currency.id, Currency.code).where(
            or_(Currency.id.in_(wanted), Currency.code == home)
        )
    )
    code_of: dict[int, str] = {row.id: row.code for row in found}
    _assert_known("currency_code", named - code_of.keys())
    return _Currencies(code_of, of_client)


async def _currency_of_clients(tx: Tx, ids: Collection[int]) -> dict[int, int | None]:
    if not ids:
        return {}
    found = await tx.execute(select(Client.id, Client.currency_code).where(Client.id.in_(ids)))
    of_client: dict[int, int | None] = {row.id: row.currency_code for row in found}
    _assert_known("client_id", set(ids) - of_client.keys())
    return of_client


def _assert_known(name: str, missing: Collection[int]) -> None:
    if missing:
        raise InvalidField(name, f"{min(missing)} does not exist")


def _draft(
    record: Given, known: Mapping[int, Record], currencies: _Currencies, home: str, now: datetime
) -> _Draft:
    row = known.get(record.get("id", 0))
    values = {
        name: value
        for name, value in record.items()
        if name in INVOICES.c and name not in _NOT_GIVEN
    }
    if "extra" in record:
        values["extra"] = batches.with_extra(row.extra if row else None, record["extra"])
    if row is None or record.get("currency_code") not in (None, row.currency_code):
        values["currency_code"] = currencies.chosen(record, home)
        values["currency_iso"] = currencies.code_of[values["currency_code"]]
    currency = (
        values["currency_iso"] if row is None else values.get("currency_iso", row.currency_iso)
    )
    if row is not None:
        return _Draft(values, row, currency, id=row.id)
    dated = {"invoice_date": values.get("invoice_date") or now.replace(microsecond=0)}
    return _Draft({**_NEW_INVOICE, **values, **dated, "date_created": now}, None, currency)


def _defaults(columns: Iterable[Any]) -> dict[str, Any]:
    """One statement for all rows needs the same columns in each."""
    return {
        one.name: None if one.default is None else one.default.arg
        for one in columns
        if not one.primary_key
    }


_NEW_INVOICE = _defaults(INVOICES.c)
_NEW_LINE = _defaults(LINES.c)


async def _refuse_other_currency(tx: Tx, drafts: Iterable[_Draft]) -> None:
    """Money that moved, or may be moving now, has a currency that nobody can change later."""
    changed = [one.id for one in drafts if one.row and one.currency != one.row.currency_iso]
    if not changed:
        return
    paid = select(PAYMENTS.c.invoice_id).where(PAYMENTS.c.invoice_id.in_(changed))
    charged = select(ATTEMPTS.c.invoice_id).where(
        ATTEMPTS.c.invoice_id.in_(changed), ATTEMPTS.c.state.in_(UNRESOLVED)
    )
    found = (await tx.scalars(paid.union(charged))).first()
    if found is not None:
        raise Refused(f"currency_code: invoice {found} has payments in its currency")


# --- lines and totals ------------------------------------------------------------------------


async def _existing_lines(
    tx: Tx, records: Sequence[Given], drafts: Sequence[_Draft]
) -> Mapping[int, list[Record]]:
    """The lines of those invoices whose totals have to be worked out again."""
    touched = [
        draft.id
        for record, draft in zip(records, drafts, strict=True)
        if draft.row and ({"lines", "add_lines", "currency_iso"} & {*record, *draft.values})
    ]
    found: dict[int, list[Record]] = {one: [] for one in touched}
    if touched:
        statement = select(LINES).where(LINES.c.ihid.in_(touched))
        for row in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
            found[row.ihid].append(row)
    return found


def _put_lines(draft: _Draft, record: Given, existing: Sequence[Record]) -> None:
    whole, added = record.get("lines"), record.get("add_lines") or ()
    if whole is None and not added and not draft.is_new and "currency_iso" not in draft.values:
        return
    if whole is None:
        draft.lines = [_Line(_values(row), row) for row in existing]
    else:
        by_id = {row.id: row for row in existing}
        draft.lines = [_given_line(draft, by_id, *one) for one in enumerate(whole)]
        draft.removed = list(by_id.values())
    last = max((line.values["sequenceid"] for line in draft.lines), default=-1)
    draft.lines += [_new_line(one, last + number) for number, one in enumerate(added, start=1)]


def _given_line(draft: _Draft, by_id: dict[int, Record], position: int, given: Given) -> _Line:
    """A line of the whole list. Those taken out of `by_id` stay; what is left there goes.

    A new invoice may be a copy of another one, lines' ids included: they mean nothing there.
    """
    if "id" not in given or draft.is_new:
        return _new_line(given, position)
    row = by_id.pop(given["id"], None)
    if row is None:
        raise InvalidField(
            f"lines[{position}].id",
            f"{given['id']} is not a line of invoice {draft.id}, or is given twice",
        )
    values = {**_values(row), "sequenceid": position, **_line_values(given)}
    if "extra" in given:
        values["extra"] = batches.with_extra(row.extra, given["extra"])
    return _Line(values, row)


def _new_line(given: Given, position: int) -> _Line:
    values = {**_NEW_LINE, "sequenceid": position, **_line_values(given)}
    values["extra"] = batches.with_extra(None, given.get("extra", {}))
    return _Line(values)


def _line_values(given: Given) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in _LINE_NOT_GIVEN}


def _values(row: Record) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "id"}


def _put_totals(draft: _Draft) -> None:
    """Totals come from the lines alone; no caller sets them."""
    if draft.lines is None:
        return
    rules = [line.rule for line in draft.lines]
    for position, line in enumerate(rules):
        if abs(line.net) > _LINE_MAX:
            raise InvalidField(f"lines[{position}].unit_price", "comes to more than can be paid")
    worked_out = totals(rules, draft.currency)
    money.to_minor(worked_out.gross, draft.currency, "total")
    draft.values |= {
        "total": worked_out.gross,
        "tax_total": worked_out.tax,
        "revenue": worked_out.net,
    }


# Beyond what Stripe takes in any currency, so that sums of lines keep all their digits.
_LINE_MAX = Decimal(money.MINOR_MAX)


# --- writing ---------------------------------------------------------------------------------


async def _write(tx: Tx, drafts: Sequence[_Draft], *, now: datetime, who: str) -> None:
    new = [draft for draft in drafts if draft.is_new]
    changed = [draft for draft in drafts if not draft.is_new and _is_changed(draft)]
    ids = await batches.inserted(
        tx, INVOICES, [{**one.values, "last_modified": now} for one in new]
    )
    for draft, invoice_id in zip(new, ids, strict=True):
        draft.id = invoice_id
    await _number(tx, new)
    await batches.change(tx, INVOICES, _header_changes(changed, now))
    line_ids = await _write_lines(tx, [*new, *changed])
    await audit.write(tx, _changes([*new, *changed], line_ids), who=who, now=now)
    moved = [draft.id for draft in drafts if _total_moved(draft)]
    if moved:
        await settlement.resettle(tx, moved, now=now, who=who)


def _is_changed(draft: _Draft) -> bool:
    lines = draft.lines or ()
    return bool(
        _diff(draft) or draft.removed or any(_line_diff(one) or not one.row for one in lines)
    )


def _total_moved(draft: _Draft) -> bool:
    before = draft.row.total if draft.row else Decimal(0)
    return bool(draft.values.get("total", before) != before)


async def _number(tx: Tx, new: Sequence[_Draft]) -> None:
    """An invoice that came without a number gets its id for one."""
    ids = [draft.id for draft in new if not draft.values["invoicenumber"]]
    if ids:
        await tx.execute(
            update(INVOICES)
            .where(INVOICES.c.id.in_(ids))
            .values(invoicenumber=cast(INVOICES.c.id, String))
        )


def _header_changes(changed: Sequence[_Draft], now: datetime) -> dict[int, dict[str, Any]]:
    names = set(chain.from_iterable(draft.values for draft in changed))
    changes: dict[int, dict[str, Any]] = {}
    for draft in changed:
        assert draft.row is not None, "only what exists is changed"
        kept = {name: getattr(draft.row, name) for name in names}
        changes[draft.id] = {
            **kept,
            **draft.values,
            "change_seq": draft.row.change_seq + 1,
            "last_modified": now,
        }
    return changes


async def _write_lines(tx: Tx, drafts: Sequence[_Draft]) -> Mapping[int, int]:
    """Write lines that are new, changed or gone; answers new lines' ids by `id()` of the line."""
    removed = [row.id for draft in drafts for row in draft.removed]
    if removed:
        await tx.execute(delete(LINES).where(LINES.c.id.in_(removed)))
    kept = [line for draft in drafts for line in draft.lines or () if line.row]
    await batches.change(
        tx, LINES, {line.row.id: line.values for line in kept if line.row and _line_diff(line)}
    )
    new = [(draft, line) for draft in drafts for line in draft.lines or () if not line.row]
    rows = [{**line.values, "ihid": draft.id} for draft, line in new]
    ids = await batches.inserted(tx, LINES, rows)
    return {id(line): line_id for (_, line), line_id in zip(new, ids, strict=True)}


# --- what changed ----------------------------------------------------------------------------

_Diff = list[tuple[str, object, object]]


def _changes(drafts: Iterable[_Draft], line_ids: Mapping[int, int]) -> list[audit.Change]:
    changes: list[audit.Change] = []
    for draft in drafts:
        if draft.is_new:
            changes.append(audit.Change(draft.id, "created", None, draft.id))
            continue
        changes += [audit.Change(draft.id, *one) for one in _diff(draft)]
        changes += [
            audit.Change(draft.id, "lines", _described(row), None, row.id) for row in draft.removed
        ]
        for line in draft.lines or ():
            if line.row is None:
                described = _described(SimpleNamespace(**line.values))
                changes.append(audit.Change(draft.id, "lines", None, described, line_ids[id(line)]))
            else:
                line_id = line.row.id
                changes += [audit.Change(draft.id, *one, line_id) for one in _line_diff(line)]
    return changes


def _diff(draft: _Draft) -> _Diff:
    return _differences(draft.row, draft.values)


def _line_diff(line: _Line) -> _Diff:
    return _differences(line.row, line.values) if line.row else []


_NOT_TOLD = frozenset({"extra", "currency_iso"})


def _differences(row: Any, values: Mapping[str, Any]) -> _Diff:
    """Name, old and new value of each column that changes; of `extra`, each property."""
    found: _Diff = [
        (name, getattr(row, name), value)
        for name, value in values.items()
        if name not in _NOT_TOLD and getattr(row, name) != value
    ]
    if "extra" in values:
        old, new = row.extra or {}, values["extra"] or {}
        found += [
            (name, old.get(name), new.get(name))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
    return found


def _described(line: Any) -> str:
    amounts = f"{plain(line.qty_order)} x {plain(line.unit_price)}"
    return f"{amounts} {line.item_shortdescription or ''}".rstrip()

"""Creates and changes invoices and their lines.

What has been paid is settlement's; it is asked to look again whenever a total moved.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, cast, delete, or_, select, update

from app.errors import Changed, InvalidField, NotFound, Refused
from app.ledger import audit, balances, line_taxes, prorata, settlement
from app.ledger.dependents import load_dependents
from app.ledger.invoice_draft import (
    INVOICES,
    LINES,
    Currencies,
    Draft,
    DraftLine,
    draft_header,
    draft_lines,
    needs_existing_lines,
)
from app.rules.attempt import UNRESOLVED
from app.rules.invoice import edit_refusal
from app.rules.money import plain
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.rows import InputRecord
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.clients import Client, Currency
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import RecurringNumber

NUMBERS = table_of(RecurringNumber)
PAYMENTS = table_of(InvoicePayment)
ATTEMPTS = table_of(ChargeAttempt)

# Templates' ids go down from here: -1 is HaloPSA's word for no template.
LAST_UNUSED = -1


async def save(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: str
) -> list[int]:
    """Create the invoices without id and change the others; answers all ids in the order given.

    Only given fields change; `lines` is the whole list, `add_lines` adds to it. `home` is the
    currency of an invoice when neither it nor its client names one.
    """
    return [one.id for one in await save_drafts(tx, records, now=now, who=who, home=home)]


async def save_templates(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: str
) -> list[int]:
    """The same for recurring invoices; their ids are negative."""
    drafts = await save_drafts(tx, records, now=now, who=who, home=home, templates=True)
    return [one.id for one in drafts]


async def save_drafts(
    tx: Tx,
    records: Sequence[InputRecord],
    *,
    now: datetime,
    who: str,
    home: str,
    templates: bool = False,
) -> list[Draft]:
    """What the records became, written, each with its id and those of its lines."""
    known = await _locked(tx, records, templates=templates)
    currencies = await _currencies(tx, records, home)
    drafts = [
        draft_header(record, known.get(record.get("id", 0)), currencies, now, is_template=templates)
        for record in records
    ]
    await _refuse_other_currency(tx, drafts)
    existing = await _existing_lines(tx, records, drafts)
    known_rates = await line_taxes.load_rates(tx, records)
    for record, one in zip(records, drafts, strict=True):
        draft_lines(
            one, line_taxes.with_line_taxes(record, one, known_rates), existing.get(one.id, ())
        )
    await _refuse_edits(tx, drafts)
    await _write(tx, drafts, now=now, who=who)
    return drafts


# --- reading under locks ---------------------------------------------------------------------


async def _locked(
    tx: Tx, records: Sequence[InputRecord], *, templates: bool
) -> Mapping[int, Record]:
    what = "RecurringInvoice" if templates else "Invoice"
    for record in records:
        if "id" in record and (record["id"] < 0) != templates:
            raise NotFound(what, record["id"])
    known = await rows.lock_rows(tx, INVOICES, what, records)
    for record in records:
        seen = record.get("last_change_seq")
        if seen is None or "id" not in record or record.get("ignore_change_seq"):
            continue
        if seen < known[record["id"]].change_seq:
            raise Changed(f"invoice {record['id']} has changed since you read it")
    return known


async def _currencies(tx: Tx, records: Sequence[InputRecord], home: str) -> Currencies:
    client_ids = {one for record in records if (one := record.get("client_id")) is not None}
    of_client = await _currency_of_clients(tx, client_ids)
    named = {one for record in records if (one := record.get("currency_code")) is not None}
    wanted = named | {one for one in of_client.values() if one is not None}
    found = await _CURRENCIES.all(tx, ids=wanted, home=home)
    code_of: dict[int, str] = {row.id: row.code for row in found}
    _assert_known("currency_code", named - code_of.keys())
    return Currencies(code_of, of_client, home)


class _CurrencyRow(NamedTuple):
    id: int
    code: str


_CURRENCIES = PreparedStatement(
    select(Currency.id, Currency.code).where(
        or_(any_of(table_of(Currency).c.id, "ids"), Currency.code == bindparam("home"))
    ),
    _CurrencyRow,
)


async def _currency_of_clients(tx: Tx, ids: Collection[int]) -> dict[int, int | None]:
    if not ids:
        return {}
    found = await _CURRENCY_OF_CLIENTS.all(tx, ids=ids)
    of_client: dict[int, int | None] = {row.id: row.currency_code for row in found}
    _assert_known("client_id", set(ids) - of_client.keys())
    return of_client


class _ClientRow(NamedTuple):
    id: int
    currency_code: int | None


_CURRENCY_OF_CLIENTS = PreparedStatement(
    select(Client.id, Client.currency_code).where(any_of(table_of(Client).c.id, "ids")),
    _ClientRow,
)


def _assert_known(name: str, missing: Collection[int]) -> None:
    if missing:
        raise InvalidField(name, f"{min(missing)} does not exist")


async def _refuse_other_currency(tx: Tx, drafts: Iterable[Draft]) -> None:
    """Money that moved, or may be moving now, has a currency that nobody can change later."""
    changed = [one.id for one in drafts if one.currency_changes]
    if not changed:
        return
    paid = select(PAYMENTS.c.invoice_id).where(PAYMENTS.c.invoice_id.in_(changed))
    charged = select(ATTEMPTS.c.invoice_id).where(
        ATTEMPTS.c.invoice_id.in_(changed), ATTEMPTS.c.state.in_(UNRESOLVED)
    )
    found = (await tx.scalars(paid.union(charged))).first()
    if found is not None:
        raise Refused(f"currency_code: invoice {found} has payments in its currency")


async def _refuse_edits(tx: Tx, drafts: Iterable[Draft]) -> None:
    """Totals that may not move any more stay."""
    moved = {one.id: one for one in drafts if one.row is not None and one.total_moves}
    if not moved:
        return
    for invoice_id, standing in (await load_dependents(tx, moved)).items():
        before, after = moved[invoice_id].totals_before_and_after
        why = edit_refusal(standing, total_before=before, total_after=after)
        if why is not None:
            raise Refused(f"lines: the total of invoice {invoice_id} stays {plain(before)}: {why}")


async def _existing_lines(
    tx: Tx, records: Sequence[InputRecord], drafts: Sequence[Draft]
) -> Mapping[int, list[Record]]:
    touched = [
        one.id
        for record, one in zip(records, drafts, strict=True)
        if needs_existing_lines(one, record)
    ]
    found: dict[int, list[Record]] = {one: [] for one in touched}
    if touched:
        statement = select(LINES).where(LINES.c.ihid.in_(touched))
        for row in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
            found[row.ihid].append(row)
    return found


# --- writing ---------------------------------------------------------------------------------


async def _write(tx: Tx, drafts: Sequence[Draft], *, now: datetime, who: str) -> None:
    new = [one for one in drafts if one.row is None]
    changed = [one for one in drafts if one.row is not None and one.is_changed]
    await _insert(tx, new, now=now, who=who)
    await rows.update_rows(tx, INVOICES, _header_changes(changed, now))
    await _write_lines(tx, [*new, *changed])
    changes = [change for one in (*new, *changed) for change in _changes(one)]
    await audit.write(tx, changes, who=who, now=now)
    moved = [one.id for one in drafts if one.owes_anew and not one.is_template]
    if moved:
        await balances.recompute(tx, moved, now=now, who=who)
    await settlement.attach_unassigned(
        tx, [one.id for one in new if not one.is_template], now=now, who=who
    )


async def _insert(tx: Tx, new: Sequence[Draft], *, now: datetime, who: str) -> None:
    templates = [one for one in new if one.is_template]
    numbers = await rows.insert_rows(tx, NUMBERS, [{"given_at": now}] * len(templates))
    for one, number in zip(templates, numbers, strict=True):
        one.id = LAST_UNUSED - number
        named = {"id": one.id, "invoicenumber": one.values["invoicenumber"] or "0"}
        one.values |= named
    await rows.insert_rows(tx, INVOICES, [one.values for one in templates])
    plain = [one for one in new if not one.is_template]
    ids = await rows.insert_rows(tx, INVOICES, [one.values for one in plain])
    for one, invoice_id in zip(plain, ids, strict=True):
        one.id = invoice_id
    await _number(tx, plain)


async def _number(tx: Tx, new: Iterable[Draft]) -> None:
    """An invoice that came without a number gets its id for one."""
    ids = [one.id for one in new if not one.values["invoicenumber"]]
    if ids:
        await _NUMBER.all(tx, ids=ids)


class _Id(NamedTuple):
    id: int


_NUMBER = PreparedStatement(
    update(INVOICES)
    .where(any_of(INVOICES.c.id, "ids"))
    .values(invoicenumber=cast(INVOICES.c.id, String))
    .returning(INVOICES.c.id),
    _Id,
)


def _header_changes(changed: Sequence[Draft], now: datetime) -> dict[int, dict[str, Any]]:
    names = set(chain.from_iterable(one.values for one in changed))
    changes: dict[int, dict[str, Any]] = {}
    for one in changed:
        assert one.row is not None, "only what exists is changed"
        kept = {name: getattr(one.row, name) for name in names}
        stamps = {"change_seq": one.row.change_seq + 1, "last_modified": now}
        changes[one.id] = {**kept, **one.values, **stamps}
    return changes


async def _write_lines(tx: Tx, drafts: Sequence[Draft]) -> None:
    """Write lines that are new, changed or gone, and give the new ones their ids."""
    removed = [row.id for one in drafts for row in one.removed]
    if removed:
        await tx.execute(delete(LINES).where(LINES.c.id.in_(removed)))
    lines = [(one, line) for one in drafts for line in one.lines or ()]
    changed = {line.row.id: line.values for _, line in lines if line.row and line.differences}
    await rows.update_rows(tx, LINES, changed)
    new = [(one, line) for one, line in lines if line.row is None]
    ids = await rows.insert_rows(tx, LINES, [{**line.values, "ihid": one.id} for one, line in new])
    for (_, line), line_id in zip(new, ids, strict=True):
        line.id = line_id
    await prorata.write_rows(tx, [_prorated(one, line) for one, line in lines])


def _prorated(one: Draft, line: DraftLine) -> prorata.ProrataSource:
    return prorata.ProrataSource(
        id=line.row.id if line.row else line.id,
        invoice_id=one.id,
        client_id=one.values.get("client_id", one.row.client_id if one.row else None),
        before=(line.row.extra if line.row else None) or {},
        after=line.values.get("extra") or {},
    )


def _changes(one: Draft) -> list[audit.AuditChange]:
    if one.row is None:
        return [audit.AuditChange(one.id, "created", None, one.id)]
    changes = [audit.AuditChange(one.id, *difference) for difference in one.differences]
    for row in one.removed:
        changes.append(audit.AuditChange(one.id, "lines", _described(row), None, row.id))
    for line in one.lines or ():
        if line.row is None:
            added = _described(SimpleNamespace(**line.values))
            changes.append(audit.AuditChange(one.id, "lines", None, added, line.id))
        else:
            line_id = line.row.id
            changes += [audit.AuditChange(one.id, *each, line_id) for each in line.differences]
    return changes


def _described(line: Any) -> str:
    amounts = f"{plain(line.qty_order)} x {plain(line.unit_price)}"
    return f"{amounts} {line.item_shortdescription or ''}".rstrip()

"""Numbers of invoices and credit notes: each is given once, for good, also when its invoice goes.

Suppliers' invoices have the suppliers' own numbers, which are none of ours.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Text, cast, or_, select

from app.errors import InvalidField, Refused
from app.ledger.invoice_draft import INVOICES, Draft
from app.rules.home import Home
from app.rules.invoice import InvoiceKind
from app.rules.numbering import TAKEN_MAX, NumberPattern, candidate
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import insert_of, insert_once
from app.storage.tables.invoices import InvoiceNumber, InvoiceSeries

NUMBERS = table_of(InvoiceNumber)
SERIES = table_of(InvoiceSeries)
_FIELD = "invoicenumber"


async def give_numbers(tx: Tx, drafts: Sequence[Draft], home: Home) -> None:
    """Keep the numbers that callers gave, and give the others' invoices one.

    InvalidField where a number is, or was, another invoice's. A number that Paydue itself gave to
    another one came with a copy of that invoice, which gets its own.
    """
    ours = [one for one in drafts if one.after.invoicetype != InvoiceKind.PURCHASE]
    await _forget_copied(tx, [one for one in ours if one.after.invoicenumber])
    await _take_typed(tx, [one for one in ours if one.after.invoicenumber])
    unnumbered = [one for one in drafts if not one.after.invoicenumber]
    if home.invoice_number:
        await _give_from_series(tx, unnumbered, NumberPattern(home.invoice_number), home)
    else:
        await _give_ids(tx, unnumbered)
    numbered = {one.id: {_FIELD: one.after.invoicenumber} for one in unnumbered}
    await rows.update_rows(tx, INVOICES, numbered)


async def take_changed(tx: Tx, drafts: Sequence[Draft]) -> None:
    """The numbers that existing invoices get instead of theirs."""
    await _take_typed(
        tx,
        [
            one
            for one in drafts
            if one.before is not None
            and not one.is_template
            and one.after.invoicenumber
            and one.after.invoicetype != InvoiceKind.PURCHASE
            and one.after.invoicenumber != one.before.invoicenumber
        ],
    )


async def refuse_deletion(tx: Tx, invoice_id: int) -> None:
    """A series has no gaps: an invoice that has one of its numbers is voided instead."""
    statement = select(NUMBERS.c.number).where(
        NUMBERS.c.invoice_id == invoice_id, NUMBERS.c.is_serial
    )
    number = await tx.scalar(statement)
    if number is not None:
        raise Refused(
            f"Invoice {invoice_id} cannot be deleted: its number {number} is one of a series "
            "without gaps; void it instead"
        )


async def _forget_copied(tx: Tx, drafts: Sequence[Draft]) -> None:
    if not drafts:
        return
    wanted = {one.after.invoicenumber for one in drafts}
    automatic = or_(NUMBERS.c.is_serial, NUMBERS.c.number == cast(NUMBERS.c.invoice_id, Text))
    statement = select(NUMBERS.c.number).where(NUMBERS.c.number.in_(wanted), automatic)
    copied = set(await tx.scalars(statement))
    for one in drafts:
        if one.after.invoicenumber in copied:
            one.after = one.after._replace(invoicenumber=None)


async def _take_typed(tx: Tx, drafts: Sequence[Draft]) -> None:
    wanted = {one.id: one.after.invoicenumber or "" for one in drafts}
    twice = [number for number, count in Counter(wanted.values()).items() if count > 1]
    if twice:
        raise InvalidField(_FIELD, f"{twice[0]!r} is given twice")
    taken = await _take(tx, wanted, is_serial=False)
    refused = {one: number for one, number in wanted.items() if one not in taken}
    if not refused:
        return
    owner_of = await _owners(tx, refused.values())
    for one, number in refused.items():
        if owner_of[number] != one:
            raise InvalidField(_FIELD, f"{number!r} is, or was, that of invoice {owner_of[number]}")


async def _take(tx: Tx, wanted: Mapping[int, str], *, is_serial: bool) -> set[int]:
    """Keep a number for each invoice; answers those whose number nobody had."""
    if not wanted:
        return set()
    new = [
        {"number": number, "invoice_id": one, "is_serial": is_serial}
        for one, number in sorted(wanted.items(), key=lambda pair: pair[1])
    ]
    kept = await insert_once(
        tx, NUMBERS, new, key=[NUMBERS.c.number], returning=[NUMBERS.c.invoice_id]
    )
    return {row.invoice_id for row in kept}


async def _owners(tx: Tx, numbers: Collection[str]) -> dict[str, int]:
    statement = select(NUMBERS.c.number, NUMBERS.c.invoice_id).where(NUMBERS.c.number.in_(numbers))
    return {number: invoice_id for number, invoice_id in await tx.execute(statement)}


async def _give_ids(tx: Tx, drafts: Sequence[Draft]) -> None:
    left = {one.id: one for one in drafts}
    for attempt in range(TAKEN_MAX):
        if not left:
            return
        wanted = {one: candidate(one, attempt) for one in left}
        for one in await _take(tx, wanted, is_serial=False):
            draft = left.pop(one)
            draft.after = draft.after._replace(invoicenumber=wanted[one])
    raise Refused(f"{_FIELD}: {TAKEN_MAX} numbers that begin with an invoice's id are taken")


async def _give_from_series(
    tx: Tx, drafts: Sequence[Draft], pattern: NumberPattern, home: Home
) -> None:
    """One after the other, so that a number which somebody has typed leaves no gap behind it."""
    of_year: dict[int, list[Draft]] = {}
    for one in drafts:
        assert one.after.invoice_date is not None, "a new invoice has a date"
        year = home.day(one.after.invoice_date).year
        of_year.setdefault(year, []).append(one)
    for year, of_one in sorted(of_year.items()):
        left = list(of_one)
        for _ in range(TAKEN_MAX):
            if not left:
                break
            last = await _advance(tx, pattern.series(year), len(left))
            first = last - len(left) + 1
            wanted = {one.id: pattern.number(year, first + place) for place, one in enumerate(left)}
            taken = await _take(tx, wanted, is_serial=True)
            for one in left:
                if one.id in taken:
                    one.after = one.after._replace(invoicenumber=wanted[one.id])
            left = [one for one in left if one.id not in taken]
        if left:
            raise Refused(f"{_FIELD}: {TAKEN_MAX} numbers of the series are taken")


async def _advance(tx: Tx, name: str, count: int) -> int:
    """The series' last number after `count` more; its row is held to the transaction's end."""
    statement = insert_of(tx.dialect.name)(SERIES).values(name=name, last_number=count)
    moved = statement.on_conflict_do_update(
        index_elements=[SERIES.c.name], set_={"last_number": SERIES.c.last_number + count}
    ).returning(SERIES.c.last_number)
    return int(await tx.scalar(moved))

"""Keeps daily exchange rates, and finds that of an earlier day."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select

from app.ledger.currency_history import with_rate_history
from app.rules.daily_rates import RATE_AGE_MAX, DailyRates
from app.storage import rows
from app.storage.column_types import significant, table_of
from app.storage.engines import Record, Tx
from app.storage.tables.clients import Currency, CurrencyRate

CURRENCIES = table_of(Currency)
RATES = table_of(CurrencyRate)

# Days that are written at a time: a file of the bank's has all since 1999.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class RatesImport:
    """The outcome: rates that are new, rates that are another one now, and present rates set."""

    days: int
    new: int
    changed: int
    present: Mapping[str, Decimal]


async def import_daily_rates(
    tx: Tx, days: Sequence[DailyRates], *, home: str, now: datetime
) -> RatesImport:
    """Keep the rates of all currencies that there are; the newest day's become the present ones.

    No invoice changes: it has kept the rate of its day.
    """
    locked = await tx.execute(select(CURRENCIES).order_by(CURRENCIES.c.id).with_for_update())
    currencies = {row.id: row for row in locked}
    codes = {row.code for row in currencies.values()}
    newest_before = await _newest_days(tx)
    counts: Counter[str] = Counter()
    newest: dict[str, tuple[date, Decimal]] = {}
    for at in range(0, len(days), _BATCH):
        given = _by_key(days[at : at + _BATCH], codes, home)
        counts.update(await _keep(tx, given))
        for (code, day), rate in given.items():
            newest[code] = max(newest.get(code, (day, rate)), (day, rate))
    rates = {
        code: one for code, (day, one) in newest.items() if day >= newest_before.get(code, day)
    }
    present = await _set_present(tx, currencies, rates, now)
    return RatesImport(len(days), counts["new"], counts["changed"], present)


async def _newest_days(tx: Tx) -> dict[str, date]:
    found = await tx.execute(select(RATES.c.code, func.max(RATES.c.day)).group_by(RATES.c.code))
    return {code: day for code, day in found}


async def _keep(tx: Tx, given: Mapping[tuple[str, date], Decimal]) -> Counter[str]:
    """Write the rates that are new or other ones; answers how many of each."""
    days = sorted({day for _, day in given})
    found = await tx.execute(select(RATES).where(RATES.c.day.in_(days)))
    known = {(row.code, row.day): row.rate for row in found}
    moved = {key: rate for key, rate in given.items() if known.get(key) != rate}
    if moved:
        written = [{"code": code, "day": day, "rate": one} for (code, day), one in moved.items()]
        await rows.upsert(tx, RATES, written, key=[RATES.c.code, RATES.c.day])
    return Counter("changed" if key in known else "new" for key in moved)


async def _set_present(
    tx: Tx, currencies: Mapping[int, Record], rates: Mapping[str, Decimal], now: datetime
) -> dict[str, Decimal]:
    """Give currencies their newest rates; answers those that were others before, by code."""
    moved = {
        one: row
        for one, row in currencies.items()
        if rates.get(row.code, row.conversion_rate) != row.conversion_rate
    }
    records = [{"id": one, "conversion_rate": rates[row.code]} for one, row in moved.items()]
    changes = zip(moved, with_rate_history(moved, records, now), strict=True)
    await rows.update_rows(tx, CURRENCIES, {
        one: {name: value for name, value in values.items() if name != "id"}
        for one, values in changes
    })  # fmt: skip
    return {row.code: rates[row.code] for row in moved.values()}


def _by_key(
    days: Sequence[DailyRates], codes: Collection[str], home: str
) -> dict[tuple[str, date], Decimal]:
    return {
        (code, one.day): significant(rate)
        for one in days
        for code, rate in one.in_home(home).items()
        if code in codes
    }


async def load_rates(
    tx: Tx, codes: Collection[str], days: Collection[date]
) -> dict[str, dict[date, Decimal]]:
    """By currency, the rates around these days: those that decide what counted on them."""
    if not codes or not days:
        return {}
    around = timedelta(days=RATE_AGE_MAX)
    found = await tx.execute(
        select(RATES).where(
            RATES.c.code.in_(sorted(codes)),
            RATES.c.day.between(min(days) - around, max(days) + around),
        )
    )
    of_code: defaultdict[str, dict[date, Decimal]] = defaultdict(dict)
    for row in found:
        of_code[row.code][row.day] = row.rate
    return of_code

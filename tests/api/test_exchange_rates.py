"""Daily rates are kept, the newest is the currency's own, and invoices keep that of their day."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.ledger.exchange_rates import RatesImport, import_daily_rates
from app.rules.daily_rates import parse_daily_rates
from tests.api.client import Api

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 26, 16, tzinfo=UTC)
FILE = """Date,USD,GBP,XXX,
2026-11-20,1.10,0.88,9,
2026-11-19,1.00,0.80,9,
2026-11-18,1.20,0.60,9,
"""


async def imported(api: Api, text: str) -> RatesImport:
    async with api.database.transaction() as tx:
        return await import_daily_rates(tx, parse_daily_rates(text), home="usd", now=NOW)


async def test_an_invoice_takes_the_rate_of_its_day_and_keeps_it(api: Api) -> None:
    gbp = next(one for one in await listed(api) if one["code"] == "GBP")["id"]

    async def rate(**fields: Any) -> Decimal:
        made = await api.post("/api/Invoice", {"currency_code": gbp, **fields})
        return made["currency_conversion_rate"]

    first = await imported(api, FILE)

    assert (first.days, first.new, first.changed) == (3, 6, 0)
    assert first.present["gbp"] == Decimal("1.25")
    assert await rate() == Decimal("1.25")
    assert await rate(invoice_date="2026-11-18T12:00:00") == 2
    assert await rate(invoice_date="2026-11-19") == Decimal("1.25")
    assert await rate(invoice_date="2026-11-01") == Decimal("1.25")
    assert await rate(invoice_date="2026-11-18", currency_conversion_rate=7) == 7
    # Again nothing changes; an older file mends its days, and leaves the present rate.
    assert await imported(api, FILE) == RatesImport(3, 0, 0, {})
    older = await imported(api, "Date,USD,GBP\n2026-11-18,1.20,0.40\n")
    assert (older.new, older.changed, older.present) == (0, 1, {})
    assert await rate(invoice_date="2026-11-18") == 3
    newer = await imported(api, "Date,USD,GBP\n23 November 2026,1.00,0.50\n")
    assert newer.present["gbp"] == 2
    assert await rate() == 2
    assert await rate(invoice_date="2026-11-20") == Decimal("1.25")
    shown = await api.get(f"/api/Currency/{gbp}", includedetails="true")
    assert [one["rate"] for one in shown["history"]][-1] == Decimal("1.25")


async def listed(api: Api) -> list[Any]:
    found = await api.get("/api/Currency")
    return (
        found
        if isinstance(found, list)
        else next(iter(v for v in found.values() if isinstance(v, list)))
    )

"""Free text is found anywhere in what is searched, by the trigram indexes and without them."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.api.client import Api
from tests.api.test_lists import statements

pytestmark = pytest.mark.anyio


async def test_text_is_found_anywhere_and_in_any_case(api: Api) -> None:
    client = await api.client(name="Łódź Widgets (50%)")
    await api.post("/api/Invoice", {"invoicenumber": "INV-0042", "reference": "Blue_Sky"})
    await api.post("/api/Invoice", {"invoicenumber": "X1", "client_id": client})

    assert await _found(api, "v-00") == ["INV-0042"]
    assert await _found(api, "e_sk") == ["INV-0042"]
    assert await _found(api, "widgets (50%") == ["X1"]
    assert await _found(api, 'say "no" to this') == []
    assert await _found(api, "50_)") == []
    assert await _found(api, "X1") == ["X1"]


async def test_a_text_does_not_span_two_fields(api: Api) -> None:
    await api.post("/api/Invoice", {"invoicenumber": "ABC", "reference": "DEF"})

    assert await _found(api, "ABCDEF") == []
    assert await _found(api, "BCD") == []
    assert await _found(api, "ABC") == ["ABC"]


async def test_what_changes_is_found_by_its_new_text_only(api: Api) -> None:
    invoice = await api.post("/api/Invoice", {"invoicenumber": "OLD-77"})
    await api.post("/api/Invoice", {"id": invoice["id"], "invoicenumber": "NEW-88"})

    assert await _found(api, "OLD-77") == []
    assert await _found(api, "NEW-88") == ["NEW-88"]


async def test_search_goes_by_the_index(api: Api) -> None:
    """As small a table as a test's PostgreSQL walks, whatever indexes there are."""
    with statements(api.database) as seen:
        await _found(api, "INV-0042")

    if api.database.is_sqlite:
        assert any("invoice_search MATCH" in one for one in seen)
        return
    named = text("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%gin_trgm_ops%'")
    async with api.database.snapshot() as tx:
        assert set(await tx.scalars(named)) == {"ix_invoice_search", "ix_client_search"}


async def _found(api: Api, said: str) -> list[Any]:
    listed = await api.get("/api/Invoice", search=said)
    return [one["invoicenumber"] for one in listed["invoices"]]

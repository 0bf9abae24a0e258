"""Limits by rows and bytes: a small request cannot cause much work, and says why it was refused."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from app.halo.access.api_credentials import TOKENS_MAX
from app.halo.access.concurrency_limit import IN_FLIGHT_MAX
from app.halo.engine.codec import OBJECTS_MAX, ROWS_MAX
from app.halo.engine.idempotency import BODY_MAX, KEYS_MAX
from app.halo.engine.list_query import LIST_MAX
from app.halo.engine.pagination import SORTED_MAX
from app.halo.engine.record_queries import ANSWER_BYTES_MAX, ANSWER_ROWS_MAX
from app.halo.openapi.document import document
from app.halo.routes import ROUTES
from app.ledger.invoice_input import LINES_MAX
from app.ledger.recurring_templates import COPIED_LINES_MAX
from app.storage.column_types import table_of
from app.storage.rows import EXTRA_MAX
from app.storage.tables.clients import Client
from app.storage.tables.invoices import InvoiceLine
from tests.api.client import Answer, Api

pytestmark = pytest.mark.anyio

LINES = table_of(InvoiceLine)


def lines(count: int) -> list[dict[str, Any]]:
    return [{"unit_price": 1}] * count


async def posted(api: Api, path: str, *objects: Any) -> Answer:
    return await api.send("POST", path, json=list(objects))


def assert_refused(answer: Answer, field: str, limit: int) -> None:
    """The refusal names the field and the limit."""
    assert answer.status == 400, answer.text[:200]
    assert answer.json["Message"].startswith(f"{field}: "), answer.text
    assert str(limit) in answer.json["Message"], answer.text


async def with_lines(api: Api, invoice_id: int, count: int) -> None:
    """The invoice has so many more lines, as one of before there was a limit may have."""
    async with api.database.transaction() as tx:
        row = (await tx.execute(select(LINES).where(LINES.c.ihid == invoice_id).limit(1))).one()
        copied = {name: one for name, one in row._mapping.items() if name != "id"}
        await tx.execute(insert(LINES), [copied] * count)


# --- a request -------------------------------------------------------------------------------


async def test_a_request_brings_so_many_lines_and_no_more(api: Api) -> None:
    full = [{"lines": lines(LINES_MAX - 1)}, *[{}] * (ROWS_MAX - LINES_MAX)]

    taken = await posted(api, "/api/Invoice", *full)
    refused = await posted(api, "/api/Invoice", *full, {})

    assert taken.status == 201, taken.text[:200]
    assert_refused(refused, "body", ROWS_MAX)


async def test_entries_inside_lines_count_as_rows(api: Api) -> None:
    line = {"unit_price": 1, "prorata_data": [{}] * (ROWS_MAX - 1)}

    assert_refused(await posted(api, "/api/Invoice", {"lines": [line]}), "body", ROWS_MAX)


# --- an invoice ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/Invoice", "/api/RecurringInvoice"])
@pytest.mark.parametrize("name", ["lines", "add_lines"])
async def test_an_invoice_has_so_many_lines_and_no_more(api: Api, path: str, name: str) -> None:
    taken = await posted(api, path, {name: lines(LINES_MAX)})
    refused = await posted(api, path, {name: lines(LINES_MAX + 1)})

    assert taken.status in (200, 201)
    assert_refused(refused, name, LINES_MAX)


async def test_lines_that_are_added_count_with_those_there_are(api: Api) -> None:
    invoice = await api.post("/api/Invoice", {"lines": lines(LINES_MAX - 1)})

    one = await posted(api, "/api/Invoice", {"id": invoice["id"], "add_lines": lines(1)})
    another = await posted(api, "/api/Invoice", {"id": invoice["id"], "add_lines": lines(1)})

    assert one.status == 201
    assert_refused(another, "lines", LINES_MAX)


async def test_a_templates_further_lines_count_with_those_it_has(api: Api) -> None:
    template = (await api.post("/api/RecurringInvoice", {"lines": lines(LINES_MAX)}))["id"]

    refused = await posted(api, "/api/RecurringInvoice/Lines", {"ihid": template, "unit_price": 1})

    assert_refused(refused, "lines", LINES_MAX)


async def test_an_older_invoice_with_more_lines_is_changed_and_shortened_but_never_grows(
    api: Api,
) -> None:
    invoice = await api.invoice(1)
    line = invoice["lines"][0]
    await with_lines(api, invoice["id"], LINES_MAX)

    changed = await posted(api, "/api/Invoice/updatelines", {"id": line["id"], "unit_price": 2})
    grown = await posted(api, "/api/Invoice", {"id": invoice["id"], "add_lines": lines(1)})
    shortened = await posted(api, "/api/Invoice", {"id": invoice["id"], "lines": [line]})

    assert changed.status == 200
    assert_refused(grown, "lines", LINES_MAX)
    assert len(shortened.json["lines"]) == 1


# --- copies of templates ---------------------------------------------------------------------


async def test_templates_copy_so_many_lines_at_once_and_no_more(api: Api) -> None:
    counts = [COPIED_LINES_MAX // 2] * 2
    full = [await api.post("/api/RecurringInvoice", {"lines": lines(one)}) for one in counts]
    short = await api.post("/api/RecurringInvoice", {"lines": lines(1)})
    ids = [one["id"] for one in full]
    path = "/api/RecurringInvoice/process"

    refused = await posted(api, path, *ids, short["id"])
    taken = await posted(api, path, *ids)

    assert_refused(refused, "body", COPIED_LINES_MAX)
    assert [len(one["lines"]) for one in taken.json] == counts


async def test_a_template_with_more_lines_than_an_invoice_may_have_is_not_copied(api: Api) -> None:
    template = (await api.post("/api/RecurringInvoice", {"lines": lines(1)}))["id"]
    await with_lines(api, template, LINES_MAX)

    refused = await posted(api, "/api/RecurringInvoice/process", template)

    assert_refused(refused, "lines", LINES_MAX)
    assert str(template) in refused.json["Message"]


# --- an answer -------------------------------------------------------------------------------


async def test_an_answer_holds_so_many_rows_and_no_more(api: Api) -> None:
    invoice = await api.invoice(1)
    await with_lines(api, invoice["id"], ANSWER_ROWS_MAX // 2)
    other = await api.invoice(1)
    await with_lines(api, other["id"], ANSWER_ROWS_MAX // 2)

    alone = await api.send("GET", f"/api/Invoice/{invoice['id']}")
    both = await api.send("GET", "/api/Invoice", params={"includelines": "true"})
    without = await api.send("GET", "/api/Invoice")

    assert (alone.status, without.status) == (200, 200)
    assert_refused(both, "lines", ANSWER_ROWS_MAX)


@pytest.mark.slow
async def test_a_list_has_so_many_bytes_and_no_more(api: Api) -> None:
    extra = {"custom": "x" * (EXTRA_MAX - 100)}
    count = ANSWER_BYTES_MAX // EXTRA_MAX
    row = {"name": "Ada", "inactive": False, "extra": extra}
    async with api.database.transaction() as tx:
        await tx.execute(insert(table_of(Client)), [row] * (count + 10))

    short = await api.send(
        "GET", "/api/Client", params={"pageinate": "true", "page_size": count - 10}
    )
    long = await api.send("GET", "/api/Client")

    assert short.status == 200
    assert_refused(long, "page_size", ANSWER_BYTES_MAX)


async def test_to_view_an_invoice_reads_none_of_its_lines(api: Api) -> None:
    invoice = await api.invoice(1)
    await with_lines(api, invoice["id"], ANSWER_ROWS_MAX)

    viewed = await posted(api, "/api/Invoice/View", {"id": invoice["id"]})

    assert viewed.status == 200
    assert viewed.json["changeseq"] == invoice["change_seq"]


# --- kept properties -------------------------------------------------------------------------


def kept(count: int, at: int = 0) -> dict[str, str]:
    """So many properties of a kibibyte and a few bytes each."""
    return {f"custom{number}": "x" * 1024 for number in range(at, at + count)}


@pytest.mark.parametrize(
    ("path", "given"),
    [("/api/Client", {"name": "Ada Ltd"}), ("/api/Client", {"name": "Ada Ltd", "id": True})],
)
async def test_a_record_keeps_so_many_bytes_of_unknown_properties(
    api: Api, path: str, given: dict[str, Any]
) -> None:
    fits, beyond = EXTRA_MAX // 1024 - 2, EXTRA_MAX // 1024
    if "id" in given:
        given = {"id": await api.client()}

    refused = await posted(api, path, {**given, **kept(beyond)})
    taken = await posted(api, path, {**given, **kept(fits)})

    assert_refused(refused, "custom0", EXTRA_MAX)
    assert taken.status == 200


async def test_kept_properties_count_with_those_there_are(api: Api) -> None:
    half = EXTRA_MAX // 1024 // 2
    client = await api.client(**kept(half))

    refused = await posted(api, "/api/Client", {"id": client, **kept(half + 1, at=half)})
    cleared = await posted(api, "/api/Client", {"id": client, **dict.fromkeys(kept(half))})
    taken = await posted(api, "/api/Client", {"id": client, **kept(half + 1, at=half)})

    assert_refused(refused, f"custom{half}", EXTRA_MAX)
    assert (cleared.status, taken.status) == (200, 200)


async def test_an_invoice_and_its_lines_keep_so_many_bytes_each(api: Api) -> None:
    large = {"customfields": [{"value": "x" * EXTRA_MAX}]}

    header = await posted(api, "/api/Invoice", large)
    line = await posted(api, "/api/Invoice", {"lines": [{"unit_price": 1, **large}]})

    assert_refused(header, "customfields", EXTRA_MAX)
    assert_refused(line, "customfields", EXTRA_MAX)


# --- where they are published ----------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        OBJECTS_MAX, ROWS_MAX, LINES_MAX, COPIED_LINES_MAX, EXTRA_MAX, LIST_MAX, ANSWER_ROWS_MAX,
        ANSWER_BYTES_MAX, SORTED_MAX, IN_FLIGHT_MAX, TOKENS_MAX, KEYS_MAX, BODY_MAX,
    ],
)  # fmt: skip
def test_limits_stand_in_the_openapi_document_and_in_the_docs(limit: int) -> None:
    about: str = document(ROUTES)["info"]["description"]
    docs = Path("docs/compatibility.md").read_text().partition("## Limits")[2]

    assert re.search(rf"\b{limit}\b", about)
    assert re.search(rf"\| {limit:,} \|", docs)

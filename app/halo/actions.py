"""What clients do with invoices besides list, save and read: plain functions, one an endpoint."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.documents import invoice_document, invoice_pdf
from app.errors import InvalidField, NotFound
from app.halo.access.authenticator import Caller
from app.halo.engine import parsing, request_body
from app.halo.engine.codec import codec_of
from app.halo.engine.filters import CALLER, is_set
from app.halo.engine.idempotency import run_idempotent
from app.halo.engine.list_query import query_parameters
from app.halo.engine.record_queries import RecordQueries
from app.halo.engine.resource_routes import authenticate, id_in_path, wrap_list
from app.halo.engine.responses import json_response
from app.halo.resources.invoice_line_resource import INVOICE_LINES
from app.halo.resources.invoice_resource import INVOICES
from app.ledger import line_edits, recurring, void_and_delete
from app.storage.engines import Tx
from app.storage.tables import presence

READ, EDIT = "read:invoices", "edit:invoices"
# One run of a person's; the worker has its own way for thousands.
PROCESSED_MAX = 100

_INVOICES = RecordQueries(codec_of(INVOICES))
_LINES = RecordQueries(codec_of(INVOICE_LINES))


# --- lines -------------------------------------------------------------------------------------


async def update_invoice_lines(request: Request) -> Response:
    return await _lines_written(request, line_edits.change_lines)


async def update_template_lines(request: Request) -> Response:
    return await _lines_written(request, line_edits.change_lines, templates=True)


async def update_template_line_by_query(request: Request) -> Response:
    """A published client for Python sends its change of a line as a GET with parameters."""
    params = query_parameters(request.scope["query_string"])
    line = {name: one[-1] for name, one in params.items()}
    return await _lines_written(request, line_edits.change_lines, templates=True, line=line)


async def add_template_lines(request: Request) -> Response:
    return await _lines_written(request, line_edits.add_lines, templates=True)


async def list_with_lines(request: Request) -> Response:
    """The list of invoices, each with its lines."""
    caller = await authenticate(request, READ)
    params = {
        **query_parameters(request.scope["query_string"]),
        "includelines": ("true",),
        CALLER: (str(caller.access_id),),
    }
    async with request.app.state.database.snapshot() as tx:
        listing = await _INVOICES.list_page(tx, params)
    return json_response(caller.redact(wrap_list(INVOICES, listing)))


async def _lines_written(
    request: Request,
    write: Callable[..., Awaitable[list[int]]],
    *,
    templates: bool = False,
    line: Mapping[str, Any] | None = None,
) -> Response:
    """The lines of the body, or the one given, as they are after `write`."""
    caller = await authenticate(request, EDIT)
    given = codec_of(INVOICE_LINES).parse(await _parsed(request) if line is None else line)

    async def work(tx: Tx) -> Response:
        ids = await write(tx, given, templates=templates, **_circumstances(request, caller))
        found = await _LINES.by_ids(tx, set(ids), detailed=False)
        return _one_or_many([found[one] for one in ids])

    return await run_idempotent(request, work)


# --- void and process ---------------------------------------------------------------------------


async def void_invoice(request: Request) -> Response:
    caller = await authenticate(request, EDIT)
    invoice_id = id_in_path(INVOICES, request.path_params["id"])

    async def work(tx: Tx) -> Response:
        await void_and_delete.void(tx, invoice_id, now=_now(request), who=caller.name)
        found = await _INVOICES.by_ids(tx, [invoice_id], detailed=False)
        return json_response(caller.redact(found[invoice_id]))

    return await run_idempotent(request, work)


async def process_templates(request: Request) -> Response:
    """The invoices that these templates make now; `force_creation` makes further ones."""
    caller = await authenticate(request, EDIT)
    ids = _ids(await _parsed(request))
    force = is_set(query_parameters(request.scope["query_string"]), "force_creation")

    async def work(tx: Tx) -> Response:
        made = await recurring.create_due_invoices(
            tx, ids, force=force, **_circumstances(request, caller)
        )
        found = await _INVOICES.by_ids(tx, set(made), detailed=False)
        return _one_or_many([caller.redact(found[one]) for one in made])

    return await run_idempotent(request, work)


def _ids(given: Any) -> list[int]:
    said = given if isinstance(given, list) else [given]
    if len(said) == 1 and isinstance(said[0], list):
        said = said[0]
    if not 0 < len(said) <= PROCESSED_MAX:
        raise InvalidField("body", f"holds not 1 to {PROCESSED_MAX} ids")
    found = [parsing.whole(f"[{place}]", one) for place, one in enumerate(said)]
    if None in found:
        raise InvalidField(f"[{found.index(None)}]", "is no id")
    return found


# --- who looks at what -------------------------------------------------------------------------


async def view_invoices(request: Request) -> Response:
    """Presence: who else has these invoices open; whoever says nothing for a minute has left."""
    caller = await authenticate(request, READ)
    asked = _viewed(await _parsed(request))

    async def work(tx: Tx) -> Response:
        found = await _INVOICES.by_ids(tx, asked.keys(), detailed=False)
        for one in asked:
            if one not in found:
                raise NotFound("Invoice", one)
        here = await presence.record_presence(
            tx, asked, access_id=caller.access_id, name=caller.name, now=_now(request)
        )
        shown = [
            {
                "id": one,
                "changeseq": found[one]["change_seq"],
                "current_action_type": action or "",
                "viewers": [
                    {"id": row.access_id, "name": row.name} for row in here if row.invoice_id == one
                ],
            }
            for one, action in asked.items()
        ]
        return _one_or_many(shown)

    return await run_idempotent(request, work)


def _viewed(given: Any) -> dict[int, str | None]:
    """What is looked at, each with what is being done to it."""
    objects = given if isinstance(given, list) else [given]
    if not 0 < len(objects) <= PROCESSED_MAX:
        raise InvalidField("body", f"holds not 1 to {PROCESSED_MAX} objects")
    asked: dict[int, str | None] = {}
    for one in objects:
        if not isinstance(one, dict):
            raise InvalidField("body", "holds something that is no object")
        invoice_id = parsing.whole("id", one.get("id"))
        if invoice_id is None:
            raise InvalidField("id", "is required")
        action = one.get("current_action_type")
        asked[invoice_id] = parsing.short_text("current_action_type", action)
    return asked


# --- the document --------------------------------------------------------------------------------


async def print_invoice(request: Request) -> Response:
    """The invoice as application/pdf."""
    await authenticate(request, READ)
    invoice_id = id_in_path(INVOICES, request.path_params["id"])
    async with request.app.state.database.snapshot() as tx:
        document = await invoice_document.invoice_document(tx, invoice_id)
    content = await asyncio.to_thread(invoice_pdf.render_pdf, document)
    named = f'inline; filename="invoice-{invoice_id}.pdf"'
    return Response(content, media_type="application/pdf", headers={"Content-Disposition": named})


# --- what they share ---------------------------------------------------------------------------


async def _parsed(request: Request) -> Any:
    return request_body.parse_json(
        await request_body.read(request, request.app.state.settings.body_max)
    )


def _circumstances(request: Request, caller: Caller) -> dict[str, Any]:
    home = request.app.state.settings.currency
    return {"now": _now(request), "who": caller.name, "home": home}


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock()
    return now


def _one_or_many(shown: Sequence[Any]) -> Response:
    """HaloPSA answers one object to a list of one."""
    return json_response(shown[0] if len(shown) == 1 else shown)

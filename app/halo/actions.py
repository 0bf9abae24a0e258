"""Actions on invoices besides list, save and read: plain functions, one for each endpoint."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from app.documents import printer
from app.documents.document_content import DocumentKind
from app.documents.einvoice_gaps import EinvoiceFormat
from app.documents.invoice_document import load_invoice_document
from app.documents.languages import LANGUAGES
from app.errors import InvalidField, NotFound
from app.halo.access.authenticator import Caller, authorize
from app.halo.access.concurrency_limit import bounded_snapshot, reading_place
from app.halo.engine import parsing, request_body
from app.halo.engine.codec import codec_of
from app.halo.engine.filters import CALLER, is_set
from app.halo.engine.heavy_work import print_document
from app.halo.engine.idempotency import Work, Written, run_idempotent
from app.halo.engine.list_query import query_parameters
from app.halo.engine.record_queries import RecordQueries
from app.halo.engine.resource_routes import WrittenAnswer, id_in_path, list_response, one_or_many
from app.halo.engine.responses import json_response
from app.halo.resources.invoice_line_resource import INVOICE_LINES
from app.halo.resources.invoice_resource import INVOICES
from app.ledger import corrections, line_edits, recurring, void_and_delete
from app.ledger.corrections import CreditedLine
from app.ledger.invoice_input import LINES_MAX
from app.ledger.recurring import Processed
from app.rules.home import home_of
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import any_of
from app.storage.tables import presence
from app.storage.tables.invoices import InvoiceLine

READ, EDIT = "read:invoices", "edit:invoices"
# A scope that opens everything: money moves at once.
EVERYTHING = "admin"
# One run of a person's; the worker has its own way for thousands.
PROCESSED_MAX = 100
# The documents of one invoice; a credit note's own is its invoice document.
PRINTED_KINDS = (
    DocumentKind.INVOICE.value,
    DocumentKind.RECEIPT.value,
    EinvoiceFormat.FACTUR_X.value,
)

_INVOICES = RecordQueries(codec_of(INVOICES))
_LINES = RecordQueries(codec_of(INVOICE_LINES))
_COUNT_LINES = select(func.count(InvoiceLine.id)).where(any_of(table_of(InvoiceLine).c.ihid, "ids"))


# --- lines -------------------------------------------------------------------------------------


async def update_invoice_lines(request: Request) -> Response:
    return await _write_lines(request, line_edits.change_lines)


async def update_template_lines(request: Request) -> Response:
    return await _write_lines(request, line_edits.change_lines, templates=True)


async def update_template_line_by_query(request: Request) -> Response:
    """A published client for Python sends its change of a line as a GET with parameters."""
    params = query_parameters(request.scope["query_string"])
    line = {name: one[-1] for name, one in params.items()}
    return await _write_lines(request, line_edits.change_lines, templates=True, line=line)


async def add_template_lines(request: Request) -> Response:
    return await _write_lines(request, line_edits.add_lines, templates=True)


async def list_with_lines(request: Request) -> Response:
    """The list of invoices, each with its lines."""
    caller = await authorize(request, READ)
    params = {
        **query_parameters(request.scope["query_string"]),
        "includelines": ("true",),
        CALLER: (str(caller.access_id),),
    }
    async with reading_place(request, caller):
        async with bounded_snapshot(request) as tx:
            listing = await _INVOICES.list_page(tx, params)
        return await list_response(INVOICES, caller, listing)


async def _write_lines(
    request: Request,
    write: Callable[..., Awaitable[list[int]]],
    *,
    templates: bool = False,
    line: Mapping[str, Any] | None = None,
) -> Response:
    """Write the lines of the body, or the one given, and answer them as they are then."""

    async def prepare(caller: Caller, body: bytes) -> Work:
        given = request_body.parse_json(body) if line is None else line
        records = codec_of(INVOICE_LINES).parse_request(given)

        async def work(tx: Tx) -> Response | Written:
            ids = await write(tx, records, templates=templates, **_context(request, caller))
            return await WrittenAnswer(_LINES, ids, caller).within(tx, len(records))

        return work

    return await run_idempotent(request, EDIT, prepare)


# --- retry -------------------------------------------------------------------------------------


class RetryCharge(Protocol):
    """Charges an invoice now and answers the outcome; the node asks Stripe."""

    async def __call__(self, invoice_id: int, *, reason: str, who: str) -> dict[str, Any]: ...


async def retry_payment(request: Request) -> Response:
    """Stripe is asked, so the charge is made before any transaction of the request's own.

    Of two requests with one key at once, only one finds an invoice that may be charged.
    """

    async def prepare(caller: Caller, body: bytes) -> Response:
        invoice_id = id_in_path(INVOICES, request.path_params["id"])
        reason = _reason(request_body.parse_json(body))
        retry: RetryCharge = request.app.state.retry_charge
        return json_response(await retry(invoice_id, reason=reason, who=caller.name))

    return await run_idempotent(request, EVERYTHING, prepare)


def _reason(given: Any) -> str:
    if not isinstance(given, dict):
        raise InvalidField("body", "is no object")
    reason = parsing.short_text("reason", given.get("reason"))
    if not reason or not reason.strip():
        raise InvalidField("reason", "is required")
    return reason


# --- void and process ---------------------------------------------------------------------------


async def void_invoice(request: Request) -> Response:
    async def prepare(caller: Caller, _: bytes) -> Work:
        invoice_id = id_in_path(INVOICES, request.path_params["id"])

        async def work(tx: Tx) -> Response:
            await void_and_delete.void(tx, invoice_id, now=_now(request), who=caller.name)
            found = await _INVOICES.by_ids(tx, [invoice_id], detailed=False)
            return json_response(caller.redact(found[invoice_id]))

        return work

    return await run_idempotent(request, EDIT, prepare)


async def credit_invoice(request: Request) -> Response:
    """The credit note that corrects an invoice, of all its lines or of some."""

    async def prepare(caller: Caller, body: bytes) -> Work:
        invoice_id = id_in_path(INVOICES, request.path_params["id"])
        given = request_body.parse_json(body)
        reason, credited = _reason(given), _credited_lines(given.get("lines"))

        async def work(tx: Tx) -> Response:
            made = await corrections.credit_invoice(
                tx, invoice_id, credited, reason=reason, **_context(request, caller)
            )
            found = await _INVOICES.by_ids(tx, [made], detailed=True)
            return json_response(caller.redact(found[made]), 201)

        return work

    return await run_idempotent(request, EDIT, prepare)


def _credited_lines(given: Any) -> list[CreditedLine] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not 0 < len(given) <= LINES_MAX:
        raise InvalidField("lines", f"is no array of 1 to {LINES_MAX} objects")
    return [_credited_line(f"lines[{place}]", one) for place, one in enumerate(given)]


def _credited_line(at: str, given: Any) -> CreditedLine:
    line = given if isinstance(given, dict) else {}
    line_id = parsing.whole(f"{at}.id", line.get("id"))
    quantity = parsing.double(f"{at}.qty_order", line.get("qty_order"))
    if line_id is None or quantity is None:
        raise InvalidField(at, "needs an id and a qty_order")
    return CreditedLine(line_id, quantity)


async def process_templates(request: Request) -> Response:
    """The invoices that these templates make now; `force_creation` makes further ones."""

    async def prepare(caller: Caller, body: bytes) -> Work:
        ids = _ids(request_body.parse_json(body))
        force = is_set(query_parameters(request.scope["query_string"]), "force_creation")

        async def work(tx: Tx) -> Response | Written:
            done = await recurring.process(tx, ids, force=force, **_context(request, caller))
            created = [one.invoice_id for one in done if one.invoice_id is not None]
            lines = await tx.scalar(_COUNT_LINES, {"ids": created})
            failed = {one.template_id: _unprocessed(one) for one in done if one.why is not None}
            shown = [one.invoice_id or one.template_id for one in done]
            answer = WrittenAnswer(_INVOICES, shown, caller, failed=failed)
            return await answer.within(tx, lines or 0)

        return work

    return await run_idempotent(request, EDIT, prepare)


def _unprocessed(one: Processed) -> dict[str, Any]:
    """In the place of the invoice that a template did not make: the reason."""
    return {"id": 0, "recurring_invoice_id": one.template_id, "_warning": one.why}


def _ids(given: Any) -> list[int]:
    values = given if isinstance(given, list) else [given]
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    if not 0 < len(values) <= PROCESSED_MAX:
        raise InvalidField("body", f"holds not 1 to {PROCESSED_MAX} ids")
    found = [parsing.whole(f"[{place}]", one) for place, one in enumerate(values)]
    if None in found:
        raise InvalidField(f"[{found.index(None)}]", "is no id")
    return found


# --- presence ----------------------------------------------------------------------------------


async def view_invoices(request: Request) -> Response:
    """Presence: who else has these invoices open; whoever says nothing for a minute has left."""

    async def prepare(caller: Caller, body: bytes) -> Work:
        actions = _viewed_invoices(request_body.parse_json(body))

        async def work(tx: Tx) -> Response:
            change_seqs = await presence.load_change_seqs(tx, actions.keys())
            for one in actions:
                if one not in change_seqs:
                    raise NotFound("Invoice", one)
            viewers = await presence.record_presence(
                tx, actions, access_id=caller.access_id, name=caller.name, now=_now(request)
            )
            viewed = [
                {
                    "id": one,
                    "changeseq": change_seqs[one],
                    "current_action_type": action or "",
                    "viewers": [
                        {"id": row.access_id, "name": row.name}
                        for row in viewers
                        if row.invoice_id == one
                    ],
                }
                for one, action in actions.items()
            ]
            return json_response(one_or_many(viewed))

        return work

    return await run_idempotent(request, READ, prepare)


def _viewed_invoices(given: Any) -> dict[int, str | None]:
    """The ids of the invoices that a caller has open, each with the work he does on it."""
    objects = given if isinstance(given, list) else [given]
    if not 0 < len(objects) <= PROCESSED_MAX:
        raise InvalidField("body", f"holds not 1 to {PROCESSED_MAX} objects")
    actions: dict[int, str | None] = {}
    for one in objects:
        if not isinstance(one, dict):
            raise InvalidField("body", "holds something that is no object")
        invoice_id = parsing.whole("id", one.get("id"))
        if invoice_id is None:
            raise InvalidField("id", "is required")
        action = one.get("current_action_type")
        actions[invoice_id] = parsing.short_text("current_action_type", action)
    return actions


# --- the document --------------------------------------------------------------------------------


async def print_invoice(request: Request) -> Response:
    """The invoice as application/pdf."""

    async def prepare(caller: Caller, _: bytes) -> Response:
        invoice_id = id_in_path(INVOICES, request.path_params["id"])
        language = _one_of(request, "language", LANGUAGES)
        kind = _one_of(request, "document", PRINTED_KINDS)
        settings = request.app.state.settings
        async with reading_place(request, caller):
            async with bounded_snapshot(request) as tx:
                document = await load_invoice_document(tx, invoice_id, settings.timezone)
            content = await print_document(
                printer.print_invoice,
                document,
                settings.documents_folder,
                now=_now(request),
                language=language,
                kind=kind,
            )
        disposition = f'inline; filename="{kind or "invoice"}-{invoice_id}.pdf"'
        headers = {"Content-Disposition": disposition}
        return Response(content, media_type="application/pdf", headers=headers)

    return await run_idempotent(request, READ, prepare)


def _one_of(request: Request, name: str, allowed: Sequence[str]) -> str:
    """A parameter that is one of some words, or empty."""
    given = query_parameters(request.scope["query_string"]).get(name, ("",))[-1].strip().lower()
    if given and given not in allowed:
        raise InvalidField(name, f"is none of {', '.join(allowed)}")
    return given


# --- shared by the actions -----------------------------------------------------------------------


def _context(request: Request, caller: Caller) -> dict[str, Any]:
    home = home_of(request.app.state.settings)
    return {"now": _now(request), "who": caller.name, "home": home}


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock()
    return now

"""GET /health and /audit: is everything at work, and who changed what?"""

import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, number_text
from app.console.pages.cells import ListCell, ListColumn, ListSection, state_of
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.home_reads import load_health_signs
from app.console.pages.list_view import ListView, keyset_pager, show_list
from app.console.pages.listing import (
    LOOKED_AT_MAX,
    PAGE,
    FilterField,
    before_id,
    filter_bar,
    filter_values,
)
from app.console.pages.wording import ShownState, Tone, ViewerTime, words_of
from app.console.routing import Viewer
from app.payments import event_queries
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.cluster import Job
from app.storage.tables.invoices import InvoiceChange

JOBS = table_of(Job)
CHANGES = table_of(InvoiceChange)

_JOB_COLUMNS = (
    ListColumn(N_("Job"), "low"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("Result")),
    ListColumn(N_("Worker"), "low", is_minor=True),
    ListColumn(N_("Last run"), "when"),
    ListColumn(N_("Next run"), "when"),
)
_VERSION_COLUMNS = (ListColumn(N_("Of")), ListColumn(N_("Version")))
_FOREIGN_COLUMNS = (
    ListColumn(N_("Reason")),
    ListColumn(N_("Events"), "num"),
    ListColumn(N_("The last one"), "low"),
    ListColumn(N_("When"), "when"),
)
_AUDIT_COLUMNS = (
    ListColumn(N_("Who"), "low"),
    ListColumn(N_("Invoice"), "low"),
    ListColumn(N_("Field")),
    ListColumn(N_("Before"), is_minor=True),
    ListColumn(N_("After")),
    ListColumn(N_("When"), "when"),
)
_FIELDS = (
    FilterField("who", N_("Who"), hint="autopay"),
    FilterField("field", N_("Field"), hint="amountpaid"),
    FilterField("invoice", N_("Invoice"), hint="id"),
)
# A value is shown so far; the invoice's history has all of it.
_VALUE_MAX = 120


class JobRow(NamedTuple):
    """A scheduled job, as the workers share it."""

    name: str
    next_run_at: datetime
    lease_until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    result: str | None
    lease_holder: str | None


class AuditEntry(NamedTuple):
    """A recorded change of an invoice."""

    id: int
    invoice_id: int | None
    field_name: str | None
    old_value: str | None
    new_value: str | None
    who: str | None
    datetime: datetime | None


async def health_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        jobs = [JobRow._make(row) for row in await tx.execute(
            select(*projection(JOBS, JobRow)).order_by(JOBS.c.name)
        )]  # fmt: skip
        foreign = await event_queries.list_foreign_counts(tx)
        return await show(
            request,
            viewer,
            tx,
            "health.html",
            signs=await load_health_signs(tx, times),
            sections=[
                ListSection(
                    _("Jobs"),
                    _JOB_COLUMNS,
                    [_job_cells(row, times) for row in jobs],
                    _("No worker has run yet: start one with paydue worker"),
                ),
                ListSection(
                    _("Events that were not for us"),
                    _FOREIGN_COLUMNS,
                    [
                        [
                            ListCell(words_of(row.reason)),
                            ListCell(number_text(row.events)),
                            ListCell(row.last_event_id),
                            ListCell(times.short(row.last_at)),
                        ]
                        for row in foreign
                    ],
                    _("None: every verified event was for this Paydue"),
                ),
                await _versions(tx),
            ],
        )


async def _versions(tx: Tx) -> ListSection:
    """The versions that support is asked for first; a schema of another one is said so."""
    found = await schema.state_in(tx)
    other = ""
    if found.is_newer:
        other = found.words()
    elif not found.is_usable:
        other = _("This version makes %(head)s: paydue db upgrade", head=schema.head())
    rows = (
        ("Paydue", version("paydue"), ""),
        (_("Schema"), found.at or "none", other),
        (*await schema.engine_version(tx), ""),
        ("Python", platform.python_version(), ""),
    )
    cells = [[ListCell(name), ListCell(number, why=why)] for name, number, why in rows]
    return ListSection(_("Versions"), _VERSION_COLUMNS, cells)


def _job_cells(row: JobRow, times: ViewerTime) -> list[ListCell]:
    return [
        ListCell(words_of(row.name)),
        state_of(_job_state(row, times)),
        ListCell(row.result or ""),
        ListCell(row.lease_holder or ""),
        ListCell(times.short(row.finished_at) if row.finished_at else _("never")),
        ListCell(times.short(row.next_run_at)),
    ]


def _job_state(row: JobRow, times: ViewerTime) -> ShownState:
    if row.lease_until is not None and row.lease_until > times.now:
        return ShownState(Tone.GO, "run", _("Running"))
    late = (times.now - row.next_run_at).total_seconds()
    if late > 120:
        return ShownState(Tone.WAIT, "warn", _("Overdue"), _("Is a worker running?"))
    return ShownState(Tone.GOOD, "check", _("Waits for its time"))


async def audit_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    before = before_id(request.query_params)
    async with reading(request) as tx:
        rows, next_before = await _read(tx, values, before)
        cells = [_audit_cells(row, times) for row in rows]
        view = ListView(
            title=_("Audit"),
            lede=_("Every change of an invoice, newest first; a chain of hashes seals them."),
            bar=filter_bar("/audit", _FIELDS, values),
            sections=[ListSection(_("Changes"), _AUDIT_COLUMNS, cells, _("No change fits"))],
            pager=keyset_pager("/audit", values, before, next_before),
        )
        return await show_list(request, viewer, tx, view)


async def _read(
    tx: Tx, values: Mapping[str, str], before: int | None
) -> tuple[list[AuditEntry], int | None]:
    place = [CHANGES.c.id < before] if before is not None else []
    invoice = values.get("invoice", "")
    if invoice.isascii() and invoice.isdigit() and len(invoice) < 19:
        place.append(CHANGES.c.invoice_id == int(invoice))
    columns = (CHANGES.c.id, CHANGES.c.who, CHANGES.c.field_name)
    looked_at = select(*columns).where(*place).order_by(CHANGES.c.id.desc())
    window = looked_at.limit(LOOKED_AT_MAX).subquery()
    wanted: list[ColumnElement[bool]] = []
    if "who" in values:
        wanted.append(window.c.who == values["who"])
    if "field" in values:
        wanted.append(window.c.field_name == values["field"])
    newest = select(window.c.id).where(*wanted).order_by(window.c.id.desc()).limit(PAGE + 1)
    ids = list(await tx.scalars(newest))
    found = select(*projection(CHANGES, AuditEntry)).where(CHANGES.c.id.in_(ids[:PAGE]))
    rows = await tx.execute(found.order_by(CHANGES.c.id.desc()))
    return [AuditEntry._make(row) for row in rows], ids[PAGE - 1] if len(ids) > PAGE else None


def _audit_cells(row: AuditEntry, times: ViewerTime) -> list[ListCell]:
    href = f"/invoices/{row.invoice_id}" if row.invoice_id and row.invoice_id > 0 else None
    return [
        ListCell(row.who or ""),
        ListCell(str(row.invoice_id or ""), href),
        ListCell(row.field_name or ""),
        ListCell(_cut(row.old_value)),
        ListCell(_cut(row.new_value)),
        ListCell(times.short(row.datetime) if row.datetime else ""),
    ]


def _cut(value: str | None) -> str:
    if value is None or len(value) <= _VALUE_MAX:
        return value or ""
    return f"{value[:_VALUE_MAX]}…"

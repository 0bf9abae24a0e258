"""Note the day by which a client has promised to pay an invoice: nobody is reminded until then."""

from datetime import date

from sqlalchemy import select
from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.language import N_, _
from app.console.pages.action_forms import ActionForm, FormAction, FormField
from app.console.pages.chrome import times_of
from app.console.pages.invoice_page import invoice_id_of
from app.console.pages.invoices_reads import load_invoice_header
from app.console.pages.ledger_acts import database_of, who
from app.console.routing import Viewer
from app.errors import InvalidField, NotFound
from app.ledger.payment_promises import NOTE_MAX, PROMISES, promise
from app.storage.engines import Tx

DAY = FormField(
    "day", N_("Promised for, or empty to take it back"), kind="optional", hint="2026-12-24"
)
NOTE = FormField("note", N_("Note, kept with it"), kind="optional")


async def _form(request: Request, tx: Tx) -> ActionForm:
    invoice_id = invoice_id_of(request)
    header = await load_invoice_header(tx, invoice_id)
    if header is None:
        raise NotFound("Invoice", invoice_id)
    known = (
        await tx.execute(select(PROMISES).where(PROMISES.c.invoice_id == invoice_id))
    ).one_or_none()
    fields = (DAY, NOTE)
    facts: tuple[tuple[str, str], ...] = ()
    if known is not None:
        fields = (
            DAY._replace(value=known.promised_on.isoformat()),
            NOTE._replace(value=known.note or ""),
        )
        facts = ((_("Noted by"), known.made_by),)
    return ActionForm(
        title=_("Promise to pay %(invoice)s", invoice=header.name),
        lede=_("No reminder of it is mailed up to that day. Autopay is not changed by it."),
        button=_("Note the promise"),
        leave=_("Leave as it is"),
        back=f"/invoices/{invoice_id}",
        fields=fields,
        facts=facts,
    )


async def _note(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, day = invoice_id_of(request), _day_given(request, viewer, given)
    note = str(given.get("note", "")).strip()
    if len(note) > NOTE_MAX:
        raise InvalidField("note", f"has more than {NOTE_MAX} characters")

    async def work(tx: Tx) -> None:
        now = request.app.state.clock()
        await promise(tx, invoice_id, day, note=note, who=who(viewer), now=now)

    await database_of(request).with_retry(work)
    said = _("The promise is noted.") if day else _("The promise is taken back.")
    return said, f"/invoices/{invoice_id}"


def _day_given(request: Request, viewer: Viewer, given: FormData) -> date | None:
    text = str(given.get("day", "")).strip()
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidField("day", f"{text!r} is no day such as 2026-12-24") from None
    if day < times_of(request, viewer).today:
        raise InvalidField("day", "is over")
    return day


PROMISE = FormAction(_form, _note)

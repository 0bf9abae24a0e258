"""Pause and resume autopay of one client, with a reason that every skipped invoice then shows."""

from sqlalchemy import or_, select
from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.language import _, ngettext
from app.console.pages.action_forms import REASON, ActionForm, FormAction
from app.console.pages.chrome import id_in_path
from app.console.pages.clients_page import list_own_pauses, load_client
from app.console.pages.ledger_acts import database_of, ledger_context
from app.console.pages.pauses_page import UNTIL, pause_of
from app.console.routing import Viewer
from app.halo.resource_writers import WRITERS
from app.halo.resources.client_resource import CLIENTS
from app.ledger import autopay_pauses
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

INVOICES = table_of(Invoice)

# Open invoices that are counted; of more the form says so many.
COUNTED_MAX = 200


def _client_id(request: Request) -> int:
    return id_in_path(request, "client_id", "Client")


async def _flagged_invoices(tx: Tx, client_id: int) -> str:
    """`3 open invoices`: those that autopay would charge."""
    flagged = or_(INVOICES.c.take_auto_payment, INVOICES.c.include_in_autopay)
    wanted = select(INVOICES.c.id).where(
        INVOICES.c.client_id == client_id, INVOICES.c.id > 0, HAS_AMOUNT_DUE, flagged
    )
    number = len(list(await tx.scalars(wanted.limit(COUNTED_MAX))))
    return ngettext("%(num)s open invoice", "%(num)s open invoices", number)


async def _pause_form(request: Request, tx: Tx) -> ActionForm:
    client = await load_client(tx, _client_id(request))
    return ActionForm(
        title=_("Pause autopay of %(client)s", client=client.name),
        lede=_("Autopay charges nothing of this client until somebody resumes it."),
        button=_("Pause autopay"),
        leave=_("Let it run"),
        back=f"/clients/{client.id}",
        fields=(REASON, UNTIL),
        facts=((_("Flagged"), await _flagged_invoices(tx, client.id)),),
    )


async def _pause(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    client_id = _client_id(request)
    await pause_of(request, viewer, given, client_id=client_id)
    return _("Autopay is paused for this client."), f"/clients/{client_id}"


async def _resume_form(request: Request, tx: Tx) -> ActionForm:
    client = await load_client(tx, _client_id(request))
    pauses = await list_own_pauses(tx, client.id)
    return ActionForm(
        title=_("Resume autopay of %(client)s", client=client.name),
        lede=_("The next run charges what has become due meanwhile."),
        button=_("Resume autopay"),
        leave=_("Leave it paused"),
        back=f"/clients/{client.id}",
        fields=(),
        facts=(
            (_("Flagged"), await _flagged_invoices(tx, client.id)),
            *((_("By %(paused_by)s", paused_by=one.paused_by), one.reason) for one in pauses),
        ),
    )


async def _resume(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    """Every pause of the client ends; one that is inactive becomes active, as the API saves it."""
    client_id = _client_id(request)
    context = ledger_context(request, viewer)

    async def work(tx: Tx) -> None:
        for one in await list_own_pauses(tx, client_id):
            await autopay_pauses.end_pause(tx, one.id, who=context["who"], now=context["now"])
        if (await load_client(tx, client_id)).inactive:
            await WRITERS[CLIENTS](tx, [{"id": client_id, "inactive": False}], **context)

    await database_of(request).with_retry(work)
    return _("Autopay goes on for this client."), f"/clients/{client_id}"


PAUSE = FormAction(_pause_form, _pause)
RESUME = FormAction(_resume_form, _resume)

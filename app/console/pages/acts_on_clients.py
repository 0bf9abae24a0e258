"""Pause and resume autopay of one client: the API's `inactive`, with a reason that stays."""

from sqlalchemy import or_, select
from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.pages.action_forms import REASON, ActionForm, FormAction, text_given
from app.console.pages.acts_on_invoices import ledger_context, write_notes
from app.console.pages.clients_page import load_client
from app.console.pages.wording import counted
from app.console.routing import Viewer
from app.errors import NotFound
from app.halo.resource_writers import WRITERS
from app.halo.resources.client_resource import CLIENTS
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

INVOICES = table_of(Invoice)

# The open invoices that get the reason as a note; those of before are old news.
NOTED_MAX = 200


def _client_id(request: Request) -> int:
    given: str = request.path_params["client_id"]
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise NotFound("Client", given)
    return int(given)


async def _open_invoices(tx: Tx, client_id: int) -> list[int]:
    flagged = or_(INVOICES.c.take_auto_payment, INVOICES.c.include_in_autopay)
    wanted = select(INVOICES.c.id).where(
        INVOICES.c.client_id == client_id, INVOICES.c.id > 0, HAS_AMOUNT_DUE, flagged
    )
    return list(await tx.scalars(wanted.order_by(INVOICES.c.id.desc()).limit(NOTED_MAX)))


async def _pause_form(request: Request, tx: Tx) -> ActionForm:
    client = await load_client(tx, _client_id(request))
    waiting = counted(len(await _open_invoices(tx, client.id)), "open invoice")
    return ActionForm(
        title=f"Pause autopay of {client.name}",
        lede="Autopay charges nothing of this client until somebody resumes it.",
        button="Pause autopay",
        leave="Let it run",
        back=f"/clients/{client.id}",
        fields=(REASON,),
        facts=(("Flagged", waiting),),
    )


async def _resume_form(request: Request, tx: Tx) -> ActionForm:
    client = await load_client(tx, _client_id(request))
    waiting = counted(len(await _open_invoices(tx, client.id)), "open invoice")
    return ActionForm(
        title=f"Resume autopay of {client.name}",
        lede="The next run charges what has become due meanwhile.",
        button="Resume autopay",
        leave="Leave it paused",
        back=f"/clients/{client.id}",
        fields=(REASON,),
        facts=(("Flagged", waiting),),
    )


async def _pause(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    await _set_inactive(request, viewer, given, inactive=True)
    return "Autopay is paused for this client.", f"/clients/{_client_id(request)}"


async def _resume(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    await _set_inactive(request, viewer, given, inactive=False)
    return "Autopay goes on for this client.", f"/clients/{_client_id(request)}"


async def _set_inactive(
    request: Request, viewer: Viewer, given: FormData, *, inactive: bool
) -> None:
    """A saved client, as POST /api/Client saves it. Its open invoices keep the reason."""
    client_id, reason = _client_id(request), text_given(given, "reason")
    context = ledger_context(request, viewer)
    said = f"Autopay of the client is {'paused' if inactive else 'resumed'}: {reason}"

    async def work(tx: Tx) -> None:
        await WRITERS[CLIENTS](tx, [{"id": client_id, "inactive": inactive}], **context)
        noted = await _open_invoices(tx, client_id)
        if noted:
            await write_notes(tx, noted, said, **context)

    database: Database = request.app.state.database
    await database.with_retry(work)


PAUSE = FormAction(_pause_form, _pause)
RESUME = FormAction(_resume_form, _resume)

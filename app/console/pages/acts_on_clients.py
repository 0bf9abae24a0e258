"""Pause and resume autopay of one client: the API's `inactive`, with a reason that stays."""

from sqlalchemy import or_, select
from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.pages.action_forms import REASON, ActionForm, FormAction, text_given
from app.console.pages.chrome import id_in_path
from app.console.pages.clients_page import load_client
from app.console.pages.ledger_acts import database_of, ledger_context, write_notes
from app.console.pages.wording import counted
from app.console.routing import Viewer
from app.halo.resource_writers import WRITERS
from app.halo.resources.client_resource import CLIENTS
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

INVOICES = table_of(Invoice)

# The open invoices that get the reason as a note; those of before are old news.
NOTED_MAX = 200


def _autopay_switch(*, verb: str, lede: str, leave: str, said: str, inactive: bool) -> FormAction:
    """An action that lets autopay charge a client, or not."""

    async def load_form(request: Request, tx: Tx) -> ActionForm:
        client = await load_client(tx, _client_id(request))
        waiting = counted(len(await _flagged_invoices(tx, client.id)), "open invoice")
        return ActionForm(
            title=f"{verb} autopay of {client.name}",
            lede=lede,
            button=f"{verb} autopay",
            leave=leave,
            back=f"/clients/{client.id}",
            fields=(REASON,),
            facts=(("Flagged", waiting),),
        )

    async def act(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
        await _set_inactive(request, viewer, given, inactive=inactive)
        return said, f"/clients/{_client_id(request)}"

    return FormAction(load_form, act)


def _client_id(request: Request) -> int:
    return id_in_path(request, "client_id", "Client")


async def _flagged_invoices(tx: Tx, client_id: int) -> list[int]:
    flagged = or_(INVOICES.c.take_auto_payment, INVOICES.c.include_in_autopay)
    wanted = select(INVOICES.c.id).where(
        INVOICES.c.client_id == client_id, INVOICES.c.id > 0, HAS_AMOUNT_DUE, flagged
    )
    return list(await tx.scalars(wanted.order_by(INVOICES.c.id.desc()).limit(NOTED_MAX)))


async def _set_inactive(
    request: Request, viewer: Viewer, given: FormData, *, inactive: bool
) -> None:
    """A saved client, as POST /api/Client saves it. Its open invoices keep the reason."""
    client_id, reason = _client_id(request), text_given(given, "reason")
    context = ledger_context(request, viewer)
    note = f"Autopay of the client is {'paused' if inactive else 'resumed'}: {reason}"

    async def work(tx: Tx) -> None:
        await WRITERS[CLIENTS](tx, [{"id": client_id, "inactive": inactive}], **context)
        noted = await _flagged_invoices(tx, client_id)
        if noted:
            await write_notes(tx, noted, note, **context)

    await database_of(request).with_retry(work)


PAUSE = _autopay_switch(
    verb="Pause",
    lede="Autopay charges nothing of this client until somebody resumes it.",
    leave="Let it run",
    said="Autopay is paused for this client.",
    inactive=True,
)
RESUME = _autopay_switch(
    verb="Resume",
    lede="The next run charges what has become due meanwhile.",
    leave="Leave it paused",
    said="Autopay goes on for this client.",
    inactive=False,
)

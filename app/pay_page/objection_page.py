"""GET and POST /object/{token}: a client objects to a coming charge, by a button.

Opening the address changes nothing, for programs that look through mail follow links.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.errors import NotFound
from app.ledger import charge_objections, outbox
from app.ledger.charge_objections import StoredObjection
from app.pay_page.visitor_page import limits_of, now_of, public_page, render_page, seller_name
from app.pay_page.words import Words
from app.payments.alert_watch import channels_of
from app.payments.autopay.candidates import find_candidates
from app.payments.checkout.owed_invoices import PayState, with_states
from app.rules.mail_kind import ALERT
from app.storage.engines import Database, Tx
from app.storage.tables.outbox_messages import OutboxChannel

# All addresses that no mail has share one limit, as those of pay links do.
_UNKNOWN = 0
# A charge that has begun is not held any more; the page says so.
_BEGUN = (PayState.CHARGING, PayState.PROCESSING)


async def show_objection(request: Request, words: Words) -> Response:
    """Show the charge, with the button; or that it is held."""
    database: Database = request.app.state.database
    one = await _objection(request)
    async with database.snapshot() as tx:
        return await _page(request, words, tx, one)


async def object_by_button(request: Request, words: Words) -> Response:
    """Hold the charge's invoices, and tell finance."""
    database: Database = request.app.state.database
    one = await _objection(request)
    now = now_of(request)
    tells_finance = OutboxChannel.MAIL in channels_of(request.app.state.settings)

    async def work(tx: Tx) -> list[int]:
        held = await charge_objections.object_to_charge(tx, one.id, now=now)
        if held and tells_finance:
            named = ", ".join(map(str, held))
            facts: dict[str, outbox.JsonValue] = {
                "title": "a client objects to a charge",
                "detail": f"Client {one.client_id} objects to the charge of {one.charge_on}. "
                f"Autopay leaves these invoices alone until you end their pauses: {named}.",
                "began_at": now.isoformat(),
            }
            told = outbox.message(ALERT, f"objection {one.id}", facts, now=now)
            await outbox.queue(tx, [told])
        return held

    await database.with_retry(work)
    async with database.snapshot() as tx:
        return await _page(request, words, tx, await _objection(request))


async def _objection(request: Request) -> StoredObjection:
    """The right to object, or NotFound, whatever the reason."""
    database: Database = request.app.state.database
    now = now_of(request)
    async with database.snapshot() as tx:
        found = await charge_objections.find_objection(tx, request.path_params["token"], now)
    if found is None:
        limits_of(request).unknown.take(_UNKNOWN, now)
        raise NotFound("objection", "unknown")
    limits_of(request).objections.take(found.id, now)
    return found


async def _page(request: Request, words: Words, tx: Tx, one: StoredObjection) -> Response:
    found = await find_candidates(tx, one.invoice_ids)
    invoices = await with_states(tx, [found[key] for key in sorted(found)])
    owed = [each for each in invoices if each.state not in (PayState.PAID, PayState.VOIDED)]
    rows = [
        (
            each.number,
            words.language.money(each.amount, each.currency),
            words.state(each.state) if each.state in _BEGUN else "",
        )
        for each in owed
    ]
    is_held = one.objected_at is not None
    lede = words["no_charge"]
    if owed:
        day = words.language.short_day(one.charge_on)
        lede = words["held"] if is_held else words["objection"].format(day=day)
    return render_page(
        words, "objection.html", 200,
        seller=seller_name(request.app.state.settings),
        lede=lede,
        note=words["begun"] if any(state for *_, state in rows) else "",
        rows=rows,
        path="" if is_held or not owed else f"/object/{request.path_params['token']}",
    )  # fmt: skip


OBJECTION_ROUTES: tuple[BaseRoute, ...] = (
    Route("/object/{token}", public_page(show_objection), methods=["GET"], name="objection page"),
    Route("/object/{token}", public_page(object_by_button), methods=["POST"], name="objection"),
)

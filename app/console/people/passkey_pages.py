"""The pages on passkeys: sign in by one, confirm by one, add and remove one's own.

The browser's part is `static/passkeys.js`: it asks for a challenge, has the person's device sign
it, and sends the answer as an ordinary form.
"""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from app.console import cookies
from app.console.people import passkeys
from app.console.people.confirm_pages import confirmed
from app.console.people.passkeys import Ceremony, Challenge, RelyingParty
from app.console.people.sign_in import act_of, signed_in, start_session
from app.console.people.users import load_user_by_id
from app.console.rendering import render
from app.console.routing import Viewer, next_path, redirect
from app.errors import Refused
from app.storage.engines import Database


async def challenge_sign_in(request: Request) -> Response:
    """Options for a person whom nobody knows yet, as JSON."""
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    async with database.transaction() as tx:
        made = await passkeys.challenge_to_show(tx, Ceremony.SIGN_IN, _party(request), now)
    return _challenge(request, made)


async def sign_in_by_passkey(request: Request) -> Response:
    """Sign in the person whose passkey has signed the challenge."""
    form = request.state.form
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    token = cookies.read_cookie(request, cookies.STEP) or ""
    async with database.transaction() as tx:
        user_id = await passkeys.user_of_passkey(
            tx, Ceremony.SIGN_IN, _party(request), token, form.get("credential", ""), now
        )
        user = await load_user_by_id(tx, user_id)
        if user.disabled_at is not None:
            raise passkeys.PasskeyRefused
        session = await start_session(tx, request, user, "passkey")
    return signed_in(request, session, next_path(request, form.get("next", "/")))


async def challenge_viewer(request: Request, viewer: Viewer) -> Response:
    """Options for a person who is signed in: to add a passkey, or to confirm by one."""
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    party = _party(request)
    async with database.transaction() as tx:
        if request.state.form.get("ceremony") == Ceremony.ADD:
            user = await load_user_by_id(tx, viewer.user_id)
            made = await passkeys.challenge_to_add(tx, user, party, now)
        else:
            made = await passkeys.challenge_to_show(
                tx, Ceremony.CONFIRM, party, now, viewer.user_id
            )
    return _challenge(request, made)


async def confirm_by_passkey(request: Request, viewer: Viewer) -> Response:
    """Confirm by a passkey; that of another user confirms nothing."""
    form = request.state.form
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    token = cookies.read_cookie(request, cookies.STEP) or ""
    async with database.transaction() as tx:
        user_id = await passkeys.user_of_passkey(
            tx, Ceremony.CONFIRM, _party(request), token, form.get("credential", ""), now
        )
        if user_id != viewer.user_id:
            raise passkeys.PasskeyRefused
        return await confirmed(tx, request, viewer, next_path(request, form.get("next", "/")))


async def show_passkeys(request: Request, viewer: Viewer) -> Response:
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        found = await passkeys.list_passkeys(tx, viewer.user_id)
    is_possible = passkeys.relying_party(request) is not None
    return render(request, viewer, "people/passkeys.html", passkeys=found, is_possible=is_possible)


async def change_passkeys(request: Request, viewer: Viewer) -> Response:
    """Add what the browser made (`credential`, `name`), or remove one (`remove`, its id)."""
    form = request.state.form
    database: Database = request.app.state.database
    act = act_of(request, viewer.login)
    removed = form.get("remove", "")
    async with database.transaction() as tx:
        user = await load_user_by_id(tx, viewer.user_id)
        if removed.isascii() and removed.isdigit() and len(removed) < 19:
            await passkeys.remove_passkey(tx, user, int(removed), act)
        else:
            token = cookies.read_cookie(request, cookies.STEP) or ""
            credential, name = form.get("credential", ""), form.get("name", "")
            await passkeys.add_passkey(tx, user, _party(request), token, credential, name, act)
    return redirect("/account/passkeys")


def _party(request: Request) -> RelyingParty:
    found = passkeys.relying_party(request)
    if found is None:
        raise Refused("browsers have passkeys for names only; use http://localhost here")
    return found


def _challenge(request: Request, made: Challenge) -> Response:
    response = Response(made.options, media_type="application/json")
    cookies.set_cookie(response, request, cookies.STEP, made.token)
    return response

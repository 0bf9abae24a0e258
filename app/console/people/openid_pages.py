"""Sign in by the OpenID provider: to it, and back with its code.

Nobody is added by it. A user is found by the provider's own number for them; the first time, by
the verified e-mail address that is their login.
"""

import hmac
from datetime import datetime, timedelta

from sqlalchemy import select, update
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import cookies
from app.console.people.one_time_tokens import Purpose, issue_one_time, redeem
from app.console.people.openid import Identity, OpenIdProvider, OpenIdRefused, OpenIdRequest
from app.console.people.sessions import FRESH, USERS
from app.console.people.sign_in import signed_in, start_session
from app.console.people.users import UserRecord, find_user, load_user_by_id
from app.console.routing import next_path
from app.errors import NotFound
from app.settings import Settings
from app.storage.engines import Database, Tx

_LASTS = timedelta(minutes=10)
_BACK = "/sign-in/openid/callback"


async def go_to_provider(request: Request) -> Response:
    """The browser leaves for the provider. `again=1`: it asks even whom it knows."""
    provider, now = _provider(request), _now(request)
    again = request.query_params.get("again") == "1"
    wanted = OpenIdRequest.new()
    where = await provider.authorization_url(wanted, _callback(request), now, again=again)
    content = {**wanted._asdict(), "following": next_path(request)}
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        token = await issue_one_time(tx, Purpose.OPENID, lasts=_LASTS, now=now, content=content)
    response = RedirectResponse(where, 303)
    cookies.set_cookie(response, request, cookies.STEP, token)
    return response


async def come_back(request: Request) -> Response:
    """The provider's answer, which counts once, and only in the browser that asked."""
    provider, now = _provider(request), _now(request)
    token = cookies.read_cookie(request, cookies.STEP) or ""
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        asked = await redeem(tx, Purpose.OPENID, token, now)
    if asked is None:
        raise OpenIdRefused("this sign-in began in another browser or too long ago; begin again")
    wanted = OpenIdRequest(*(asked.content[name] for name in OpenIdRequest._fields))
    given, code = request.query_params.get("state", ""), request.query_params.get("code", "")
    if not hmac.compare_digest(given.encode(), wanted.state.encode()) or not code:
        raise OpenIdRefused("the identity provider did not sign you in")
    identity = await provider.identify(wanted, code, _callback(request), now)
    async with database.transaction() as tx:
        user = await _user_of(tx, identity)
        # Whom the provider has known for hours is no one who has just shown who they are.
        shown_at = min(identity.authenticated_at or now - 2 * FRESH, now)
        session = await start_session(tx, request, user, "openid", authenticated_at=shown_at)
    return signed_in(request, session, next_path(request, asked.content["following"]))


async def _user_of(tx: Tx, identity: Identity) -> UserRecord:
    """The user, who is remembered by the provider's number from now on; or OpenIdRefused."""
    name = f"{identity.issuer} {identity.subject}"
    user_id = await tx.scalar(select(USERS.c.id).where(USERS.c.oidc_identity == name))
    if user_id is not None:
        user: UserRecord | None = await load_user_by_id(tx, user_id)
    else:
        user = await find_user(tx, identity.email) if identity.email else None
        unclaimed = USERS.c.oidc_identity.is_(None)
        if user is not None:
            mine = update(USERS).where(USERS.c.id == user.id, unclaimed)
            claimed = await tx.execute(mine.values(oidc_identity=name))
            user = user if claimed.rowcount else None
    if user is None or user.disabled_at is not None:
        raise OpenIdRefused("nobody here has that identity; ask an admin to add you by your e-mail")
    return user


def _provider(request: Request) -> OpenIdProvider:
    found: OpenIdProvider = request.app.state.openid
    if not found.is_set_up:
        raise NotFound("identity provider", "of PAYDUE_OIDC_ISSUER")
    return found


def _callback(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return (settings.public_url or str(request.base_url).rstrip("/")) + _BACK


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock()
    return now

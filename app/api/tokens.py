"""POST /auth/token, and the question HaloPSA's most used client asks before it."""

from datetime import datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from app.api import body
from app.api.answers import answer
from app.api.auth import TokenRefused, buy_token
from app.data import values

# Five short fields; nobody is known yet, so nobody may send more.
_FORM_MAX = 16 * 1024
_FIELDS_MAX = 20


async def token(request: Request) -> Response:
    """Client credentials for a bearer token. `tenant` is accepted; there is one."""
    form = await _form(request)
    if form.get("grant_type") != "client_credentials":
        raise TokenRefused("unsupported_grant_type", "grant_type must be client_credentials")
    client_id = values.text("client_id", form.get("client_id")) or ""
    secret = form.get("client_secret", "")
    if not (client_id and secret):
        raise TokenRefused("invalid_request", "client_id and client_secret are required")
    now: datetime = request.app.state.clock()
    lasts_s: int = request.app.state.settings.token_lasts
    async with request.app.state.database.transaction() as tx:
        bought = await buy_token(
            tx, client_id, secret, form.get("scope", ""), now=now, lasts_s=lasts_s
        )
    response = answer(
        {
            "scope": bought.scope,
            "token_type": "Bearer",
            "access_token": bought.value,
            "expires_in": bought.expires_in,
            "refresh_token": None,  # clients ask again with their credentials
            "id_token": None,
        }
    )
    response.headers["Cache-Control"] = "no-store"
    return response


async def _form(request: Request) -> dict[str, str]:
    raw = await body.read(request, _FORM_MAX)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise TokenRefused("invalid_request", "the body is not a form") from None
    return dict(pairs)


async def authinfo(request: Request) -> Response:
    """Where tokens are bought. Anonymous: it is asked before there is a token."""
    return answer({"auth_url": f"{str(request.base_url).rstrip('/')}/auth", "tenant_id": ""})

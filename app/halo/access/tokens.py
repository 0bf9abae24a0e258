"""POST /auth/token, and GET /api/authinfo, which HaloPSA's most used client sends before it."""

from datetime import datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from app.halo.access.api_credentials import TokenRequestRefused, find_grant, issue_token
from app.halo.access.own_address import own_address
from app.halo.engine import json_schema, parsing, request_body
from app.halo.engine.responses import json_response
from app.halo.openapi.operations import Operation
from app.security_log import SecurityEvent, log_security_event
from app.storage.engines import Database

# Five short fields; nobody is known yet, so nobody may send more.
_FORM_MAX = 16 * 1024
_FIELDS_MAX = 20


async def token(request: Request) -> Response:
    """Exchange client credentials for a bearer token. `tenant` is accepted; there is one."""
    form = await _form(request)
    if form.get("grant_type") != "client_credentials":
        raise TokenRequestRefused("unsupported_grant_type", "grant_type must be client_credentials")
    client_id = parsing.text("client_id", form.get("client_id")) or ""
    secret = form.get("client_secret", "")
    if not (client_id and secret):
        raise TokenRequestRefused("invalid_request", "client_id and client_secret are required")
    now: datetime = request.app.state.clock()
    lasts_s: int = request.app.state.settings.token_lasts
    database: Database = request.app.state.database
    # Whoever does not know the secret takes no writer's turn from anybody.
    async with database.key_snapshot() as tx:
        grant = await find_grant(tx, client_id, secret, form.get("scope", ""))
    request.app.state.token_limiter.take(grant.access_id, now)
    async with database.transaction() as tx:
        issued = await issue_token(tx, grant, now=now, lasts_s=lasts_s)
    log_security_event(
        SecurityEvent.TOKEN_ISSUED,
        access_id=issued.access_id,
        client_id=client_id,
        scope=issued.scope,
        peer=request.client.host if request.client else None,
    )
    return json_response(
        {
            "scope": issued.scope,
            "token_type": "Bearer",
            "access_token": issued.value,
            "expires_in": issued.expires_in,
            "refresh_token": None,  # clients ask again with their credentials
            "id_token": None,
        }
    )


async def _form(request: Request) -> dict[str, str]:
    raw = await request_body.read(request, _FORM_MAX)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise TokenRequestRefused("invalid_request", "the body is not a form") from None
    return dict(pairs)


async def authinfo(request: Request) -> Response:
    """Where tokens are issued. Anonymous: it is asked before there is a token."""
    return json_response({"auth_url": f"{own_address(request)}/auth", "tenant_id": ""})


_TAG = "Access"
_EMPTY = {"type": "null", "description": "Always null: clients ask again with their credentials."}

TOKEN = Operation(
    summary="Get a token",
    about="Takes client credentials, answers a bearer token: `Authorization: Bearer TOKEN`.",
    tag=_TAG,
    right=None,
    takes={
        "type": "object",
        "required": ["grant_type", "client_id", "client_secret"],
        "properties": {
            "grant_type": {"const": "client_credentials"},
            "client_id": {**json_schema.TEXT, "description": "As `paydue access add` printed it."},
            "client_secret": {**json_schema.TEXT, "description": "As it was printed, once."},
            "scope": {
                **json_schema.TEXT,
                "description": "Scopes, separated by blanks; those you do not own are left out.",
                "default": "all",
            },
            "tenant": {**json_schema.TEXT, "description": "Accepted; there is one."},
        },
    },
    takes_form=True,
    example={"grant_type": "client_credentials", "client_id": "ID", "client_secret": "SECRET"},
    gives={
        "type": "object",
        "required": ["scope", "token_type", "access_token", "expires_in"],
        "properties": {
            "scope": {**json_schema.TEXT, "description": "The scopes that the token opens."},
            "token_type": {"const": "Bearer"},
            "access_token": {**json_schema.TEXT, "description": "The token."},
            "expires_in": {**json_schema.SMALL, "description": "Seconds it is good for."},
            "refresh_token": _EMPTY,
            "id_token": _EMPTY,
        },
    },
    answer_example={
        "scope": "all",
        "token_type": "Bearer",
        "access_token": "TOKEN",
        "expires_in": 3600,
        "refresh_token": None,
        "id_token": None,
    },
    refusals=(400, 401, 413, 429),
)

AUTHINFO = Operation(
    summary="Where tokens are issued",
    tag=_TAG,
    right=None,
    gives={
        "type": "object",
        "required": ["auth_url", "tenant_id"],
        "properties": {
            "auth_url": {**json_schema.TEXT, "description": "Add `/token` to it."},
            "tenant_id": {**json_schema.TEXT, "description": "Always empty: there is one."},
        },
    },
    answer_example={"auth_url": "https://paydue.example/auth", "tenant_id": ""},
    refusals=(),
)

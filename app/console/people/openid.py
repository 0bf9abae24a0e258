"""OpenID Connect: asks one provider who a person is, by a code with PKCE (RFC 7636, RFC 9700)."""

import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import orjson
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.errors import AppError, Unavailable
from app.security_log import SecurityEvent
from app.settings import Settings, is_loopback

log = structlog.get_logger("paydue.console")

# Signatures that only the provider can make; none by a secret that we share with it.
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
_DOCUMENTS_LAST = timedelta(hours=1)
_TIMEOUT = aiohttp.ClientTimeout(total=8)
_ANSWER_MAX = 256 * 1024
# A provider's clock may be off by so much.
_LEEWAY_S = 60
_JOSE_ERRORS = (JoseError, ValueError, TypeError, KeyError)


class OpenIdRefused(AppError):
    """The provider's answer proves nobody's identity to us."""

    status = 403
    security_event = SecurityEvent.SIGN_IN_REFUSED


class OpenIdRequest(NamedTuple):
    """Values of one sign-in that its answer has to fit."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "OpenIdRequest":
        return cls(*(secrets.token_urlsafe(32) for _ in cls._fields))

    @property
    def challenge(self) -> str:
        digest = sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


class Identity(NamedTuple):
    """Who somebody is by the provider's word. `email` only where the provider has verified it."""

    issuer: str
    subject: str
    email: str | None
    authenticated_at: datetime | None


class OpenIdProvider:
    """The provider that the settings name. Its documents are asked for once an hour."""

    def __init__(self, settings: Settings) -> None:
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret.get_secret_value()
        self._known: dict[str, tuple[Any, datetime]] = {}

    @property
    def is_set_up(self) -> bool:
        return bool(self._issuer and self._client_id)

    @property
    def _authorization(self) -> str:
        """The name and the secret are encoded as in a form, and then as Basic (RFC 6749, 2.3.1)."""
        pair = f"{quote(self._client_id, safe='')}:{quote(self._client_secret, safe='')}"
        return f"Basic {b64encode(pair.encode()).decode()}"

    async def authorization_url(
        self, wanted: OpenIdRequest, redirect_uri: str, now: datetime, *, again: bool
    ) -> str:
        """Where the browser goes. With `again` the provider asks even whom it knows."""
        where = await self._endpoint("authorization_endpoint", now)
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email profile",
            "state": wanted.state,
            "nonce": wanted.nonce,
            "code_challenge": wanted.challenge,
            "code_challenge_method": "S256",
            **({"prompt": "login", "max_age": "0"} if again else {}),
        }
        return f"{where}{'&' if '?' in where else '?'}{urlencode(query)}"

    async def identify(
        self, wanted: OpenIdRequest, code: str, redirect_uri: str, now: datetime
    ) -> Identity:
        """The person whom the code is for; or OpenIdRefused."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": wanted.verifier,
            "client_id": self._client_id,
        }
        where = await self._endpoint("token_endpoint", now)
        answer = await _ask(where, form, self._authorization)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OpenIdRefused("the identity provider does not accept this sign-in; try again")
        return _identity(await self._claims(token, wanted, now))

    async def _claims(self, token: str, wanted: OpenIdRequest, now: datetime) -> dict[str, Any]:
        keys = await self._document(await self._endpoint("jwks_uri", now), now)
        rules = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": wanted.nonce},
        )
        try:
            claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS).claims
            rules.validate(claims)
        except _JOSE_ERRORS as error:
            self._known.clear()  # the provider may have new keys; the next try asks for them
            log.warning("identity refused", why=type(error).__name__)
            raise OpenIdRefused("the identity provider's answer cannot be trusted") from None
        if claims.get("azp", self._client_id) != self._client_id:
            raise OpenIdRefused("the identity provider's answer is for another service")
        return claims

    async def _endpoint(self, name: str, now: datetime) -> str:
        where = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        document = await self._document(where, now)
        found = document.get(name)
        if document.get("issuer") != self._issuer or not isinstance(found, str):
            raise Unavailable("PAYDUE_OIDC_ISSUER does not name an identity provider")
        parts = urlsplit(found)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise Unavailable("the identity provider has an endpoint without https")
        return found

    async def _document(self, where: str, now: datetime) -> Any:
        known = self._known.get(where)
        if known is None or now >= known[1]:
            known = self._known[where] = await _ask(where), now + _DOCUMENTS_LAST
        return known[0]


def _identity(claims: Mapping[str, Any]) -> Identity:
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True and isinstance(email, str)
    at = claims.get("auth_time")
    return Identity(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        email=str(email) if is_verified else None,
        authenticated_at=datetime.fromtimestamp(at, UTC) if type(at) is int else None,
    )


async def _ask(
    where: str, form: dict[str, str] | None = None, authorization: str | None = None
) -> dict[str, Any]:
    """The JSON object at the address. No redirect is followed; an answer has a largest size."""
    method = "GET" if form is None else "POST"
    headers = {"Accept": "application/json"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.request(
                method, where, data=form, headers=headers, allow_redirects=False
            ) as answer,
        ):
            body = await answer.content.read(_ANSWER_MAX)
            found = orjson.loads(body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        log.warning("identity provider gives no answer", why=type(error).__name__)
        raise Unavailable("the identity provider gives no usable answer; try again") from None
    if not isinstance(found, dict):
        raise Unavailable("the identity provider gives no usable answer; try again")
    return found

"""A small OpenID provider: it signs what a test wants it to say, and checks what it is asked."""

import contextlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from app.serving import serve_in_loop

CLIENT_ID = "paydue"


@dataclass
class IdentityProvider:
    """`claims` replace those of the next token; `asked` is the query the browser came with."""

    clock: Callable[[], datetime]
    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    signs_with: RSAKey | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def sent(self, location: str) -> dict[str, str]:
        """The browser arrives, and its user agrees: the query it goes back with."""
        assert location.startswith(f"{self.url}/authorize?"), location
        self.asked = dict(parse_qsl(urlsplit(location).query))
        return {"code": "a-code", "state": self.asked["state"]}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["IdentityProvider"]:
        routes = [
            Route("/.well-known/openid-configuration", self._configuration),
            Route("/authorize", self._authorize),
            Route("/keys", self._keys),
            Route("/token", self._token, methods=["POST"]),
        ]
        async with serve_in_loop(Starlette(routes=routes)) as url:
            self.url = url
            yield self

    async def _configuration(self, _: Request) -> Response:
        names = {
            "authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys",
        }  # fmt: skip
        found = {name: f"{self.url}/{path}" for name, path in names.items()}
        return JSONResponse({"issuer": self.url, **found})

    async def _authorize(self, request: Request) -> Response:
        """The page on which a person agrees; it leads back with the code."""
        query = self.sent(str(request.url))
        back = f"{self.asked['redirect_uri']}?{urlencode(query)}"
        return HTMLResponse(f'<title>Provider</title><a href="{escape(back)}">Agree</a>')

    async def _keys(self, _: Request) -> Response:
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        digest = sha256(form["code_verifier"].encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_right = (
            form["code"] == "a-code"
            and challenge == self.asked["code_challenge"]
            and form["redirect_uri"] == self.asked["redirect_uri"]
            and request.headers["authorization"].startswith("Basic ")
        )
        if not is_right:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.url, "aud": CLIENT_ID, "sub": "7", "iat": now, "exp": now + 60,
            "auth_time": now, "nonce": self.asked["nonce"], "email_verified": True, **self.claims,
        }  # fmt: skip
        header = {"alg": "RS256", "kid": "one"}
        return JSONResponse({"id_token": jwt.encode(header, claims, self.signs_with or self.key)})

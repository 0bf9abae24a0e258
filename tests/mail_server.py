"""A real SMTP server for tests: it keeps each mail that it accepted, and fails where it is told.

A stop is called at a step of the protocol: `connect`, `EHLO`, `MAIL`, `RCPT`, `DATA` (before the
text), `text` (the mail is accepted, and its answer not sent yet) and `QUIT`.
"""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

STEPS = ("connect", "EHLO", "MAIL", "RCPT", "DATA", "text", "QUIT")


@dataclass
class MailServer:
    """`replies` are the answers to a step instead of its own; a stop may end the client."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    drops_at: str = ""
    logins: int = 0  # how often a password was sent
    stop: Callable[[str], None] = lambda step: None
    # Done while a client waits for the answer to RCPT.
    meanwhile: Callable[[], Awaitable[None]] | None = None

    def to(self, address: str) -> list[EmailMessage]:
        return [one for one in self.mails if address in str(one["To"])]


class _Handler:
    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_EHLO(  # noqa: N802  aiosmtpd's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        self._server.stop("EHLO")
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._server.stop("MAIL")
        envelope.mail_from = address
        return self._server.replies.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._server.stop("RCPT")
        if self._server.meanwhile:
            await self._server.meanwhile()
        if address in self._server.refused:
            return "550 5.1.1 no such mailbox"
        if "RCPT" in self._server.replies:
            return self._server.replies["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if "text" in self._server.replies:
            return self._server.replies["text"]
        content = envelope.content
        assert isinstance(content, bytes)
        parsed = BytesParser(policy=policy.default).parsebytes(content)
        assert isinstance(parsed, EmailMessage)
        self._server.mails.append(parsed)
        self._server.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
        self._server.stop("text")
        return "250 accepted"


class _Smtp(SMTP):
    server: MailServer

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  aiosmtpd's name
        self.server.stop("DATA")
        if self.server.drops_at == "DATA":
            assert self.transport is not None
            self.transport.close()
            return
        if "DATA" in self.server.replies:
            await self.push(self.server.replies["DATA"])
            return
        await super().smtp_DATA(arg)
        if self.server.drops_at == "text" and self.transport is not None:
            self.transport.close()

    async def push(self, status: Any) -> None:
        if self.server.drops_at == "text" and str(status).startswith("250 accepted"):
            return
        await super().push(status)

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802  aiosmtpd's name
        self.server.stop("QUIT")
        await super().smtp_QUIT(arg)


def _knows(found: MailServer, user: str, password: str) -> Callable[..., AuthResult]:
    def authenticate(server: SMTP, session: Session, envelope: Envelope, _: str, data: Any) -> Any:
        found.logins += 1
        wanted = LoginPassword(user.encode(), password.encode())
        return AuthResult(success=data == wanted, handled=False)

    return authenticate


@contextlib.asynccontextmanager
async def mail_server(
    *,
    tls: ssl.SSLContext | None = None,
    is_implicit: bool = False,
    user: str = "",
    password: str = "",
) -> AsyncIterator[MailServer]:
    """A server on this machine; with a context it wants STARTTLS, with a user a login.

    With implicit TLS the connection is encrypted from its first byte.
    """
    found = MailServer()

    def protocol() -> SMTP:
        found.stop("connect")
        with warnings.catch_warnings():
            # A login on a connection that is encrypted already is taken for one in the clear.
            warnings.simplefilter("ignore", UserWarning)
            made = _Smtp(
                _Handler(found),
                hostname="mail.test",
                loop=asyncio.get_running_loop(),
                tls_context=None if is_implicit else tls,
                require_starttls=tls is not None and not is_implicit,
                auth_required=bool(user),
                auth_require_tls=tls is not None and not is_implicit,
                authenticator=_knows(found, user, password),
            )
        made.server = found
        return made

    listening = await asyncio.get_running_loop().create_server(
        protocol, "127.0.0.1", 0, ssl=tls if is_implicit else None
    )
    found.port = listening.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        listening.close()
        await listening.wait_closed()

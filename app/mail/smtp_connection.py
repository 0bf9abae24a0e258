"""One connection to the SMTP server, with the one moment after which a mail may have been sent."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponseException

from app.settings import Settings

# A server may think for long after the text, but a worker that is told to stop waits for it.
TIMEOUT_S = 30.0


class MailServerAway(Exception):
    """Nothing was sent: the server is not reached, or wants no mail of ours now."""


class MailRefused(Exception):
    """The server refuses this mail. `is_final` is its 5xx; a 4xx may be another answer later."""

    def __init__(self, said: str, *, is_final: bool) -> None:
        super().__init__(said)
        self.is_final = is_final


class MailUnanswered(Exception):
    """The text went out and no answer came: it may have been sent."""


@dataclass(frozen=True, slots=True)
class SmtpConnection:
    """An open connection on which mails are sent one after the other."""

    client: aiosmtplib.SMTP

    async def offer(self, sender: str, recipients: Sequence[str]) -> list[str]:
        """Name sender and recipients; answers the refused ones. Nothing of the mail is sent.

        MailRefused where nobody is left to get it.
        """
        try:
            await self.client.mail(sender)
            refused = [error for one in recipients if (error := await self._name(one))]
        except (SMTPException, OSError) as error:
            raise MailServerAway(_said(error)) from error
        if len(refused) == len(recipients):
            await self.withdraw()
            raise _refusal(refused[0])
        return [_said(one) for one in refused]

    async def _name(self, recipient: str) -> SMTPResponseException | None:
        """Name one recipient; answers the refusal, if it is refused."""
        try:
            await self.client.rcpt(recipient)
        except SMTPResponseException as error:
            return error
        return None

    async def withdraw(self) -> None:
        """Take the offer back."""
        with contextlib.suppress(SMTPException, OSError):
            await self.client.rset()

    async def send_text(self, message: bytes) -> None:
        """Send the mail that was offered."""
        try:
            await self.client.data(message)
        except SMTPResponseException as error:
            raise _refusal(error) from error
        except (SMTPException, OSError) as error:
            raise MailUnanswered(_said(error)) from error


@contextlib.asynccontextmanager
async def smtp_connection(settings: Settings) -> AsyncIterator[SmtpConnection]:
    """A connection whose certificate is checked and whose user is known, or MailServerAway."""
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        tls_context=ssl.create_default_context(),
        timeout=TIMEOUT_S,
    )
    try:
        await client.connect()
        if settings.smtp_user:
            await client.login(settings.smtp_user, settings.smtp_password.get_secret_value())
    except (SMTPException, OSError, ValueError) as error:
        client.close()
        raise MailServerAway(_said(error)) from error
    try:
        yield SmtpConnection(client)
    finally:
        with contextlib.suppress(SMTPException, OSError):
            await client.quit()
        client.close()


def _refusal(error: SMTPResponseException) -> MailRefused:
    return MailRefused(_said(error), is_final=error.code >= 500)


def _said(error: Exception) -> str:
    """The server's word in one line, without the password that a login may quote."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"the SMTP server refuses user or password ({error.code})"
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {error.message}"
    return f"{type(error).__name__}: {error}"

"""A mail as the bytes that go to a server, with a Message-ID that stays the same."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from app.mail.mail_content import NotToBeSent
from app.mail.mail_rendering import RenderedMail, header_text
from app.settings import Settings

# RFC 5321 takes 254 characters for a whole address.
_ADDRESS_MAX = 254
# Without quotes, blanks or letters that a server would have to know an extension for.
_WRITABLE = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")


def recipients_of(listed: str) -> list[str]:
    """The addresses of a client, comma- or semicolon-separated; NotToBeSent where one is none."""
    found = [one.strip() for one in listed.replace(";", ",").split(",") if one.strip()]
    if not found:
        raise NotToBeSent("there is no mail address")
    return [_ascii_address(one) for one in found]


def _ascii_address(address: str) -> str:
    """The address with its host as servers write it."""
    local, _, host = address.rpartition("@")
    try:
        ascii_host = host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_host = ""
    whole = f"{local}@{ascii_host}"
    if not _WRITABLE.fullmatch(whole) or "." not in ascii_host or len(whole) > _ADDRESS_MAX:
        raise NotToBeSent(f"{header_text(address)} is no mail address that can be written to")
    return whole


def message_id_of(key: str, installation: str, settings: Settings) -> str:
    """The Message-ID of a message: the same however often it is tried."""
    digest = hashlib.sha256(f"{installation} {key}".encode()).hexdigest()[:32]
    return f"<{digest}@{settings.mail_from.rpartition('@')[2]}>"


def mail_bytes(
    mail: RenderedMail,
    *,
    settings: Settings,
    seller: str,
    recipients: Sequence[str],
    message_id: str,
    at: datetime,
) -> bytes:
    """The message by RFC 5322: text and HTML, no header of which holds a line break."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = mail.subject
    message["From"] = Address(header_text(seller), addr_spec=settings.mail_from)
    message["To"] = ", ".join(recipients)
    if settings.mail_reply_to:
        message["Reply-To"] = settings.mail_reply_to
    message["Date"] = format_datetime(at)
    message["Message-ID"] = message_id
    # RFC 3834: no answering machine answers, and none of theirs is ours to read.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message.as_bytes()

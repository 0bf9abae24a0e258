"""Passkeys (WebAuthn): a device that the person unlocks signs a challenge, which is good once.

A passkey is something the person has and something they know or are; so no code is asked for.
"""

import json
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import delete, func, insert, select, update
from starlette.requests import Request
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.console.cookies import is_https
from app.console.people.one_time_tokens import Purpose, issue_one_time, redeem
from app.console.people.user_events import Act, record_user_event
from app.console.people.users import PASSKEYS, UserRecord
from app.errors import AppError, Refused
from app.security_log import SecurityEvent
from app.settings import Settings
from app.storage.engines import Tx

# As long as a browser's own question to the person stays open.
_CHALLENGE_LASTS = timedelta(minutes=5)
# Keys of one person: a phone, a laptop, a key on the ring, and their successors.
PASSKEYS_MAX = 10
_NAME_MAX = 60
_CREDENTIAL_MAX = 32 * 1024


class Ceremony(StrEnum):
    """A challenge for one of these is none for another."""

    ADD = "add"
    SIGN_IN = "sign_in"
    CONFIRM = "confirm"


class RelyingParty(NamedTuple):
    """The host that passkeys are for, and the origin that pages of it have."""

    id: str
    origin: str


class Challenge(NamedTuple):
    """Options for the browser, as JSON, and the token that redeems what it answers."""

    options: str
    token: str


class PasskeySummary(NamedTuple):
    """A passkey as its owner sees it."""

    id: int
    name: str
    created_at: datetime
    used_at: datetime | None


class PasskeyRefused(AppError):
    """The answer is not that of a passkey of ours to the challenge that was asked."""

    status = 403
    security_event = SecurityEvent.SIGN_IN_REFUSED

    def __init__(self) -> None:
        super().__init__("that passkey is not known here, or its answer came too late; try again")


def relying_party(request: Request) -> RelyingParty | None:
    """The host by its name. Browsers have no passkeys for an address of numbers: None."""
    settings: Settings = request.app.state.settings
    scheme = "https" if is_https(request) else "http"
    origin = settings.public_url or f"{scheme}://{request.headers.get('host', '')}"
    host = urlsplit(origin).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return RelyingParty(host, origin) if host else None
    return None


async def list_passkeys(tx: Tx, user_id: int) -> list[PasskeySummary]:
    """The user's passkeys, the oldest first."""
    columns = (PASSKEYS.c[name] for name in PasskeySummary._fields)
    found = select(*columns).where(PASSKEYS.c.user_id == user_id).order_by(PASSKEYS.c.id)
    return [PasskeySummary(*row) for row in await tx.execute(found)]


async def challenge_to_add(
    tx: Tx, user: UserRecord, party: RelyingParty, now: datetime
) -> Challenge:
    """The options by which the browser makes a passkey, which has to know its user by itself."""
    theirs = await tx.scalars(select(PASSKEYS.c.credential_id).where(PASSKEYS.c.user_id == user.id))
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name="Paydue",
        # A browser shows this to nobody; it tells two users of this host apart.
        user_id=sha256(f"paydue user {user.id}".encode()).digest(),
        user_name=user.login,
        user_display_name=user.name,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in theirs
        ],
    )
    token = await _issue(tx, Ceremony.ADD, options.challenge, now, user.id)
    return Challenge(webauthn.options_to_json(options), token)


async def challenge_to_show(
    tx: Tx, ceremony: Ceremony, party: RelyingParty, now: datetime, user_id: int | None = None
) -> Challenge:
    """The options by which the browser asks the person for a passkey of this host."""
    options = webauthn.generate_authentication_options(
        rp_id=party.id, user_verification=UserVerificationRequirement.REQUIRED
    )
    token = await _issue(tx, ceremony, options.challenge, now, user_id)
    return Challenge(webauthn.options_to_json(options), token)


async def add_passkey(
    tx: Tx, user: UserRecord, party: RelyingParty, token: str, credential: str, name: str, act: Act
) -> None:  # fmt: skip
    """The passkey that the browser made; or PasskeyRefused."""
    challenge = await _redeemed(tx, Ceremony.ADD, token, act.now, user.id)
    many = select(func.count()).select_from(PASSKEYS).where(PASSKEYS.c.user_id == user.id)
    if (await tx.scalar(many) or 0) >= PASSKEYS_MAX:
        raise Refused(f"there are {PASSKEYS_MAX} passkeys already; remove one first")
    try:
        made = webauthn.verify_registration_response(
            credential=_parsed(credential), expected_challenge=challenge, expected_rp_id=party.id,
            expected_origin=party.origin, require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, ValueError, TypeError, KeyError):
        raise PasskeyRefused from None
    values = {
        "user_id": user.id,
        "credential_id": bytes_to_base64url(made.credential_id),
        "public_key": made.credential_public_key,
        "sign_count": made.sign_count,
        "name": name.strip()[:_NAME_MAX] or "passkey",
        "created_at": act.now,
    }
    await tx.execute(insert(PASSKEYS).values(values))
    await record_user_event(tx, SecurityEvent.FACTOR_ADDED, user.id, act, "passkey")


async def user_of_passkey(
    tx: Tx, ceremony: Ceremony, party: RelyingParty, token: str, credential: str, now: datetime
) -> int:
    """The id of the user whose passkey has signed the challenge; or PasskeyRefused."""
    challenge = await _redeemed(tx, ceremony, token, now)
    try:
        given = _parsed(credential)
        row = (
            await tx.execute(
                select(PASSKEYS)
                .where(PASSKEYS.c.credential_id == str(given["id"]))
                .with_for_update()
            )
        ).one_or_none()
        if row is None:
            raise PasskeyRefused
        shown = webauthn.verify_authentication_response(
            credential=given, expected_challenge=challenge, expected_rp_id=party.id,
            expected_origin=party.origin, credential_public_key=row.public_key,
            credential_current_sign_count=row.sign_count, require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, ValueError, TypeError, KeyError):
        raise PasskeyRefused from None
    values = {"sign_count": shown.new_sign_count, "used_at": now}
    await tx.execute(update(PASSKEYS).where(PASSKEYS.c.id == row.id).values(values))
    user_id: int = row.user_id
    return user_id


async def remove_passkey(tx: Tx, user: UserRecord, passkey_id: int, act: Act) -> None:
    """The user's passkey opens nothing any more."""
    theirs = (PASSKEYS.c.id == passkey_id) & (PASSKEYS.c.user_id == user.id)
    if (await tx.execute(delete(PASSKEYS).where(theirs))).rowcount:
        await record_user_event(tx, SecurityEvent.FACTOR_REMOVED, user.id, act, "passkey")


async def remove_passkeys(tx: Tx, user: UserRecord) -> None:
    """None of the user's passkeys opens anything any more."""
    await tx.execute(delete(PASSKEYS).where(PASSKEYS.c.user_id == user.id))


async def _issue(
    tx: Tx, ceremony: Ceremony, challenge: bytes, now: datetime, user_id: int | None
) -> str:
    content = {"ceremony": ceremony, "challenge": bytes_to_base64url(challenge)}
    return await issue_one_time(
        tx, Purpose.PASSKEY, lasts=_CHALLENGE_LASTS, now=now, user_id=user_id, content=content
    )


async def _redeemed(
    tx: Tx, ceremony: Ceremony, token: str, now: datetime, user_id: int | None = None
) -> bytes:
    found = await redeem(tx, Purpose.PASSKEY, token, now)
    is_for_this = found is not None and found.content["ceremony"] == ceremony
    if found is None or not is_for_this or (user_id is not None and found.user_id != user_id):
        raise PasskeyRefused
    return base64url_to_bytes(found.content["challenge"])


def _parsed(credential: str) -> dict[str, object]:
    if len(credential) > _CREDENTIAL_MAX:
        raise PasskeyRefused
    found = json.loads(credential)
    if not isinstance(found, dict):
        raise PasskeyRefused
    return found

"""The authenticator app: time-based codes (RFC 6238), each good once, and recovery codes."""

import hmac
import re
import secrets
from base64 import b32encode
from datetime import datetime
from typing import NamedTuple

import pyotp
import segno
from markupsafe import Markup
from sqlalchemy import Table, delete, insert, or_, update

from app.console.people.sessions import USERS
from app.console.people.user_events import Act, record_user_event
from app.console.people.users import UserRecord
from app.halo.access.authenticator import hash_secret
from app.security_log import SecurityEvent
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.console_people import RecoveryCode

RECOVERY: Table = table_of(RecoveryCode)

_STEP_S = 30
# A phone's clock may be off by one step either way.
_DRIFT = (0, -1, 1)
_RECOVERY_CODES = 10
# 120 random bits each: more than anybody tries, so a fast hash is enough.
_RECOVERY_BYTES = 15


class Enrolment(NamedTuple):
    """The secret of an app that has not shown its first code, and how the app gets it."""

    secret: str
    picture: Markup


def has_app(user: UserRecord) -> bool:
    """Whether the user's sign-in asks for a code."""
    return user.totp_since is not None


async def begin_enrolment(tx: Tx, user: UserRecord) -> None:
    """A new secret, which counts once the app has shown a code of it."""
    values = {"totp_secret": pyotp.random_base32(), "totp_since": None, "totp_step": None}
    await tx.execute(update(USERS).where(USERS.c.id == user.id).values(values))


def pending_enrolment(user: UserRecord) -> Enrolment | None:
    """The secret as text and as a QR code, while it waits for its first code."""
    if user.totp_secret is None or has_app(user):
        return None
    uri = pyotp.TOTP(user.totp_secret).provisioning_uri(name=user.login, issuer_name="Paydue")
    picture = segno.make(uri, micro=False).svg_inline(
        scale=5, border=4, light="#fff", omitsize=False
    )
    return Enrolment(user.totp_secret, Markup(picture))  # noqa: S704  segno's own, of our text


async def confirm_enrolment(tx: Tx, user: UserRecord, code: str, now: datetime) -> list[str] | None:
    """The recovery codes, shown once, when the code is the new secret's; else None."""
    if user.totp_secret is None or has_app(user):
        return None
    step = _matching_step(user.totp_secret, code, now)
    if step is None:
        return None
    values = {"totp_since": now, "totp_step": step}
    await tx.execute(update(USERS).where(USERS.c.id == user.id).values(values))
    return await renew_recovery_codes(tx, user.id)


async def remove_app(tx: Tx, user: UserRecord, act: Act) -> None:
    """The sign-in asks for no code any more."""
    values = {"totp_secret": None, "totp_since": None, "totp_step": None}
    await tx.execute(update(USERS).where(USERS.c.id == user.id).values(values))
    await tx.execute(delete(RECOVERY).where(RECOVERY.c.user_id == user.id))
    await record_user_event(tx, SecurityEvent.FACTOR_REMOVED, user.id, act, "app")


async def renew_recovery_codes(tx: Tx, user_id: int) -> list[str]:
    """New recovery codes; the old ones open nothing any more."""
    await tx.execute(delete(RECOVERY).where(RECOVERY.c.user_id == user_id))
    codes = [_recovery_code() for _ in range(_RECOVERY_CODES)]
    rows = [{"code_hash": hash_secret(_plain(one)), "user_id": user_id} for one in codes]
    await tx.execute(insert(RECOVERY), rows)
    return codes


async def use_code(tx: Tx, user: UserRecord, code: str, now: datetime) -> str | None:
    """How the code was right, and it is used up; None when it is wrong or was used before."""
    if not has_app(user) or user.totp_secret is None:
        return None
    step = _matching_step(user.totp_secret, code, now)
    if step is not None:
        unused = or_(USERS.c.totp_step.is_(None), USERS.c.totp_step < step)
        used = update(USERS).where(USERS.c.id == user.id, unused).values(totp_step=step)
        return "authenticator app" if (await tx.execute(used)).rowcount else None
    theirs = (RECOVERY.c.user_id == user.id) & (RECOVERY.c.code_hash == hash_secret(_plain(code)))
    return "recovery code" if (await tx.execute(delete(RECOVERY).where(theirs))).rowcount else None


def _matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The step of 30 seconds whose code it is, of those near now."""
    given = re.sub(r"\s", "", code)
    step = int(now.timestamp()) // _STEP_S
    totp = pyotp.TOTP(secret)
    for one in (step + drift for drift in _DRIFT):
        if hmac.compare_digest(totp.generate_otp(one).encode(), given.encode()):
            return one
    return None


def _recovery_code() -> str:
    text = b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(re.findall("....", text))


def _plain(code: str) -> str:
    return re.sub(r"[\s-]", "", code).lower()

"""Users of the console: added, given a role and links, disabled. Each change is an act that is
written down, and takes away what it makes invalid."""

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import available_timezones

from sqlalchemy import Table, func, insert, select, update

from app.console.language import BY_BROWSER, LANGUAGES
from app.console.people.one_time_tokens import Purpose, issue_one_time, revoke_one_time
from app.console.people.roles import Role
from app.console.people.sessions import USERS, end_sessions
from app.console.people.user_events import USER_EVENTS, Act, record_user_event
from app.control_characters import escape_controls
from app.errors import InvalidField, NotFound, Refused
from app.security_log import SecurityEvent
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.console_people import Passkey

PASSKEYS: Table = table_of(Passkey)

# Long enough for a message to be read, too short to be found in a mailbox next week.
LINK_LASTS = timedelta(hours=24)
NAME_MAX = 200
THEMES = ("auto", "light", "dark")


class UserRecord(NamedTuple):
    """A user, with everything that a sign-in asks for."""

    id: int
    login: str
    name: str
    role: Role
    timezone: str | None
    locale: str
    theme: str
    password_hash: str | None
    totp_secret: str | None
    totp_since: datetime | None
    totp_step: int | None
    disabled_at: datetime | None


class UserSummary(NamedTuple):
    """A user as the list of them shows one."""

    login: str
    name: str
    role: str
    has_password: bool
    has_totp: bool
    passkeys: int
    created_at: datetime
    disabled_at: datetime | None
    signed_in_at: datetime | None
    last_act: str | None
    last_act_at: datetime | None
    last_act_by: str | None


async def add_user(tx: Tx, login: str, *, name: str, role: Role, act: Act) -> int:
    """The new user's id. Nobody can sign in as them before they have a link or a password."""
    login = normalize_login(login)
    shown = _checked("name", name.strip() or login)
    if await tx.scalar(select(USERS.c.id).where(USERS.c.login == login)) is not None:
        raise Refused(f"there is a user {login} already")
    values = {
        "login": login, "name": shown, "role": role, "created_at": act.now, "locale": BY_BROWSER,
        "theme": "auto",
    }  # fmt: skip
    user_id = await tx.scalar(insert(USERS).values(values).returning(USERS.c.id))
    assert isinstance(user_id, int), "the insert answers the new id"
    await record_user_event(tx, SecurityEvent.USER_ADDED, user_id, act, f"role {role}")
    return user_id


def normalize_login(login: str) -> str:
    """The name to sign in with: lower case, without blanks."""
    plain = _checked("login", login.strip().lower())
    if not plain or any(map(str.isspace, plain)):
        raise InvalidField("login", "give a name or an e-mail address, without blanks")
    return plain


async def find_user(tx: Tx, login: str) -> UserRecord | None:
    """The user of this name, also a disabled one."""
    return await _find(tx, USERS.c.login == login.strip().lower())


async def load_user(tx: Tx, login: str) -> UserRecord:
    """The user of this name, or NotFound."""
    found = await find_user(tx, login)
    if found is None:
        raise NotFound("user", login)
    return found


async def load_user_by_id(tx: Tx, user_id: int) -> UserRecord:
    found = await _find(tx, USERS.c.id == user_id)
    if found is None:
        raise NotFound("user", user_id)
    return found


async def has_users(tx: Tx) -> bool:
    """Whether anybody could sign in at all."""
    enabled = select(USERS.c.id).where(USERS.c.disabled_at.is_(None)).limit(1)
    return await tx.scalar(enabled) is not None


async def list_users(tx: Tx) -> list[UserSummary]:
    """All users there ever were, by name, with the last act by or on each."""
    newest = select(func.max(USER_EVENTS.c.id)).group_by(USER_EVENTS.c.user_id)
    last = select(USER_EVENTS).where(USER_EVENTS.c.id.in_(newest)).subquery()
    signed_in = (
        select(func.max(USER_EVENTS.c.at))
        .where(USER_EVENTS.c.user_id == USERS.c.id)
        .where(USER_EVENTS.c.kind == str(SecurityEvent.SIGNED_IN))
        .scalar_subquery()
    )
    passkeys = (
        select(func.count())
        .select_from(PASSKEYS)
        .where(PASSKEYS.c.user_id == USERS.c.id)
        .scalar_subquery()
    )
    found = await tx.execute(
        select(
            USERS.c.login, USERS.c.name, USERS.c.role, USERS.c.password_hash.is_not(None),
            USERS.c.totp_since.is_not(None), passkeys, USERS.c.created_at, USERS.c.disabled_at,
            signed_in, last.c.kind, last.c.at, last.c.by,
        )
        .outerjoin(last, last.c.user_id == USERS.c.id)
        .order_by(USERS.c.login)
    )  # fmt: skip
    return [UserSummary(*row) for row in found]


async def change_role(tx: Tx, user: UserRecord, role: Role, act: Act) -> None:
    """The user signs in anew: a page that was open for the old role is not one for the new."""
    if user.role == role:
        return
    await _keep_an_admin(tx, user, is_admin=role == Role.ADMIN)
    await tx.execute(update(USERS).where(USERS.c.id == user.id).values(role=role))
    await end_sessions(tx, user.id)
    await record_user_event(tx, SecurityEvent.ROLE_CHANGED, user.id, act, f"{user.role} to {role}")


async def disable_user(tx: Tx, user: UserRecord, act: Act) -> None:
    """The user is out at once, on every node, and nothing of theirs opens anything."""
    await _keep_an_admin(tx, user, is_admin=False)
    await tx.execute(update(USERS).where(USERS.c.id == user.id).values(disabled_at=act.now))
    await end_sessions(tx, user.id)
    for purpose in Purpose:
        await revoke_one_time(tx, user.id, purpose)
    await record_user_event(tx, SecurityEvent.USER_DISABLED, user.id, act)


async def enable_user(tx: Tx, user: UserRecord, act: Act) -> None:
    await tx.execute(update(USERS).where(USERS.c.id == user.id).values(disabled_at=None))
    await record_user_event(tx, SecurityEvent.USER_ENABLED, user.id, act)


async def set_password_hash(tx: Tx, user_id: int, password_hash: str, act: Act) -> None:
    """The user's new password. Links that were sent before open nothing any more."""
    values = {"password_hash": password_hash, "password_set_at": act.now}
    await tx.execute(update(USERS).where(USERS.c.id == user_id).values(values))
    await revoke_one_time(tx, user_id, Purpose.LINK)
    await revoke_one_time(tx, user_id, Purpose.SECOND_FACTOR)
    await record_user_event(tx, SecurityEvent.PASSWORD_CHANGED, user_id, act)


async def change_profile(
    tx: Tx, user_id: int, *, name: str, timezone: str | None, theme: str, locale: str
) -> None:
    """How the console shows itself to this person. `timezone` is an IANA name or None.

    `locale` is one of LANGUAGES, or `auto` for what the browser asks for.
    """
    if locale not in (BY_BROWSER, *LANGUAGES):
        raise InvalidField("locale", f"is one of {', '.join((BY_BROWSER, *LANGUAGES))}")
    if theme not in THEMES:
        raise InvalidField("theme", f"is one of {', '.join(THEMES)}")
    if timezone is not None and timezone not in available_timezones():
        raise InvalidField("timezone", "is not an IANA time zone, such as Europe/Berlin")
    values = {
        "name": _checked("name", name.strip()), "timezone": timezone, "theme": theme,
        "locale": locale,
    }  # fmt: skip
    if not values["name"]:
        raise InvalidField("name", "is empty")
    await tx.execute(update(USERS).where(USERS.c.id == user_id).values(values))


async def issue_link(tx: Tx, user: UserRecord, act: Act, following: str | None = None) -> str:
    """The path of a page that signs the user in, once. An older link opens nothing any more.

    It leads on to the path `following`, or to the password's page for those who have none.
    """
    if user.disabled_at is not None:
        raise Refused(f"{user.login} is disabled")
    await revoke_one_time(tx, user.id, Purpose.LINK)
    following = following or ("/" if user.password_hash else "/account/password")
    token = await issue_one_time(
        tx, Purpose.LINK, lasts=LINK_LASTS, now=act.now, user_id=user.id,
        content={"following": following},
    )  # fmt: skip
    await record_user_event(tx, SecurityEvent.LINK_ISSUED, user.id, act)
    return f"/sign-in/link?token={token}"


async def _find(tx: Tx, condition: object) -> UserRecord | None:
    columns = (USERS.c[name] for name in UserRecord._fields)
    row = (await tx.execute(select(*columns).where(condition))).one_or_none()  # type: ignore[arg-type]
    return UserRecord(*row)._replace(role=Role(row.role)) if row else None


async def _keep_an_admin(tx: Tx, user: UserRecord, *, is_admin: bool) -> None:
    """Without an admin nobody could manage users in the console."""
    if is_admin or user.role != Role.ADMIN or user.disabled_at is not None:
        return
    others = await tx.scalar(
        select(USERS.c.id)
        .where(USERS.c.role == Role.ADMIN, USERS.c.disabled_at.is_(None), USERS.c.id != user.id)
        .limit(1)
    )
    if others is None:
        raise Refused(f"{user.login} is the last admin; make somebody else one first")


def _checked(field: str, value: str) -> str:
    if len(value) > NAME_MAX:
        raise InvalidField(field, f"is longer than {NAME_MAX} characters")
    if escape_controls(value) != value:
        raise InvalidField(field, "has a character that is not shown")
    return value

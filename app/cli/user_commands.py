"""The commands on the console's users: user add, list, role, link, password, and more."""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.setup_commands import open_upgraded, operator
from app.cli.terminal import console, moment, say, say_json, table
from app.console.people import passwords, users
from app.console.people.authenticator_app import remove_app
from app.console.people.roles import DUTIES, Role
from app.console.people.sessions import end_sessions
from app.console.people.user_events import Act
from app.console.people.users import UserSummary
from app.settings import Settings
from app.storage.engines import Tx

T = TypeVar("T")

_ROLES = click.Choice([str(role) for role in Role])
# Where `paydue serve` listens unless it is told otherwise.
_HERE = "http://127.0.0.1:8000"


@click.group()
def user() -> None:
    """Say who may use the console, and as what."""


@user.command("add")
@click.argument("login")
@click.option("--name", default="", help="The name that others see; LOGIN without it.")
@click.option("--role", required=True, type=_ROLES, help="; ".join(
    f"{role} {duty}" for role, duty in DUTIES.items()) + ".")  # fmt: skip
def user_add(login: str, name: str, role: str) -> None:
    """Add the person who signs in as LOGIN, and print a link that signs them in once."""

    async def work(tx: Tx, act: Act) -> str:
        await users.add_user(tx, login, name=name, role=Role(role), act=act)
        return await users.issue_link(tx, await users.load_user(tx, login), act)

    _say_link(*_done(work))


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def user_list(as_json: bool) -> None:
    """Show who may use the console, how they sign in, and the last act by or on each."""
    settings = settings_and_logs()

    async def work() -> list[UserSummary]:
        async with open_upgraded(settings) as database, database.snapshot() as tx:
            return await users.list_users(tx)

    found = run(work())
    if as_json:
        say_json([one._asdict() for one in found])
        return
    rows = (
        (
            one.login,
            one.name,
            "disabled" if one.disabled_at else one.role,
            _factors(one),
            moment(one.signed_in_at),
            f"{one.last_act} by {one.last_act_by}" if one.last_act else "",
            moment(one.last_act_at),
        )
        for one in found
    )
    columns = ("login", "name", "role", "signs in by", "last sign-in", "last act", "at")
    console().print(table(f"users ({len(found)})", columns, rows))


@user.command("role")
@click.argument("login")
@click.argument("role", type=_ROLES)
def user_role(login: str, role: str) -> None:
    """Give a user another ROLE. Their sessions end, and they sign in anew."""

    async def work(tx: Tx, act: Act) -> None:
        await users.change_role(tx, await users.load_user(tx, login), Role(role), act)

    _done(work)
    say(f"{login} is {role}")


@user.command("link")
@click.argument("login")
def user_link(login: str) -> None:
    """Print a link that signs LOGIN in once: for a first or a forgotten password."""

    async def work(tx: Tx, act: Act) -> str:
        return await users.issue_link(tx, await users.load_user(tx, login), act)

    _say_link(*_done(work))


@user.command("password")
@click.argument("login")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from the standard input.")
def user_password(login: str, from_stdin: bool) -> None:
    """Set a password that is asked for without showing it. A link spares knowing it: user link."""
    given = _asked_password(from_stdin)

    async def work(tx: Tx, act: Act) -> None:
        user = await users.load_user(tx, login)
        passwords.check_strength(given, [user.login, user.name])
        password_hash = await passwords.hash_password(given)
        await users.set_password_hash(tx, user.id, password_hash, act)
        await end_sessions(tx, user.id)

    _done(work)
    say(f"{login} has a new password; their sessions have ended")


@user.command("reset-totp")
@click.argument("login")
def user_reset_totp(login: str) -> None:
    """Ask LOGIN for no code any more: for a lost phone, and after you made sure who asks."""

    async def work(tx: Tx, act: Act) -> None:
        await remove_app(tx, await users.load_user(tx, login), act)

    _done(work)
    say(f"{login} signs in without an authenticator app")


@user.command("disable")
@click.argument("login")
def user_disable(login: str) -> None:
    """Let a user in no more: sessions and links end at once. What they did stays written down."""

    async def work(tx: Tx, act: Act) -> None:
        await users.disable_user(tx, await users.load_user(tx, login), act)

    _done(work)
    say(f"{login} is disabled")


@user.command("enable")
@click.argument("login")
def user_enable(login: str) -> None:
    """Let a user in again that was disabled."""

    async def work(tx: Tx, act: Act) -> None:
        await users.enable_user(tx, await users.load_user(tx, login), act)

    _done(work)
    say(f"{login} is enabled")


def _asked_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    asked: str = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    return asked


def _done(work: Callable[[Tx, Act], Awaitable[T]]) -> tuple[Settings, T]:
    """The settings, and the result of the work in a transaction as the operator's act."""
    settings = settings_and_logs()

    async def act() -> T:
        async with open_upgraded(settings) as database, database.transaction() as tx:
            return await work(tx, Act(f"{operator()} at a shell", datetime.now(UTC)))

    return settings, run(act())


def _say_link(settings: Settings, path: str) -> None:
    say(f"{settings.public_url or _HERE}{path}")
    hours = users.LINK_LASTS.total_seconds() / 3600
    say(f"This link signs in once, within {hours:.0f} hours. Give it to nobody else.", err=True)


def _factors(one: UserSummary) -> str:
    several = (
        ("password", one.has_password),
        ("authenticator app", one.has_totp),
        (f"{one.passkeys} passkeys", one.passkeys),
    )
    return ", ".join(name for name, has in several if has) or "a link only"

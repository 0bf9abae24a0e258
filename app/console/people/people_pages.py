"""The page on which admins manage users: add, change a role, make a link, disable, enable."""

from starlette.requests import Request
from starlette.responses import Response

from app.console.people import authenticator_app, users
from app.console.people.passkeys import remove_passkeys
from app.console.people.roles import DUTIES, Role
from app.console.people.sign_in import act_of
from app.console.rendering import render
from app.console.routing import Viewer, redirect
from app.errors import InvalidField, Refused
from app.settings import Settings
from app.storage.engines import Database, Tx


async def show_people(request: Request, viewer: Viewer) -> Response:
    return await _people(request, viewer)


async def change_people(request: Request, viewer: Viewer) -> Response:
    """`act` is add, role, link, disable, enable or factors; `login` says whose."""
    database: Database = request.app.state.database
    form = request.state.form
    try:
        async with database.transaction() as tx:
            link = await _change(tx, request, viewer, form.get("act", ""))
    except (InvalidField, Refused) as error:
        return await _people(request, viewer, error=error.message)
    if link is None:
        return redirect("/people")
    return await _people(request, viewer, link=_address(request) + link, login=form.get("login"))


async def _change(tx: Tx, request: Request, viewer: Viewer, wanted: str) -> str | None:
    """The link to show once, where the act makes one."""
    form = request.state.form
    login, act = form.get("login", ""), act_of(request, viewer.login)
    if wanted == "add":
        await users.add_user(
            tx, login, name=form.get("name", ""), role=_role(form.get("role", "")), act=act
        )
    user = await users.load_user(tx, login)
    if user.id == viewer.user_id and wanted in ("role", "disable"):
        raise Refused("another admin changes your own role")
    match wanted:
        case "add" | "link":
            return await users.issue_link(tx, user, act)
        case "role":
            await users.change_role(tx, user, _role(form.get("role", "")), act)
        case "disable":
            await users.disable_user(tx, user, act)
        case "enable":
            await users.enable_user(tx, user, act)
        case "factors":
            await authenticator_app.remove_app(tx, user, act)
            await remove_passkeys(tx, user)
    return None


def _role(given: str) -> Role:
    try:
        return Role(given)
    except ValueError:
        raise InvalidField("role", f"is one of {', '.join(Role)}") from None


def _address(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return settings.public_url or str(request.base_url).rstrip("/")


async def _people(
    request: Request, viewer: Viewer, *, error: str | None = None, link: str | None = None,
    login: str | None = None,
) -> Response:  # fmt: skip
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        found = await users.list_users(tx)
    return render(
        request, viewer, "people/people.html", status=400 if error else 200, error=error,
        people=found, duties=DUTIES, link=link, login=login,
    )  # fmt: skip

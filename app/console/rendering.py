"""How a page becomes HTML: Jinja2, with every value escaped."""

from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.console.language import (
    current_language,
    load_catalogues,
    separators,
    template_gettext,
    template_ngettext,
    visible,
)
from app.control_characters import escape_lines
from app.settings import Settings

if TYPE_CHECKING:
    from app.console.routing import Viewer

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


def static_url(name: str) -> str:
    """The address of a file of `static`; it carries the file's hash, so that it is loaded once."""
    return f"/static/{name}?{static_file(name)[1]}"


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """The content of a file of `static` and the hash of it."""
    content = (STATIC / name).read_bytes()
    return content, sha256(content).hexdigest()[:16]


def _lines(text: str) -> Markup:
    """The same for a text of several lines."""
    return escape(escape_lines(text))


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=visible,
    extensions=["jinja2.ext.i18n"],
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
# Jinja2's own functions of the catalogue would escape a value, and not what steers in it.
_ENVIRONMENT.globals |= {
    "_": template_gettext, "gettext": template_gettext, "ngettext": template_ngettext,
}  # fmt: skip
_ENVIRONMENT.extend(newstyle_gettext=True)
load_catalogues()
_ENVIRONMENT.globals["static_url"] = static_url
_ENVIRONMENT.globals["lines"] = _lines


def _moment(at: datetime, viewer: "Viewer") -> str:
    """`2026-11-22 10:30 CET`, in the viewer's time zone."""
    return at.astimezone(ZoneInfo(viewer.timezone)).strftime("%Y-%m-%d %H:%M %Z")


_ENVIRONMENT.filters["moment"] = _moment


def render(
    request: Request, viewer: "Viewer | None", template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """The page that a template makes of the values.

    Every template also has `viewer` (None before the sign-in), `path`, `csrf_token` for the macro
    `csrf_field`, `is_live`, `language`, its `separators`, and `base`, the layout to extend.
    """
    settings: Settings = request.app.state.settings
    html = _ENVIRONMENT.get_template(template).render(
        values,
        viewer=viewer,
        path=request.url.path,
        csrf_token=getattr(request.state, "csrf_token", ""),
        is_live=settings.livemode,
        language=current_language(),
        separators=separators(current_language()),
        base="layout.html" if viewer else "bare.html",
    )
    return HTMLResponse(html, status)

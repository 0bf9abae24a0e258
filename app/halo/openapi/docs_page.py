"""The API's documentation: the OpenAPI document, and a page that shows it, without any network."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from app.errors import NotFound
from app.halo.engine import json_schema
from app.halo.engine.responses import json_response
from app.halo.openapi.document import document
from app.halo.openapi.operations import Operation

_STATIC = Path(__file__).parent / "static"
_FILES = {"docs.css": "text/css", "docs.js": "text/javascript"}
# The page needs nothing from anywhere else, and must not load it.
_POLICY = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:"}
_TAG = "Documentation"


async def openapi_json(request: Request) -> Response:
    """Put together when it is first asked for: by then every route is there."""
    state = request.app.state
    if not hasattr(state, "openapi"):
        state.openapi = document(request.app.routes)
    return json_response(state.openapi)


async def page(_: Request) -> Response:
    return FileResponse(_STATIC / "docs.html", media_type="text/html", headers=_POLICY)


async def page_file(request: Request) -> Response:
    name = request.path_params["file"]
    if name not in _FILES:
        raise NotFound("file", name)
    return FileResponse(_STATIC / name, media_type=_FILES[name])


OPENAPI_JSON = Operation(
    summary="This document",
    tag=_TAG,
    right=None,
    gives={"type": "object", "required": ["openapi", "paths"]},
    refusals=(),
)

PAGE = Operation(
    summary="This document as a page for people",
    tag=_TAG,
    right=None,
    gives=json_schema.TEXT,
    gives_type="text/html",
    refusals=(),
)

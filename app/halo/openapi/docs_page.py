"""The API's documentation: the OpenAPI document, and Swagger UI to read and try it with.

The page works without any network but ours: Swagger UI is served from this folder.
"""

import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.errors import NotFound
from app.halo.engine import json_schema
from app.halo.engine.responses import json_response
from app.halo.openapi.document import document
from app.halo.openapi.operations import Operation

_STATIC = Path(__file__).parent / "static"
_SWAGGER_UI = _STATIC / "swagger-ui"
_FILES = {
    "swagger-ui.css": (_SWAGGER_UI / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (_SWAGGER_UI / "swagger-ui-bundle.js", "text/javascript"),
    "docs.css": (_STATIC / "docs.css", "text/css"),
    "docs.js": (_STATIC / "docs.js", "text/javascript"),
}
# The page loads nothing from another host, sends nothing to one, and runs no script but its own,
# whatever the document says. Icons of Swagger UI are data: URLs in its style sheet.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# The page asks for each file by its hash, so a browser loads the 1.7 MB of Swagger UI once.
_FOREVER = "public, max-age=31536000, immutable"
_TAG = "Documentation"


async def openapi_json(request: Request) -> Response:
    """The document is made at the first request for it: by then every route is there.

    It is kept as it is sent, so that however many ask for it, it is there once.
    """
    state = request.app.state
    if not hasattr(state, "openapi"):
        state.openapi = bytes(json_response(document(request.app.routes)).body)
    return Response(state.openapi, media_type="application/json")


async def page(_: Request) -> Response:
    return HTMLResponse(_html(), headers=_PAGE_HEADERS)


async def page_file(request: Request) -> Response:
    """One of the page's files. Only the hash's own content is cached for good: while nodes of two
    versions serve side by side, one may be asked for the other's."""
    name = request.path_params["file"]
    if name not in _FILES:
        raise NotFound("file", name)
    content, digest = _file(name)
    headers = {
        "Cache-Control": _FOREVER if request.url.query == digest else "no-cache",
        "ETag": f'"{digest}"',
        "X-Content-Type-Options": "nosniff",
    }
    if digest in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_FILES[name][1])


@cache
def _html() -> str:
    """The page; its links carry their files' hashes."""
    return re.sub(
        r'"docs/([^"]+)"',
        lambda link: f'"docs/{link[1]}?{_file(link[1])[1]}"',
        (_STATIC / "docs.html").read_text(),
    )


@cache
def _file(name: str) -> tuple[bytes, str]:
    """The content of a file and the hash of it."""
    content = _FILES[name][0].read_bytes()
    return content, sha256(content).hexdigest()[:16]


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

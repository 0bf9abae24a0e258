"""GET /static/NAME: the console's style sheets, scripts and pictures."""

import gzip
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from app.console.rendering import STATIC, static_file
from app.errors import NotFound

_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
}
# Pages ask for each file by its hash, so a browser loads it once a version.
_FOREVER = "public, max-age=31536000, immutable"


async def serve_static(request: Request) -> Response:
    """One file. Only the hash's own content is cached for good: while nodes of two versions serve
    side by side, one may be asked for the other's."""
    name: str = request.path_params["name"]
    media_type = _TYPES.get(name[name.rfind(".") :])
    if media_type is None or name not in _names():
        raise NotFound("file", name)
    content, digest = static_file(name)
    headers = {
        "Cache-Control": _FOREVER if request.url.query == digest else "no-cache",
        "ETag": f'"{digest}"',
    }
    if digest in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    if media_type.startswith("text/") or media_type == "image/svg+xml":
        headers["Vary"] = "Accept-Encoding"
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            content = _compressed(name)
    return Response(content, headers=headers, media_type=media_type)


@cache
def _compressed(name: str) -> bytes:
    """Files alone are compressed, never a page: its length would tell of what stands in it."""
    return gzip.compress(static_file(name)[0], mtime=0)


def _names() -> set[str]:
    """The files there are. A name that is asked for is looked up here, never joined to a path."""
    return {path.name for path in STATIC.iterdir() if path.is_file()}

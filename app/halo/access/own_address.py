"""The address by which others reach this installation: of the settings, never of the request.

A request's Host is whatever its sender writes. An address that is made of it would lead customers,
or those who send secrets, to whoever has forged it.
"""

from starlette.requests import Request

from app.errors import Unavailable
from app.settings import Settings, is_loopback


class PublicUrlMissing(Unavailable):
    """Nobody has said by which address others reach this installation."""


def own_address(request: Request) -> str:
    """PAYDUE_PUBLIC_URL; without it PublicUrlMissing, but for a caller of this machine.

    Such a caller is told where this process listens.
    """
    settings: Settings = request.app.state.settings
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host, port = request.scope["server"]
    asked = request.url.hostname or ""
    if not (is_loopback(host) and is_loopback(asked)):
        raise PublicUrlMissing(
            "PAYDUE_PUBLIC_URL is not set, so nobody elsewhere can be told the address of this "
            "installation; a request's Host may be forged"
        )
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

"""Several hosts in a URL of PostgreSQL, and the options that providers append for libpq."""

import re

from sqlalchemy.engine import URL

from app.errors import ConfigurationError

_SEVERAL = re.compile(r"(postgres\w*(?:\+\w+)?://)([^/?#]*@)?([^/?#@]*,[^/?#@]*)(/[^?#]*)?(\?.*)?")
_PORT = "5432"
# Ours are fixed, so that a caller is told in time, or asyncpg has no such thing.
_LEFT_OUT = ("application_name", "connect_timeout", "gssencmode", "channel_binding")


def hosts_as_options(url: str) -> str:
    """libpq's `//user@a:1,b/db` in SQLAlchemy's form, `//user@/db?host=a:1&host=b:5432`."""
    found = _SEVERAL.fullmatch(url)
    if found is None:
        return url
    scheme, user, hosts, path, query = (part or "" for part in found.groups())
    named = (one if re.search(r":\d+$", one) else f"{one}:{_PORT}" for one in hosts.split(","))
    several = "&".join(f"host={one}" for one in named)
    return f"{scheme}{user}{path or '/'}?{several}{query.replace('?', '&', 1)}"


def primary_of(url: URL) -> URL:
    """The URL without libpq's options that change nothing here, and asking for the primary.

    `read-write` is asked of the session, and our readers' sessions are read-only by our own
    setting: with it no host would ever match.
    """
    if url.query.get("channel_binding") == "require":
        raise ConfigurationError(
            "PAYDUE_DATABASE_URL: channel_binding=require is not possible; leave it out, "
            "sslmode=verify-full keeps others from answering in the server's place"
        )
    bare = url.difference_update_query(_LEFT_OUT)
    if bare.query.get("target_session_attrs") == "read-write":
        return bare.update_query_dict({"target_session_attrs": "primary"})
    return bare


def hosts_of(url: URL) -> list[str]:
    """The names of the hosts, or the paths of their sockets; `localhost` where none is named."""
    named = url.query.get("host", ())
    several = [named] if isinstance(named, str) else list(named)
    names = [one if one.startswith("/") else re.sub(r":\d+$", "", one) for one in several]
    return [one.strip("[]") for one in names] or [url.host or "localhost"]

"""URLs of PostgreSQL as providers hand them out."""

import pytest
from sqlalchemy import make_url, text

from app.errors import ConfigurationError
from app.storage.engines import Database, normalize_url
from app.storage.postgres_hosts import hosts_of, primary_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("given", "hosts", "more"),
    [
        ("postgresql://u:p@a:1,b:2/db", ("a:1", "b:2"), {}),
        ("postgres://u@a,b/db?sslmode=require", ("a:5432", "b:5432"), {"sslmode": "require"}),
        ("postgresql://a,[::1]:7/db", ("a:5432", "[::1]:7"), {}),
    ],
)
def test_several_hosts_are_read_as_libpq_reads_them(
    given: str, hosts: tuple[str, ...], more: dict[str, str]
) -> None:
    url = normalize_url(given)

    assert url.query == {"host": hosts, **more}
    assert (url.host, url.database) == (None, "db")


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("postgresql://db.internal/x", ["db.internal"]),
        ("postgresql://127.0.0.1,db.internal:7/x", ["127.0.0.1", "db.internal"]),
        ("postgresql://[::1]:7,a/x", ["::1", "a"]),
        ("postgresql:///x?host=/run/postgresql", ["/run/postgresql"]),
        ("postgresql:///x", ["localhost"]),
    ],
)
def test_every_host_is_named(given: str, hosts: list[str]) -> None:
    assert hosts_of(normalize_url(given)) == hosts


def test_one_host_and_a_password_with_a_comma_stay_as_they_are() -> None:
    url = normalize_url("postgresql://u:p,q@a/db")

    assert (url.host, url.password) == ("a", "p,q")


def test_options_of_libpq_that_change_nothing_are_left_out() -> None:
    url = make_url(
        "postgresql://a/db?application_name=x&connect_timeout=10&channel_binding=prefer"
        "&target_session_attrs=read-write"
    )

    assert primary_of(url).query == {"target_session_attrs": "primary"}
    with pytest.raises(ConfigurationError, match="channel_binding"):
        primary_of(make_url("postgresql://a/db?channel_binding=require"))


async def test_the_primary_is_found_behind_a_host_that_is_away(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        return
    url = make_url(database_url)
    several = (
        f"postgresql://{url.username}@127.0.0.1:9,127.0.0.1:{url.port}/{url.database}"
        "?target_session_attrs=read-write&application_name=tests&connect_timeout=10"
    )

    database = Database(several)
    try:
        async with database.snapshot() as reading:
            name = await reading.scalar(text("SHOW application_name"))
        async with database.transaction() as writing:
            found = await writing.scalar(text("SELECT pg_is_in_recovery()"))
    finally:
        await database.close()

    assert (name, found) == ("tests", False)

"""A server that cannot start says why, and leaves nothing open."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app import serving
from app.errors import DatabaseUnavailable
from app.node import Node, open_node
from app.settings import Settings
from tests.harness import settings_for

pytestmark = pytest.mark.anyio


async def test_a_node_that_fails_once_it_is_open_is_closed(
    database_url: str, stripe_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def watched(settings: Settings) -> AsyncIterator[Node]:
        async with open_node(settings) as node:
            seen.append("open")
            yield node
        seen.append("closed")

    async def away(_: object) -> None:
        raise DatabaseUnavailable("the database is away")

    async def began() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def said(message: Any) -> None:
        seen.append(message["type"])

    monkeypatch.setattr(serving, "open_node", watched)
    monkeypatch.setattr(serving, "say_how_to_sign_in", away)
    app = serving.NodeApplication(settings_for(database_url, stripe_url))
    await app({"type": "lifespan"}, began, said)

    assert seen == ["open", "closed", "lifespan.startup.failed"]

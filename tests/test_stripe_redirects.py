"""A redirect of Stripe's address is followed nowhere: the key and a payment's parameters stay."""

import pytest
from starlette.types import Receive, Scope, Send

from app.node import open_stripe_node
from app.payments.stripe.gateway import NoAnswer
from app.sandbox.transport import asgi_server
from tests.edge.observer import Observer, live
from tests.harness import settings_for

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # it is not asked
async def test_a_redirect_is_no_answer_and_nothing_is_sent_to_where_it_leads(
    database_url: str, status: int
) -> None:
    elsewhere, asked = Observer(), 0
    async with elsewhere.served() as port:

        async def redirecting(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal asked
            if scope["type"] == "lifespan":
                await live(receive, send)
                return
            asked += 1
            to = f"http://127.0.0.1:{port}{scope['path']}".encode()
            headers = [(b"location", to), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

        async with asgi_server.serve(redirecting, 0, "127.0.0.1") as url:
            settings = settings_for(database_url, url)
            async with open_stripe_node(settings) as node:
                with pytest.raises(NoAnswer):
                    await node.gateway.create({"amount": 100, "currency": "usd"}, "key")

    assert asked >= 1
    assert elsewhere.seen == []

"""The sandbox's objects have the fields and JSON types that Stripe's own mock server has."""

from typing import Any

import aiohttp
import pytest

from app.sandbox.server import Sandbox

pytestmark = pytest.mark.anyio

AUTH = {"Authorization": "Bearer sk_test_123"}
INTENT = "amount=1000&currency=usd"
SESSION = (
    "mode=payment&success_url=https://example.com&line_items[0][price_data][currency]=usd"
    "&line_items[0][price_data][unit_amount]=1000&line_items[0][price_data][product_data][name]=x"
    "&line_items[0][quantity]=1"
)
LINK = (
    "line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=1000"
    "&line_items[0][price_data][product_data][name]=x&line_items[0][quantity]=1"
)
CALLS = [
    ("GET", "/v1/account", ""),
    ("POST", "/v1/customers", "email=a@example.com"),
    ("GET", "/v1/customers", ""),
    ("GET", "/v1/customers/{customer}", ""),
    ("POST", "/v1/customers/{customer}", "name=A"),
    ("GET", "/v1/customers/{customer}/payment_methods", ""),
    ("POST", "/v1/payment_methods", "type=card&card[token]=tok_visa"),
    ("GET", "/v1/payment_methods?customer={customer}", ""),
    ("GET", "/v1/payment_methods/{method}", ""),
    ("POST", "/v1/payment_methods/pm_card_visa/attach", "customer={customer}"),
    ("POST", "/v1/payment_methods/{method}", "metadata[a]=1"),
    ("POST", "/v1/payment_intents", INTENT),
    ("GET", "/v1/payment_intents", ""),
    ("GET", "/v1/payment_intents/{intent}", ""),
    ("POST", "/v1/payment_intents/{intent}", "description=x"),
    ("POST", "/v1/payment_intents/{open}/confirm", "payment_method={method}&off_session=true"),
    ("POST", "/v1/payment_intents/{open}/cancel", ""),
    ("GET", "/v1/charges", ""),
    ("GET", "/v1/charges/{charge}", ""),
    ("POST", "/v1/refunds", "payment_intent={intent}&amount=100"),
    ("GET", "/v1/refunds", ""),
    ("GET", "/v1/refunds/{refund}", ""),
    ("GET", "/v1/disputes", ""),
    ("GET", "/v1/disputes/{dispute}", ""),
    ("POST", "/v1/disputes/{dispute}", "evidence[uncategorized_text]=x"),
    ("POST", "/v1/disputes/{dispute}/close", ""),
    ("POST", "/v1/setup_intents", ""),
    ("GET", "/v1/setup_intents/{setup}", ""),
    (
        "POST",
        "/v1/setup_intents/{setup}/confirm",
        "payment_method={method}&return_url=https://example.com",
    ),
    ("POST", "/v1/setup_intents/{open_setup}/cancel", ""),
    ("GET", "/v1/mandates/{mandate}", ""),
    ("POST", "/v1/checkout/sessions", SESSION),
    ("GET", "/v1/checkout/sessions", ""),
    ("GET", "/v1/checkout/sessions/{session}", ""),
    ("POST", "/v1/checkout/sessions/{session}/expire", ""),
    ("GET", "/v1/balance", ""),
    ("GET", "/v1/balance_transactions", ""),
    ("GET", "/v1/balance_transactions/{transaction}", ""),
    ("POST", "/v1/payouts", "amount=100&currency=usd"),
    ("GET", "/v1/payouts", ""),
    ("GET", "/v1/payouts/{payout}", ""),
    ("POST", "/v1/payment_intents/{held}/capture", "amount_to_capture=700"),
    ("POST", "/v1/payment_links", LINK),
    ("GET", "/v1/payment_links", ""),
    ("GET", "/v1/payment_links/{link}", ""),
    ("POST", "/v1/payment_links/{link}", "active=false"),
    ("GET", "/v1/customers/{customer}/cash_balance", ""),
    (
        "POST",
        "/v1/test_helpers/customers/{customer}/fund_cash_balance",
        "amount=100&currency=usd",
    ),
    ("GET", "/v1/events", ""),
    ("GET", "/v1/events/{event}", ""),
    ("GET", "/v1/payment_intents/search?query=currency:'usd'", ""),
    ("DELETE", "/v1/customers/{customer}", ""),
]


async def asked(url: str, method: str, path: str, body: str) -> dict[str, Any]:
    headers = {**AUTH, "Content-Type": "application/x-www-form-urlencoded"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, data=body, headers=headers) as answer,
    ):
        content: dict[str, Any] = await answer.json()
        assert answer.status == 200, (path, content)
        return content


@pytest.fixture
async def ids(sandbox: Sandbox, url: str) -> dict[str, str]:
    """One object of each kind, in the state that the calls need."""
    sandbox.state.delays.availability = 0
    sandbox.add_customer("cus_1", payment_method="pm_1", mandate=True)
    sandbox.add_customer("cus_2", payment_method="pm_2", behaviour="bank_debit_succeeds")

    async def made(path: str, body: str) -> dict[str, Any]:
        return await asked(url, "POST", path, body)

    paying = f"{INTENT}&customer=cus_1&payment_method=pm_1&confirm=true&off_session=true"
    paid = await made("/v1/payment_intents", paying)
    other = await made("/v1/payment_intents", paying)
    payout = sandbox.bank.pay_out()
    await made("/v1/payment_intents", paying.replace("amount=1000", "amount=9000"))
    refund = sandbox.refund(paid["id"], 100)
    opened = await made("/v1/payment_intents", f"{INTENT}&customer=cus_1")
    setups = [await made("/v1/setup_intents", "customer=cus_1") for _ in range(2)]
    return {
        "customer": "cus_1",
        "method": "pm_1",
        "intent": paid["id"],
        "open": opened["id"],
        "charge": paid["latest_charge"],
        "refund": refund["id"],
        "dispute": sandbox.open_dispute(other["id"])["id"],
        "setup": setups[0]["id"],
        "open_setup": setups[1]["id"],
        "mandate": sandbox.state.instruments["pm_2"].mandate or "",
        "payout": payout["id"],
        "transaction": payout["balance_transaction"],
        "held": (await made("/v1/payment_intents", f"{paying}&capture_method=manual"))["id"],
        "link": (await made("/v1/payment_links", LINK))["id"],
        "session": (await made("/v1/checkout/sessions", SESSION))["id"],
        "event": sandbox.events[0]["id"],
    }


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=lambda part: str(part)[:60])
async def test_an_object_has_the_fields_and_types_of_stripe_mocks(
    sandbox: Sandbox,
    url: str,
    stripe_mock_url: str,
    ids: dict[str, str],
    method: str,
    path: str,
    body: str,
) -> None:
    if "search" in path:
        sandbox.clock.advance(3600)
    path, body = path.format(**ids), body.format(**ids)

    ours = await asked(url, method, path, body)
    theirs = await asked(stripe_mock_url, method, path, body)

    assert ours["object"] == theirs["object"]
    same_shape(path, ours, theirs)
    if isinstance(ours.get("data"), list):
        for mine, other in zip(ours["data"], theirs["data"], strict=False):
            same_shape(path, mine, other)


def same_shape(path: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys(), path
    same_types(path, ours, theirs)
    for name in ours.keys() - {"metadata", "data"}:
        if isinstance(ours[name], dict) and isinstance(theirs[name], dict):
            same_types(f"{path} {name}", ours[name], theirs[name])


def same_types(path: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name in ours.keys() & theirs.keys():
        mine, other = ours[name], theirs[name]
        if mine is not None and other is not None:
            assert type(mine) is type(other), f"{path} {name}: {mine!r} is not like {other!r}"

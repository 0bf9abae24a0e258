"""Who gets a token, and what a token opens."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.errors import NotFound
from app.halo.access.api_credentials import (
    create_credential,
    list_credentials,
    revoke_credential,
)
from app.halo.access.authenticator import REMEMBERED, REMEMBERED_MAX
from app.storage.tables.credentials import AccessToken, ApiCredential
from app.storage.tables.stripe_payments import StripePayment
from tests.api.client import Answer, Api
from tests.clock import NOW, Clock

pytestmark = pytest.mark.anyio


async def credentials(api: Api, *scopes: str) -> dict[str, str]:
    async with api.database.transaction() as tx:
        client_id, secret = await create_credential(tx, "another", scopes, NOW)
    return {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
    }


async def signed_in(api: Api, *scopes: str) -> None:
    form = await credentials(api, *scopes)
    await api.sign_in(form["client_id"], form["client_secret"])


async def refused(api: Api, **form: str) -> Answer:
    answer = await api.token(**form)
    assert answer.status >= 400
    return answer


async def test_credentials_buy_a_token_as_clients_decode_it(api: Api) -> None:
    form = await credentials(api, "all")

    answer = await api.token(**form, scope="all", tenant="acme")

    assert answer.status == 200
    token = answer.json
    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 3600
    assert type(token["expires_in"]) is int
    assert token["scope"].split() == ["all"]
    assert len(token["access_token"]) >= 43
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("wrong", [{"client_secret": "bad"}, {"client_id": "nobody"}])
async def test_wrong_credentials_are_answered_with_401_and_both_error_keys(
    api: Api, wrong: dict[str, str]
) -> None:
    answer = await refused(api, **{**await credentials(api, "all"), **wrong})

    assert answer.status == 401
    assert answer.json["error"] == "invalid_client"
    assert answer.json["error_description"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_secret": ""}, "invalid_request"),
        ({"client_id": "\0"}, "invalid_field"),
    ],
)
async def test_a_token_request_that_cannot_be_meant_is_told_why(
    api: Api, change: dict[str, str], code: str
) -> None:
    answer = await refused(api, **{**await credentials(api, "all"), **change})

    assert (answer.status, answer.json["error"]) == (400, code)


@pytest.mark.parametrize(
    ("owned", "wanted", "granted"),
    [
        (["all"], "read:invoices", "read:invoices"),
        (["read:invoices", "edit:customers"], "all", "edit:customers read:invoices"),
        (["edit:invoices"], "read:invoices", "read:invoices"),
        (["all"], "all:standard", "all"),
        (["all"], "", "all"),
        (["read:invoices"], "read:invoices read:tickets offline_access", "read:invoices"),
    ],
)
async def test_a_token_opens_what_was_wanted_and_owned(
    api: Api, owned: list[str], wanted: str, granted: str
) -> None:
    answer = await api.token(**await credentials(api, *owned), scope=wanted)

    assert answer.json["scope"] == granted


async def test_scopes_that_one_does_not_own_are_refused(api: Api) -> None:
    answer = await refused(api, **await credentials(api, "read:customers"), scope="edit:invoices")

    assert (answer.status, answer.json["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"},
                                    {"Authorization": "Basic abc"}])  # fmt: skip
async def test_without_a_good_token_the_api_answers_401_in_json(
    api: Api, header: dict[str, str]
) -> None:
    answer = await api.send("GET", "/api/Invoice", headers=header)

    assert answer.status == 401
    assert {"error", "error_description", "Message"} <= answer.json.keys()
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_scheme_is_read_in_any_case(api: Api) -> None:
    header = {"Authorization": api.headers["Authorization"].replace("Bearer", "bearer")}

    assert (await api.send("GET", "/api/Invoice", headers=header)).status == 200


async def test_a_token_expires(api: Api, clock: Clock) -> None:
    await api.get("/api/Invoice")

    clock.advance(seconds=3599)
    assert (await api.send("GET", "/api/Invoice")).status == 200
    clock.advance(seconds=1)
    assert (await api.send("GET", "/api/Invoice")).status == 401


async def test_revoked_credentials_are_soon_shut_out(api: Api, clock: Clock) -> None:
    await api.get("/api/Invoice")
    async with api.database.transaction() as tx:
        await tx.execute(update(ApiCredential).values(revoked_at=NOW))

    clock.now += REMEMBERED

    assert (await api.send("GET", "/api/Invoice")).status == 401


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("read:invoices", "GET", "/api/Invoice", 200),
        ("read:invoices", "POST", "/api/Invoice", 403),
        ("edit:invoices", "GET", "/api/Invoice", 200),
        ("edit:invoices", "POST", "/api/Invoice", 201),
        ("edit:invoices", "GET", "/api/Client", 403),
        ("read:customers", "GET", "/api/Client", 200),
        ("admin", "POST", "/api/Invoice", 201),
    ],
)
async def test_a_scope_opens_its_group_and_edit_opens_read(
    api: Api, scope: str, method: str, path: str, status: int
) -> None:
    await signed_in(api, scope)

    answer = await api.send(method, path, json=[{}] if method == "POST" else None)

    assert answer.status == status
    assert answer.json is not None


async def test_secrets_and_tokens_are_kept_as_hashes_only(api: Api) -> None:
    form = await credentials(api, "all")
    token = (await api.token(**form)).json["access_token"]

    async with api.database.snapshot() as tx:
        kept = [*await tx.execute(select(ApiCredential)), *await tx.execute(select(AccessToken))]

    assert form["client_secret"] not in str(kept)
    assert token not in str(kept)


async def test_buying_a_token_sweeps_expired_ones_away(api: Api, clock: Clock) -> None:
    form = await credentials(api, "all")
    for _ in range(3):
        await api.token(**form)

    clock.advance(seconds=3601)
    await api.token(**form)

    async with api.database.snapshot() as tx:
        assert len((await tx.execute(select(AccessToken))).all()) == 1


async def test_what_is_remembered_of_tokens_is_bounded(api: Api, clock: Clock) -> None:
    from app.halo.access.authenticator import Authenticator, Caller, RequestLimiter

    authenticator = Authenticator(api.database, clock, RequestLimiter(0))
    authenticator._known = {
        str(one): (Caller(one, "x", frozenset()), NOW + timedelta(days=1))
        for one in range(REMEMBERED_MAX)
    }

    await authenticator.identify(api.headers["Authorization"])

    assert len(authenticator._known) <= REMEMBERED_MAX


async def test_the_most_used_client_can_connect(api: Api) -> None:
    info: Any = (await api.send("GET", "/api/AuthInfo", headers={})).json

    assert info["auth_url"].endswith("/auth")
    assert (await api.get("/api/lookup", lookupid="11")) != []


async def test_stripes_own_words_are_for_those_who_may_see_all(api: Api) -> None:
    invoice = await api.invoice(100)
    claim = {"invoice_id": invoice["id"], "amount": 40, "intent_id": "pi_1"}
    payment = await api.post("/api/InvoicePayment", claim)
    async with api.database.transaction() as tx:
        await tx.execute(update(StripePayment).values(intent_response='{"card": "secret"}'))
    paths = (
        "/api/InvoicePayment",
        f"/api/InvoicePayment/{payment['id']}",
        f"/api/Invoice/{invoice['id']}?includedetails=true",
        "/api/Invoice?includepayments=true",
    )

    for scope, is_shown in (("all", True), ("admin", True), ("edit:invoices", False)):
        await signed_in(api, scope)
        for path in paths:
            answer = await api.send("GET", path)
            assert answer.status == 200
            assert ("secret" in answer.text) is is_shown, (scope, path)
    again = await api.post("/api/InvoicePayment", {"id": payment["id"], "reference": "x"})
    assert "intent_response" not in again


@pytest.mark.parametrize("by", ["name", "client_id"])
async def test_revoked_access_buys_no_token_and_its_tokens_end(
    api: Api, clock: Clock, by: str
) -> None:
    form = await credentials(api, "all")
    await api.sign_in(form["client_id"], form["client_secret"])
    await api.get("/api/Invoice")

    async with api.database.transaction() as tx:
        who = {"name": "another", "client_id": form["client_id"]}[by]
        assert await revoke_credential(tx, who, NOW) == 1
    clock.now += REMEMBERED

    assert (await api.send("GET", "/api/Invoice")).status == 401
    assert (await refused(api, **form)).status == 401
    async with api.database.snapshot() as tx:
        revoked = {one.name: one.revoked_at for one in await list_credentials(tx)}
    assert revoked == {"tests": None, "another": NOW}


async def test_nobody_is_revoked_by_mistake(api: Api) -> None:
    with pytest.raises(NotFound, match="nobody"):
        async with api.database.transaction() as tx:
            await revoke_credential(tx, "nobody", NOW)

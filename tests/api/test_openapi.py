"""The API's own description: complete, true, and readable without any network."""

import json
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import validate

from app.halo import routes as published
from app.halo.engine.resource import Resource, equals
from app.halo.engine.resource_routes import resource_routes
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import Database
from app.storage.tables.taxes import TaxRule
from tests.api.client import Api

pytestmark = pytest.mark.anyio


@pytest.fixture
async def doc(api: Api) -> dict[str, Any]:
    found = await api.send("GET", "/api/openapi.json", headers={})
    assert found.status == 200
    document: dict[str, Any] = json.loads(found.text)
    return document


def operations(doc: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in doc["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_the_document_is_valid_openapi_3_1(doc: dict[str, Any]) -> None:
    assert doc["openapi"].startswith("3.1")
    validate(doc)


async def test_every_endpoint_is_in_it(doc: dict[str, Any]) -> None:
    ours = {
        f"{method} {re.sub(r':[a-z]+}', '}', route.path)}"
        for route in published.ROUTES
        for method in (route.methods or set()) - {"HEAD"}
    }

    told = {name for name, _ in operations(doc)}

    assert told == ours - {"GET /api/docs/{file}"}


async def test_everything_has_a_line_that_says_what_it_is(doc: dict[str, Any]) -> None:
    untold = []
    for name, operation in operations(doc):
        untold += [name] if not operation["summary"] else []
        untold += [f"{name} {one['name']}" for one in operation["parameters"]
                   if not one.get("description")]  # fmt: skip
    for name, schema in doc["components"]["schemas"].items():
        untold += [
            f"{name}.{one}" for one, told in schema["properties"].items()
            if not told.get("description")
        ]  # fmt: skip

    assert untold == []


async def test_everything_that_is_sent_or_answered_has_an_example(doc: dict[str, Any]) -> None:
    for name, operation in operations(doc):
        if operation["tags"] == ["Documentation"]:
            continue
        body = operation.get("requestBody", {}).get("content", {})
        [answered] = [one["content"] for one in operation["responses"].values() if "content" in one]
        for kind, media in [*body.items(), *answered.items()]:
            assert "example" in media or kind == "application/pdf", name
    for refusal in doc["components"]["responses"].values():
        assert refusal["content"]["application/json"]["example"]["error"]


async def test_every_example_of_a_body_is_accepted_as_it_stands(
    api: Api, doc: dict[str, Any]
) -> None:
    def is_later(one: tuple[str, dict[str, Any]]) -> bool:
        return not one[1]["summary"].startswith("Create")

    for name, operation in sorted(operations(doc), key=is_later):
        method, path = name.split()
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if method != "POST" or body is None or "{" in path:
            continue
        answer = await api.send("POST", path, json=body["example"])
        assert str(answer.status) in operation["responses"], (name, answer.text)
        assert answer.status < 300, (name, answer.text)


async def test_every_property_that_is_answered_is_in_its_schema(
    api: Api, doc: dict[str, Any]
) -> None:
    client_id = await api.client(stripe_customer_id="cus_1", stripe_payment_method_id="pm_1")
    invoice = await api.invoice(100, client_id=client_id, reference="x")
    await api.post("/api/InvoicePayment", {"invoice_id": invoice["id"], "amount": 40})
    schemas = doc["components"]["schemas"]

    shown = await api.get(f"/api/Invoice/{invoice['id']}", includedetails="true")
    listed = await api.get("/api/Invoice", pageinate="true", client_id=str(client_id))

    assert shown.keys() <= schemas["Invoice"]["properties"].keys()
    assert shown["lines"][0].keys() <= schemas["InvoiceDetail"]["properties"].keys()
    assert shown["payments"][0].keys() <= schemas["InvoicePayment"]["properties"].keys()
    wrapper = doc["paths"]["/api/Invoice"]["get"]["responses"]["200"]["content"]
    assert listed.keys() <= wrapper["application/json"]["schema"]["properties"].keys()


async def test_refusals_look_as_they_are_told(api: Api, doc: dict[str, Any]) -> None:
    refused = [
        await api.send("GET", "/api/Invoice", headers={}),
        await api.send("GET", "/api/Invoice/4711"),
        await api.send("GET", "/api/Invoice?start_date=never"),
    ]

    assert [one.status for one in refused] == [401, 404, 400]
    for answer in refused:
        told = doc["components"]["responses"][str(answer.status)]
        assert answer.json.keys() == set(doc["components"]["schemas"]["Error"]["required"])
        assert told["content"]["application/json"]["example"].keys() == answer.json.keys()
        assert set(told.get("headers", {})) <= set(answer.headers)


async def test_scopes_are_told_as_they_are_checked(doc: dict[str, Any]) -> None:
    told = {name: one["security"] for name, one in operations(doc)}

    assert told["GET /api/Invoice"] == [{"oauth2": ["read:invoices"]}, {"token": []}]
    assert told["POST /api/Client"] == [{"oauth2": ["edit:customers"]}, {"token": []}]
    assert told["POST /auth/token"] == []


async def test_a_new_resource_appears_by_itself(database: Database) -> None:
    gadgets = Resource(path="Gadget", table=TaxRule, filters={"weight": equals(TaxRule.sequence)})
    made = create_app(Settings(_env_file=None), database, extra_routes=resource_routes(gadgets))
    async with serve_in_loop(made) as base, aiohttp.ClientSession(base) as session:
        doc = (await Api(session, database).send("GET", "/api/openapi.json")).json

    assert {"id", "name", "sequence"} <= doc["components"]["schemas"]["Gadget"]["properties"].keys()
    [weight] = [
        one for one in doc["paths"]["/api/Gadget"]["get"]["parameters"] if one["name"] == "weight"
    ]
    assert (weight["schema"]["type"], weight["in"]) == ("integer", "query")
    validate(doc)

"""The API's own description: complete, true, and readable without any network."""

import json
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import validate
from sqlalchemy import Text

from app.halo import routes as published
from app.halo.engine import parsing
from app.halo.engine.codec import codec_of
from app.halo.engine.filters import Equals
from app.halo.engine.resource import Field, Listing, Resource
from app.halo.engine.resource_routes import resource_routes
from app.halo.openapi import schemas
from app.halo.resources import passthrough
from app.halo.resources.passthrough import PASSTHROUGH_TEXT
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.taxes import TaxRule
from tests.api.client import Api
from tests.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def doc(service: Service) -> dict[str, Any]:
    found = await service.api.send("GET", "/api/openapi.json", headers={})
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


async def test_every_operation_and_parameter_has_a_text(doc: dict[str, Any]) -> None:
    untold = []
    for name, operation in operations(doc):
        untold += [name] if not operation["summary"] else []
        untold += [f"{name} {one['name']}" for one in operation["parameters"]
                   if not one.get("description")]  # fmt: skip

    assert untold == []


async def test_every_property_has_a_text_and_only_passthrough_ones_share_theirs(
    doc: dict[str, Any],
) -> None:
    untold, shared = [], set()
    for name, schema in doc["components"]["schemas"].items():
        for one, told in schema["properties"].items():
            untold += [f"{name}.{one}"] if not told.get("description") else []
            shared |= {(name, one)} if told.get("description") == PASSTHROUGH_TEXT else set()

    assert untold == []
    used = {*passthrough.TEMPLATE_INCREASE, *passthrough.TEMPLATE_LINE, *passthrough.LINE_SOURCE}
    assert shared == {
        (resource.path, name)
        for resource in offered_resources()
        for name in resource.input.passthrough.keys() - columns_and_derived(resource) - used
    }


def test_a_field_with_an_index_or_a_foreign_key_is_parsed_as_the_key_needs() -> None:
    for resource in offered_resources():
        for column in codec_of(resource).columns:
            field = resource.fields[column.name]
            table_indexes = (index.columns for index in column.table.indexes)
            is_indexed = column.unique or any(column.name in index for index in table_indexes)
            if field.read_only or field.parse is parsing.whole:
                continue
            if column.foreign_keys:
                assert field.parse is parsing.reference, f"{resource.path}.{column.name}"
            elif is_indexed and isinstance(column.type, Text):
                schema = codec_of(resource).input_schema(column.name)
                assert schema.get("maxLength", 0) == 255, f"{resource.path}.{column.name}"


def offered_resources() -> set[Resource]:
    found = {
        resource
        for route in published.ROUTES
        if route.operation
        for resource in route.operation.resources
    }
    return {inner for one in found for inner in schemas.nested_resources(one)}


def columns_and_derived(resource: Resource) -> set[str]:
    return {*table_of(resource.table).c.keys(), *resource.output.derived, *resource.output.further}


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


# The answers of these need Stripe; tests/test_halo_stripe.py asks its stand-in.
ASKING_STRIPE = ("/api/IntegrationData/Post/Stripe/", "/api/Client/PaymentMethodUpdate")
OF_HELD_INVOICES = {"/api/AutopayApproval/approve", "/api/AutopayApproval/reject"}


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
        if path in OF_HELD_INVOICES:  # only a run holds one; tests/test_autopay_approvals.py does
            assert answer.status == 404, (name, answer.text)
            continue
        assert str(answer.status) in operation["responses"], (name, answer.text)
        if path.startswith(ASKING_STRIPE):
            continue
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
    gadgets = Resource(
        path="Gadget",
        table=TaxRule,
        fields={"id": Field("Its number."), "sequence": Field("Its place.")},
        listing=Listing(filters={"weight": Equals(TaxRule.sequence)}),
    )
    made = create_app(Settings(_env_file=None), database, extra_routes=resource_routes(gadgets))
    async with serve_in_loop(made) as base, aiohttp.ClientSession(base) as session:
        doc = (await Api(session, database).send("GET", "/api/openapi.json")).json

    assert {"id", "sequence"} == doc["components"]["schemas"]["Gadget"]["properties"].keys()
    [weight] = [
        one for one in doc["paths"]["/api/Gadget"]["get"]["parameters"] if one["name"] == "weight"
    ]
    assert (weight["schema"]["type"], weight["in"]) == ("integer", "query")
    validate(doc)

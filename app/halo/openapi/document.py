"""The OpenAPI document, made of the operations of the routes and the declared resources."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from starlette.routing import BaseRoute

from app.halo.access.api_credentials import SCOPES, TOKENS_MAX
from app.halo.access.concurrency_limit import IN_FLIGHT_MAX
from app.halo.engine import json_schema
from app.halo.engine.codec import OBJECTS_MAX, ROWS_MAX
from app.halo.engine.filters import Parameter
from app.halo.engine.idempotency import BODY_MAX, HEADER, KEY_MAX, KEYS_MAX, REPLAYED
from app.halo.engine.json_schema import Schema
from app.halo.engine.list_query import LIST_MAX
from app.halo.engine.pagination import SORTED_MAX
from app.halo.engine.record_queries import ANSWER_BYTES_MAX, ANSWER_ROWS_MAX
from app.halo.engine.resource import READ, REMOVE, Resource
from app.halo.engine.resource_routes import CaseInsensitiveRoute
from app.halo.openapi import schemas
from app.halo.openapi.operations import Operation
from app.ledger.invoice_input import LINES_MAX
from app.ledger.recurring_templates import COPIED_LINES_MAX
from app.storage.rows import EXTRA_MAX

_ABOUT = """\
Invoices, payments and what belongs to them, as HaloPSA's clients speak of them.

Paths and parameter names are read in any case. Unknown parameters and properties are ignored. What
is empty is left out of an answer. Dates are UTC without a zone. Money is exact: a number is read
and answered with all its digits.

A POST that carries an `Idempotency-Key` is done once, however often it is sent within 24 hours.

"""
_LIMITS = (
    f"A POST takes {OBJECTS_MAX} objects, and {ROWS_MAX} rows with their lines and entries.",
    f"An invoice has {LINES_MAX} lines at most; `process` copies {COPIED_LINES_MAX} at once.",
    f"A record keeps {EXTRA_MAX} bytes of properties that nothing is computed from.",
    f"A list or a page has {LIST_MAX} records at most, an answer {ANSWER_ROWS_MAX} rows."
    f" A list has {ANSWER_BYTES_MAX} bytes at most.",
    f"By a field without an index a list sorts {SORTED_MAX} records at most.",
    f"A credential reads {IN_FLIGHT_MAX} lists or documents at once; a further one waits.",
    f"A credential has {TOKENS_MAX} live tokens at most; with one more the oldest ends.",
    f"A credential uses {KEYS_MAX} keys in 24 hours at most. Of an answer over {BODY_MAX} bytes"
    " the ids of its records are kept.",
)
_ABOUT += "\n".join(("Limits:", "", *(f"- {one}" for one in _LIMITS))) + "\n"

# Every refusal: when it is given, and what it looks like.
_REFUSALS: Mapping[int, tuple[str, str, str]] = {
    400: ("A value that cannot be meant, or that a rule forbids. The message names the field.",
          "invalid_field", "duedate: 'tomorrow' is not an ISO 8601 date"),
    401: ("No token, or one that is unknown, revoked or has expired.",
          "not_authenticated", "the token is unknown or has expired"),
    403: ("The token's scopes do not open this.",
          "not_allowed", "this token does not open edit:invoices"),
    404: ("There is no such record.", "not_found", "Invoice 4711 does not exist"),
    409: ("Somebody else changed the record since you read it, or a charge of it has not ended.",
          "changed", "invoice 7 was changed by somebody else"),
    413: ("The body is larger than `PAYDUE_BODY_MAX`.",
          "body_too_large", "the body is larger than 1048576 bytes"),
    422: ("The Idempotency-Key belongs to another request.",
          "key_reused", "Idempotency-Key 'k1' was used for another request less than a day ago"),
    429: ("More requests than `PAYDUE_RATE_LIMIT` allows a minute, or too many lists at once.",
          "rate_limited", "more than 1000 requests a minute; come back a little later"),
    500: ("Our fault; the log has the request's number.",
          "internal_error", "unexpected failure, request 0123456789abcdef"),
    503: ("The database cannot be used now. Nothing was written.",
          "database_unavailable", "the database cannot be used now: connection refused"),
}  # fmt: skip
_OF_EVERY_REQUEST = (500, 503)
_OF_EVERY_CALLER = (401, 403, 429)
_RETRY_AFTER = {"Retry-After": {"schema": json_schema.SMALL, "description": "Seconds to wait."}}
_REFUSAL_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": json_schema.TEXT, "description": "`Bearer`"}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
_KEY = {
    "name": HEADER,
    "in": "header",
    "schema": {**json_schema.TEXT, "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!-~]+$"},
    "description": "The same request under the same key is done once and answered alike for 24 h.",
    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
}
_WORDS = ("error", "error_description", "Message")
_ERROR: Schema = {
    "type": "object",
    "required": list(_WORDS),
    "properties": {
        "error": {**json_schema.TEXT, "description": "What happened, for programs."},
        "error_description": {**json_schema.TEXT, "description": "What happened, for people."},
        "Message": {
            **json_schema.TEXT,
            "description": "The same, where other clients look for it.",
        },
    },
}
_SCOPES = {
    "all": "everything",
    "admin": "everything",
    "read:invoices": "GET of invoices, payments and all that belongs to them",
    "edit:invoices": "the same, and their POST and DELETE",
    "read:customers": "GET of clients and sites",
    "edit:customers": "the same, and their POST and DELETE",
    "read:autopay": "GET of autopay's rules, limits, approvals and runs",
    "edit:autopay": "the same, and their POST and DELETE: whoever has it decides what is charged",
    "read:mail": "GET of mails, with their texts and addresses",
    "edit:mail": "the same, and sending one again",
}
assert _SCOPES.keys() == SCOPES, "every scope is documented"


def document(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The whole document. A route without an operation is not part of the API."""
    documented = [
        (route, route.operation)
        for route in routes
        if isinstance(route, CaseInsensitiveRoute) and route.operation is not None
    ]
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in documented:
        [method] = (route.methods or set()) - {"HEAD"}
        path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
        paths.setdefault(path, {})[method.lower()] = _operation(route, method, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Paydue", "version": version("paydue"), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(one.tag for _, one in documented)],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, **_schemas(one for _, one in documented)},
            "responses": {str(status): _refusal(status) for status in _REFUSALS},
            "securitySchemes": {
                "oauth2": {
                    "type": "oauth2",
                    "description": "Credentials are made by `paydue access add`.",
                    "flows": {"clientCredentials": {"tokenUrl": "/auth/token", "scopes": _SCOPES}},
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The `access_token` that POST /auth/token answered.",
                },
            },
        },
    }


def _schemas(operations: Iterable[Operation]) -> dict[str, Schema]:
    found: dict[str, Resource] = {}
    for operation in operations:
        for resource in operation.resources:
            found.update((one.path, one) for one in schemas.nested_resources(resource))
    return {path: schemas.record_schema(one) for path, one in found.items()}


def _operation(route: CaseInsensitiveRoute, method: str, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _id(route.name),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": list(_parameters(route, method, operation)),
        "responses": _responses(operation, has_key=_has_key(method, operation)),
        "security": [{"oauth2": [operation.right]}, {"token": []}] if operation.right else [],
    }
    if operation.about:
        found["description"] = operation.about
    if operation.takes is not None:
        found["requestBody"] = _body(operation)
    return found


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def _has_key(method: str, operation: Operation) -> bool:
    return method == "POST" and operation.right is not None


def _parameters(
    route: CaseInsensitiveRoute, method: str, operation: Operation
) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)", route.path):
        about = f"The `{name}` of the {operation.tag}."
        yield {"name": name, "in": "path", "required": True, "schema": json_schema.WHOLE,
               "description": about, "example": 1}  # fmt: skip
    for name, parameter in operation.parameters.items():
        yield _parameter(name, parameter)
    if _has_key(method, operation):
        yield dict(_KEY)


def _parameter(name: str, parameter: Parameter) -> dict[str, Any]:
    found = {
        "name": name, "in": "query", "schema": parameter.schema, "description": parameter.about
    }  # fmt: skip
    if parameter.schema.get("type") == "array":
        return {**found, "style": "form", "explode": False}
    return found


def _body(operation: Operation) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": operation.takes}
    if operation.example is not None:
        media["example"] = operation.example
    kind = "application/x-www-form-urlencoded" if operation.takes_form else "application/json"
    return {"required": True, "content": {kind: media}}


def _responses(operation: Operation, *, has_key: bool) -> dict[str, Any]:
    refusals = {*operation.refusals, *_OF_EVERY_REQUEST}
    if operation.right is not None:
        refusals.update(_OF_EVERY_CALLER)
    if has_key:
        refusals.update((400, 413, 422))
    return {
        str(operation.status): _success(operation, has_key=has_key),
        **{str(one): {"$ref": f"#/components/responses/{one}"} for one in sorted(refusals)},
    }


def _success(operation: Operation, *, has_key: bool) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": operation.gives}
    if operation.answer_example is not None:
        media["example"] = operation.answer_example
    found: dict[str, Any] = {
        "description": "Done." if has_key else "Found.",
        "content": {operation.gives_type: media},
    }
    if has_key:
        about = "`true` when the answer was kept and nothing was done."
        found["headers"] = {REPLAYED: {"schema": json_schema.TEXT, "description": about}}
    if operation.made:
        found["links"] = _links(operation)
    return found


def _links(operation: Operation) -> dict[str, Any]:
    """The operations that take the `id` of the one record that was made."""
    parameters = {"id": "$response.body#/id"}
    return {
        f"{verb} {resource.path}": {
            "operationId": _id(f"{verb} {resource.path}"),
            "parameters": parameters,
        }
        for resource in operation.resources
        for verb, has in _LINKED.items()
        if has in resource.verbs
    }


_LINKED = {"read": READ, "delete": REMOVE}


def _refusal(status: int) -> dict[str, Any]:
    about, code, message = _REFUSALS[status]
    example = dict(zip(_WORDS, (code, message, message), strict=True))
    schema = {"$ref": "#/components/schemas/Error"}
    found: dict[str, Any] = {
        "description": about,
        "content": {"application/json": {"schema": schema, "example": example}},
    }
    if status in _REFUSAL_HEADERS:
        found["headers"] = _REFUSAL_HEADERS[status]
    return found

"""The sandbox's controls over HTTP, for tests in other processes: JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.sandbox.account.stripe_errors import StripeRefusal
from app.sandbox.bank_acts import BANK_ACTS
from app.sandbox.controls_page import CONTROLS_PAGE
from app.sandbox.stranger_acts import STRANGER_ACTS

if TYPE_CHECKING:
    from app.sandbox.server import Sandbox

ControlBody = dict[str, Any]


async def front_page(_: Request) -> Response:
    return PlainTextResponse(CONTROLS_PAGE)


Control = Callable[["Sandbox", ControlBody, str], Awaitable[Any]]


def routes(sandbox: Sandbox) -> list[Route]:
    table: list[tuple[str, str, Control]] = [
        ("GET", "/status", status),
        ("GET", "/ledger", ledger),
        ("GET", "/events", events),
        ("GET", "/requests", requests),
        ("GET", "/deliveries", deliveries),
        ("POST", "/customers", add_customer),
        ("POST", "/payment_methods", add_payment_method),
        ("POST", "/endpoints", add_endpoint),
        ("POST", "/endpoints/{id}/ping", ping),
        ("POST", "/faults", add_fault),
        ("DELETE", "/faults", clear_faults),
        ("POST", "/objects/{id}", overwrite),
        ("POST", "/settings", change_settings),
        ("POST", "/clock", move_clock),
        ("POST", "/settle", settle),
        ("POST", "/deliver", deliver),
        ("POST", "/drained", drained),
        ("POST", "/events/{id}/resend", resend),
        ("POST", "/events/{id}/duplicate", duplicate),
        ("POST", "/disputes", open_dispute),
        ("POST", "/disputes/{id}/close", close_dispute),
        ("POST", "/refunds", refund),
        ("POST", "/checkout/{id}/complete", complete_checkout),
        ("POST", "/actions/{id}/complete", complete_action),
        ("POST", "/bank/{id}", act_as_bank),
        ("POST", "/strangers/{id}", act_as_stranger),
    ]
    return [
        Route(path, _endpoint(sandbox, control), methods=[method])
        for method, path, control in table
    ]


def _endpoint(sandbox: Sandbox, control: Control) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            raw = await request.body()
            body = orjson.loads(raw) if raw else dict(request.query_params)
            return _json(await control(sandbox, body, request.path_params.get("id", "")))
        except StripeRefusal as refusal:
            return _json(refusal.body, refusal.status)
        except (ValueError, TypeError, KeyError) as mistake:
            return _json({"error": {"message": str(mistake)}}, 400)

    return endpoint


def _json(content: Any, status_code: int = 200) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, status_code, media_type="application/json")


async def status(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return sandbox.status()


async def ledger(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    """The true charges; `?key=` names the metadata key that holds the invoice."""
    judge, key = sandbox.ledger, body.get("key", "invoice_id")
    return {
        "charges": judge.charges(),
        "movements": judge.movements(),
        "net_by_intent": judge.net_by_intent(),
        "double_charges": judge.double_charges(key),
        "net_by_invoice": judge.net_by_invoice(key),
    }


async def events(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return sandbox.events[int(body.get("after", 0)) :]


async def requests(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return [entry._asdict() for entry in sandbox.requests]


async def deliveries(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return [entry._asdict() for entry in sandbox.deliveries]


async def add_customer(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    customer_id = body.pop("id")
    return sandbox.add_customer(customer_id, **body)


async def add_payment_method(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return sandbox.add_payment_method(**body)


async def add_endpoint(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return {"id": sandbox.add_endpoint(**body).id}


async def ping(sandbox: Sandbox, body: ControlBody, endpoint_id: str) -> Any:
    return {"status": await sandbox.ping(endpoint_id)}


async def add_fault(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    fault = sandbox.fault(**body)
    return {"match": fault.match, "kind": fault.kind, "when": fault.when}


async def clear_faults(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    sandbox.clear_faults()
    return {}


async def overwrite(sandbox: Sandbox, body: ControlBody, object_id: str) -> Any:
    return sandbox.overwrite(object_id, **body)


_DELAYS = {
    "bank_debit_delay": "bank_debit",
    "refund_delay": "refund",
    "availability_delay": "availability",
    "payout_delay": "payout",
}


async def change_settings(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    for name, value in body.items():
        match name:
            case "latency":
                sandbox.set_latency(value)
            case "rate_limit":
                sandbox.limiter.per_endpoint = value
            case "retry_seconds":
                sandbox.outbox.retry_seconds = value
            case name if name in _DELAYS:
                setattr(sandbox.state.delays, _DELAYS[name], value)
            case _:
                raise ValueError(f"no such setting: {name}")
    return {}


async def move_clock(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    if "set" in body:
        sandbox.clock.set(body["set"])
    sandbox.clock.advance(body.get("advance", 0))
    return {"now": sandbox.clock.now()}


async def settle(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    await sandbox.settle()
    return {}


async def deliver(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return asdict(await sandbox.deliver(**body))


async def drained(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    await sandbox.drained()
    return {}


async def resend(sandbox: Sandbox, body: ControlBody, event_id: str) -> Any:
    return {"statuses": await sandbox.resend(event_id)}


async def duplicate(sandbox: Sandbox, body: ControlBody, event_id: str) -> Any:
    return sandbox.duplicate_event(event_id, **body)


async def open_dispute(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return sandbox.open_dispute(_paid(body), **body)


async def close_dispute(sandbox: Sandbox, body: ControlBody, dispute_id: str) -> Any:
    return sandbox.close_dispute(dispute_id, **body)


async def refund(sandbox: Sandbox, body: ControlBody, _: str) -> Any:
    return sandbox.refund(_paid(body), **body)


def _paid(body: ControlBody) -> str:
    """Removes the named payment from the body, so that the rest are the control's parameters."""
    named = [body.pop(name) for name in ("payment_intent", "charge") if name in body]
    if len(named) != 1:
        raise ValueError("name one: payment_intent or charge")
    return str(named[0])


async def complete_checkout(sandbox: Sandbox, body: ControlBody, session_id: str) -> Any:
    return sandbox.complete_checkout(session_id, **body)


async def complete_action(sandbox: Sandbox, body: ControlBody, intent_id: str) -> Any:
    return sandbox.complete_action(intent_id, **body)


async def act_as_bank(sandbox: Sandbox, body: ControlBody, name: str) -> Any:
    if name not in BANK_ACTS:
        raise ValueError(f"no such act of a bank: {name}")
    return getattr(sandbox.bank, name)(**body)


async def act_as_stranger(sandbox: Sandbox, body: ControlBody, name: str) -> Any:
    if name not in STRANGER_ACTS:
        raise ValueError(f"no such act of a stranger: {name}")
    return getattr(sandbox.strangers, name)(**body)

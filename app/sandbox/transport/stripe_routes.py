"""The routes of Stripe's API: URL, the parameters Stripe takes there, and the function."""

from collections.abc import Callable
from dataclasses import dataclass

from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import (
    account_api,
    balance_api,
    bank_transfers,
    billing_portal_api,
    captures,
    charges_api,
    checkout_api,
    customers_api,
    disputes_api,
    events_api,
    fraud_warnings_api,
    microdeposits,
    payment_intents_api,
    payment_links_api,
    payment_methods_api,
    payouts_api,
    refunds_api,
    search_api,
    setup_intents_api,
    webhook_endpoints_api,
)
from app.sandbox.transport.route_params import (
    CUSTOMER,
    INTENT,
    INTENT_CONFIRM,
    LINK,
    MICRODEPOSITS,
    PAGE,
    REFUND,
    SESSION,
    SETUP,
    SETUP_CONFIRM,
)


@dataclass(frozen=True, slots=True)
class StripeRoute:
    """One route; limits, faults and the log use its `name`, method and path template."""

    name: str
    run: Callable[..., Obj]
    params: frozenset[str]
    required: tuple[str, ...] = ()

    @property
    def is_write(self) -> bool:
        return self.name.startswith("POST ")


def _route(name: str, run: Callable[..., Obj], params: str = "", required: str = "") -> StripeRoute:
    return StripeRoute(name, run, frozenset(["expand", *params.split()]), tuple(required.split()))


ROUTES = (
    _route("GET /v1/account", account_api.retrieve),
    _route("GET /v1/webhook_endpoints", webhook_endpoints_api.list_page, PAGE),
    _route(
        "POST /v1/customers",
        customers_api.create,
        f"{CUSTOMER} payment_method tax_id_data test_clock",
    ),
    _route("GET /v1/customers", customers_api.list_page, f"{PAGE} email test_clock"),
    _route("GET /v1/customers/{id}", customers_api.retrieve),
    _route("POST /v1/customers/{id}", customers_api.update, f"{CUSTOMER} default_source"),
    _route("DELETE /v1/customers/{id}", customers_api.delete),
    _route("GET /v1/customers/{id}/cash_balance", bank_transfers.cash_balance),
    _route(
        "POST /v1/test_helpers/customers/{id}/fund_cash_balance",
        bank_transfers.fund,
        "amount currency reference",
        "amount currency",
    ),
    _route(
        "GET /v1/customers/{id}/payment_methods",
        payment_methods_api.list_of_customer,
        f"{PAGE} allow_redisplay type",
    ),
    _route("GET /v1/customers/{id}/payment_methods/{id}", payment_methods_api.retrieve_of_customer),
    _route(
        "POST /v1/payment_methods",
        payment_methods_api.create,
        "type card us_bank_account sepa_debit bacs_debit boleto oxxo customer_balance "
        "paypal cashapp klarna link amazon_pay billing_details metadata allow_redisplay customer "
        "payment_method",
        "type",
    ),
    _route(
        "GET /v1/payment_methods",
        payment_methods_api.list_page,
        f"{PAGE} allow_redisplay customer customer_account type",
    ),
    _route("GET /v1/payment_methods/{id}", payment_methods_api.retrieve),
    _route(
        "POST /v1/payment_methods/{id}",
        payment_methods_api.update,
        "allow_redisplay billing_details card metadata us_bank_account",
    ),
    _route(
        "POST /v1/payment_methods/{id}/attach",
        payment_methods_api.attach,
        "customer customer_account",
        "customer",
    ),
    _route("POST /v1/payment_methods/{id}/detach", payment_methods_api.detach),
    _route(
        "POST /v1/payment_intents",
        payment_intents_api.create,
        f"{INTENT} {INTENT_CONFIRM} automatic_payment_methods confirm confirmation_method "
        "on_behalf_of",
        "amount currency",
    ),
    _route(
        "GET /v1/payment_intents",
        payment_intents_api.list_page,
        f"{PAGE} customer customer_account",
    ),
    _route(
        "GET /v1/payment_intents/search",
        search_api.search_payment_intents,
        "limit page query",
        "query",
    ),
    _route("GET /v1/payment_intents/{id}", payment_intents_api.retrieve, "client_secret"),
    _route("POST /v1/payment_intents/{id}", payment_intents_api.update, INTENT),
    _route(
        "POST /v1/payment_intents/{id}/confirm",
        payment_intents_api.confirm,
        INTENT_CONFIRM,
    ),
    _route(
        "POST /v1/payment_intents/{id}/cancel", payment_intents_api.cancel, "cancellation_reason"
    ),
    _route(
        "POST /v1/payment_intents/{id}/capture",
        captures.capture,
        "amount_details amount_to_capture application_fee_amount final_capture hooks metadata "
        "payment_details statement_descriptor statement_descriptor_suffix transfer_data",
    ),
    _route(
        "POST /v1/payment_intents/{id}/verify_microdeposits",
        microdeposits.verify_payment,
        MICRODEPOSITS,
    ),
    _route(
        "GET /v1/charges",
        charges_api.list_page,
        f"{PAGE} customer payment_intent transfer_group",
    ),
    _route("GET /v1/charges/{id}", charges_api.retrieve),
    _route(
        "POST /v1/charges/{id}",
        charges_api.update,
        "customer description fraud_details metadata receipt_email shipping transfer_group",
    ),
    _route("POST /v1/refunds", refunds_api.create, REFUND),
    _route("GET /v1/refunds", refunds_api.list_page, f"{PAGE} charge payment_intent"),
    _route("GET /v1/refunds/{id}", refunds_api.retrieve),
    _route("POST /v1/refunds/{id}", refunds_api.update, "metadata"),
    _route("POST /v1/refunds/{id}/cancel", refunds_api.cancel),
    _route("GET /v1/disputes", disputes_api.list_page, f"{PAGE} charge payment_intent"),
    _route("GET /v1/disputes/{id}", disputes_api.retrieve),
    _route("POST /v1/disputes/{id}", disputes_api.update, "evidence metadata submit"),
    _route("POST /v1/disputes/{id}/close", disputes_api.close),
    _route(
        "GET /v1/radar/early_fraud_warnings",
        fraud_warnings_api.list_page,
        f"{PAGE} charge payment_intent",
    ),
    _route("GET /v1/radar/early_fraud_warnings/{id}", fraud_warnings_api.retrieve),
    _route("POST /v1/setup_intents", setup_intents_api.create, SETUP),
    _route(
        "GET /v1/setup_intents",
        setup_intents_api.list_page,
        f"{PAGE} attach_to_self customer customer_account payment_method",
    ),
    _route("GET /v1/setup_intents/{id}", setup_intents_api.retrieve, "client_secret"),
    _route("POST /v1/setup_intents/{id}/confirm", setup_intents_api.confirm, SETUP_CONFIRM),
    _route("POST /v1/setup_intents/{id}/cancel", setup_intents_api.cancel, "cancellation_reason"),
    _route(
        "POST /v1/setup_intents/{id}/verify_microdeposits",
        microdeposits.verify_setup,
        MICRODEPOSITS,
    ),
    _route("GET /v1/mandates/{id}", setup_intents_api.mandate),
    _route("POST /v1/checkout/sessions", checkout_api.create, SESSION),
    _route(
        "GET /v1/checkout/sessions",
        checkout_api.list_page,
        f"{PAGE} customer customer_account customer_details payment_intent payment_link status "
        "subscription",
    ),
    _route("GET /v1/checkout/sessions/{id}", checkout_api.retrieve),
    _route("POST /v1/checkout/sessions/{id}/expire", checkout_api.expire),
    _route(
        "POST /v1/billing_portal/sessions",
        billing_portal_api.create,
        "configuration customer customer_account flow_data locale on_behalf_of return_url",
        "customer",
    ),
    _route(
        "POST /v1/payment_links",
        payment_links_api.create,
        f"{LINK} currency on_behalf_of",
    ),
    _route("GET /v1/payment_links", payment_links_api.list_page, f"{PAGE} active"),
    _route("GET /v1/payment_links/{id}", payment_links_api.retrieve),
    _route("POST /v1/payment_links/{id}", payment_links_api.update, f"{LINK} active"),
    _route(
        "POST /v1/webhook_endpoints",
        webhook_endpoints_api.create,
        "api_version connect description enabled_events metadata url",
        "enabled_events url",
    ),
    _route(
        "POST /v1/webhook_endpoints/{id}",
        webhook_endpoints_api.update,
        "description disabled enabled_events metadata url",
    ),
    _route("GET /v1/balance", balance_api.retrieve),
    _route(
        "GET /v1/balance_transactions",
        balance_api.list_page,
        f"{PAGE} currency payout source type",
    ),
    _route("GET /v1/balance_transactions/{id}", balance_api.retrieve_transaction),
    _route(
        "POST /v1/payouts",
        payouts_api.create,
        "amount currency description destination metadata method payout_method source_type "
        "statement_descriptor",
        "amount currency",
    ),
    _route(
        "GET /v1/payouts",
        payouts_api.list_page,
        f"{PAGE} arrival_date destination status",
    ),
    _route("GET /v1/payouts/{id}", payouts_api.retrieve),
    _route("GET /v1/events", events_api.list_page, f"{PAGE} delivery_success type types"),
    _route("GET /v1/events/{id}", events_api.retrieve),
)
ROUTE_NAMES = frozenset(call.name for call in ROUTES)


class RouteNode:
    """One path segment: the segments below it, and the routes that end here, by method."""

    def __init__(self) -> None:
        self.children: dict[str, RouteNode] = {}
        self.calls: dict[str, StripeRoute] = {}


def _tree() -> RouteNode:
    root = RouteNode()
    for call in ROUTES:
        method, _, path = call.name.partition(" ")
        node = root
        for segment in path.strip("/").split("/"):
            node = node.children.setdefault(segment, RouteNode())
        node.calls[method] = call
    return root


_ROOT = _tree()


def find_route(method: str, path: str) -> tuple[StripeRoute, list[str]] | None:
    """The route of this URL and the ids in it; a literal segment wins over an id."""
    node, ids = _ROOT, []
    for segment in path.strip("/").split("/"):
        child = node.children.get(segment)
        if child is None:
            child = node.children.get("{id}")
            ids.append(segment)
        if child is None:
            return None
        node = child
    call = node.calls.get(method)
    return (call, ids) if call else None

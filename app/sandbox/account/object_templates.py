"""Stripe's objects: templates made from Stripe's published fixtures, and the values that are ours.

`stripe_objects.json` holds every field of every object, null where nothing is known yet; it is
made by `python -m tests.sandbox.stripe_fixtures` and never edited by hand. Its licence is Stripe's,
in `stripe_objects.LICENSE`.

Objects are immutable values: a change makes a new dict (see State.change). So an event's snapshot,
a saved answer and a nested constant may share a reference.
"""

from pathlib import Path
from typing import Any

import orjson

from app.sandbox.account.card_declines import CardDecline

Obj = dict[str, Any]

API_VERSION = "2026-10-28.endive"  # the default of the Stripe SDK that tests use

_MADE: Obj = orjson.loads(Path(__file__).with_name("stripe_objects.json").read_bytes())
TEMPLATES: dict[str, Obj] = _MADE["objects"]
_OFF: Obj = {"enabled": False}


def new_object(kind: str, new_id: str, created: int, **fields: Any) -> Obj:
    """An object of this kind with every field that Stripe's have, null where nothing is given."""
    return {**TEMPLATES[kind], "id": new_id, "created": created, **fields}


def customer(new_id: str, created: int, fields: Obj) -> Obj:
    prefix = new_id[-8:].upper()
    return {**new_object("customer", new_id, created, invoice_prefix=prefix), **fields}


_BILLING: Obj = {
    **TEMPLATES["payment_method"]["billing_details"],
    "address": TEMPLATES["address"],
}
# Sample details of each payment method type; a card must not be expired.
_DETAILS: dict[str, Obj] = {
    "card": {"exp_year": 2034},
    "us_bank_account": {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": "AuoSJ18zsVWV9SPc",
        "last4": "6789",
        "routing_number": "110000000",
    },
    "sepa_debit": {
        "bank_code": "37040044",
        "branch_code": "",
        "country": "DE",
        "fingerprint": "vifs0Ho7vwRn1Miu",
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": "3000",
    },
    "bacs_debit": {"fingerprint": "9eMbmctOrd8i7DYa", "last4": "2345", "sort_code": "108800"},
    "boleto": {"tax_id": "00000000000"},
}


def payment_method(new_id: str, created: int, method_type: str, details: Obj, **fields: Any) -> Obj:
    made = new_object("payment_method", new_id, created, type=method_type, billing_details=_BILLING)
    card = made.pop("card")
    template = card if method_type == "card" else TEMPLATES[f"payment_method.{method_type}"]
    return {**made, method_type: {**template, **_DETAILS.get(method_type, {}), **details}, **fields}


def payment_intent(new_id: str, created: int, secret: str, fields: Obj) -> Obj:
    own: Obj = {
        "amount": None,
        "currency": None,
        "capture_method": "automatic_async",
        "client_secret": f"{new_id}_secret_{secret}",
        "managed_payments": _OFF,
    }
    return {**new_object("payment_intent", new_id, created, **own), **fields}


_FROM_INTENT = ("amount", "currency", "customer", "description", "metadata", "receipt_email")
_APPROVED: Obj = {
    **TEMPLATES["charge"]["outcome"],
    "network_status": "approved_by_network",
    "risk_level": "normal",
    "seller_message": "Payment complete.",
    "type": "authorized",
}


def charge(new_id: str, created: int, intent: Obj, method: Obj, mandate: str | None) -> Obj:
    """A charge of this intent by this method, not yet paid and not yet failed."""
    own = {
        "billing_details": method["billing_details"],
        "captured": True,
        "outcome": _APPROVED,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(method, mandate, intent["amount"]),
        "refunds": sublist(f"/v1/charges/{new_id}/refunds", []),
        "shipping": intent["shipping"],
        "status": "pending",
    }
    return new_object(
        "charge", new_id, created, **own, **{name: intent[name] for name in _FROM_INTENT}
    )


def _method_details(method: Obj, mandate: str | None, amount: int) -> Obj:
    kind = method["type"]
    if kind != "card":
        mandated = {} if mandate is None else {"mandate": mandate}
        return {kind: {**method[kind], **mandated}, "type": kind}
    template = TEMPLATES["charge"]["payment_method_details"]["card"]
    shared = {name: method["card"][name] for name in template.keys() & method["card"].keys()}
    overcapture = {**template["overcapture"], "maximum_amount_capturable": amount}
    return {"card": {**template, **shared, "overcapture": overcapture}, "type": kind}


def declined_outcome(decline: CardDecline) -> Obj:
    return {
        "advice_code": decline.advice_code,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
        "network_status": "not_sent_to_network" if decline.is_blocked else "declined_by_network",
        "reason": decline.decline_code,
        "risk_level": "highest" if decline.is_blocked else "normal",
        "seller_message": f"The bank returned the decline code `{decline.decline_code}`.",
        "type": "blocked" if decline.is_blocked else "issuer_declined",
    }


def sublist(url: str, data: list[Obj], *, has_more: bool = False) -> Obj:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def setup_intent(new_id: str, created: int, secret: str, fields: Obj) -> Obj:
    client_secret = f"{new_id}_secret_{secret}"
    return {**new_object("setup_intent", new_id, created, client_secret=client_secret), **fields}


_MANDATES: dict[str, Obj] = {
    "us_bank_account": {"collection_method": "paper"},
    "sepa_debit": {"reference": "123456789", "url": "https://pay.stripe.com/mandate"},
    "bacs_debit": {
        "network_status": "accepted",
        "reference": "0K5U4CQ5",
        "url": "https://pay.stripe.com/mandate",
    },
}


def mandate(new_id: str, created: int, method: Obj) -> Obj:
    """Stripe's mandates have no `created`: the customer's acceptance carries the time."""
    kind = method["type"]
    acceptance = {
        **TEMPLATES["mandate"]["customer_acceptance"],
        "accepted_at": created,
        "online": {"ip_address": "127.0.0.1", "user_agent": "sandbox"},
    }
    details = {**TEMPLATES.get(f"mandate.{kind}", {}), **_MANDATES.get(kind, {})}
    return {
        **TEMPLATES["mandate"],
        "id": new_id,
        "customer_acceptance": acceptance,
        "payment_method": method["id"],
        "payment_method_details": {kind: details, "type": kind},
    }


_SESSION: Obj = {
    "adaptive_pricing": _OFF,
    "expires_at": None,
    "invoice_creation": {**TEMPLATES["checkout.session"]["invoice_creation"], **_OFF},
    "managed_payments": _OFF,
    "payment_method_collection": "if_required",
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    "ui_mode": "hosted_page",
}


def checkout_session(new_id: str, created: int, fields: Obj) -> Obj:
    url = f"https://checkout.stripe.com/c/pay/{new_id}"
    return {**new_object("checkout.session", new_id, created, **_SESSION, url=url), **fields}


def payment_link(new_id: str, fields: Obj) -> Obj:
    """Stripe's payment links have no `created`."""
    url = f"https://buy.stripe.com/test_{new_id.removeprefix('plink_')}"
    return {**TEMPLATES["payment_link"], "id": new_id, "url": url, **fields}


def customer_details(email: str | None, name: str | None) -> Obj:
    """The customer as a checkout session shows it; the sandbox asks for no address."""
    template = TEMPLATES["checkout.session.customer_details"]
    own = {"address": TEMPLATES["address"], "tax_exempt": "none", "tax_ids": []}
    return {**template, **own, "email": email, "name": name}


def account(account_id: str, created: int) -> Obj:
    """An account with every requirement fulfilled: it may charge and pay out."""
    template, name = TEMPLATES["account"], "Paydue sandbox"
    dashboard = {**template["settings"]["dashboard"], "display_name": name}
    own = {
        "business_profile": {**template["business_profile"], "name": name},
        "charges_enabled": True,
        "details_submitted": True,
        "email": "sandbox@example.com",
        "external_accounts": sublist(f"/v1/accounts/{account_id}/external_accounts", []),
        "payouts_enabled": True,
        "requirements": template["future_requirements"],
        "settings": {**template["settings"], "dashboard": dashboard},
    }
    return new_object("account", account_id, created, **own)

"""Stripe's objects, as API version 2026-10-28 shows them: every field, null where nothing is known.

Objects are values: nobody changes one in place, a change makes a new one (see State.change). So
an event's
snapshot, a saved answer and a shared nested constant are mere references.
"""

from typing import Any

from app.sandbox.account.test_cards import Decline

Obj = dict[str, Any]

API_VERSION = "2026-10-28.endive"

_NO_ADDRESS: Obj = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def _nulls(names: str) -> Obj:
    return dict.fromkeys(names.split())


_CUSTOMER: Obj = {
    **_nulls("id object"),
    **_nulls(
        "address currency default_source description discount email name phone shipping test_clock"
    ),
    "object": "customer",
    "balance": 0,
    "delinquent": False,
    "livemode": False,
    "metadata": {},
    "next_invoice_sequence": 1,
    "preferred_locales": [],
    "tax_exempt": "none",
    "invoice_settings": {
        "custom_fields": None,
        "default_payment_method": None,
        "footer": None,
        "rendering_options": None,
    },
}


def customer(new_id: str, created: int, fields: Obj) -> Obj:
    return {
        **_CUSTOMER,
        "id": new_id,
        "created": created,
        "invoice_prefix": new_id[-8:].upper(),
        **fields,
    }


_PAYMENT_METHOD: Obj = {
    **_nulls("id object type"),
    "object": "payment_method",
    "allow_redisplay": "unspecified",
    "billing_details": {
        "address": _NO_ADDRESS,
        "email": None,
        "name": None,
        "phone": None,
        "tax_id": None,
    },
    "customer": None,
    "customer_account": None,
    "livemode": False,
    "metadata": {},
}
_CARD: Obj = {
    "brand": "visa",
    "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
    "country": "US",
    "display_brand": "visa",
    "exp_month": 8,
    "exp_year": 2034,
    "fingerprint": "AOB934RVNwzk6xtn",
    "funding": "credit",
    "generated_from": None,
    "last4": "4242",
    "networks": {"available": ["visa"], "preferred": None},
    "regulated_status": None,
    "three_d_secure_usage": {"supported": True},
    "wallet": None,
}
_BANKS: dict[str, Obj] = {
    "us_bank_account": {
        **_nulls("financial_connections_account networks status_details"),
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
}


def payment_method(new_id: str, created: int, method_type: str, details: Obj, **fields: Any) -> Obj:
    base = _CARD if method_type == "card" else _BANKS[method_type]
    own = {"id": new_id, "created": created, "type": method_type, method_type: {**base, **details}}
    return {**_PAYMENT_METHOD, **own, **fields}


_PAYMENT_INTENT: Obj = {
    **_nulls("id object amount"),
    "object": "payment_intent",
    **_nulls(
        "allowed_payment_method_types application application_fee_amount automatic_payment_methods"
    ),
    **_nulls(
        "canceled_at cancellation_reason client_secret created currency customer customer_account "
        "description"
    ),
    **_nulls(
        "excluded_payment_method_types last_payment_error latest_charge next_action on_behalf_of "
        "payment_method"
    ),
    **_nulls(
        "payment_method_configuration_details processing receipt_email review setup_future_usage "
        "shipping"
    ),
    **_nulls("statement_descriptor statement_descriptor_suffix transfer_data transfer_group"),
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 0,
    "capture_method": "automatic_async",
    "confirmation_method": "automatic",
    "livemode": False,
    "managed_payments": {"enabled": False},
    "metadata": {},
    "payment_method_options": {},
    "payment_method_types": ["card"],
    "status": "requires_payment_method",
}


def payment_intent(new_id: str, created: int, secret: str, fields: Obj) -> Obj:
    return {
        **_PAYMENT_INTENT,
        "id": new_id,
        "created": created,
        "client_secret": f"{new_id}_secret_{secret}",
        **fields,
    }


_CHARGE: Obj = {
    **_nulls("id object amount"),
    "object": "charge",
    **_nulls("application application_fee application_fee_amount balance_transaction"),
    **_nulls(
        "calculated_statement_descriptor created currency customer description "
        "failure_balance_transaction"
    ),
    **_nulls(
        "failure_code failure_message on_behalf_of payment_intent payment_method receipt_email "
        "receipt_number"
    ),
    **_nulls(
        "receipt_url review shipping source_transfer statement_descriptor "
        "statement_descriptor_suffix"
    ),
    **_nulls("transfer_data transfer_group"),
    "amount_captured": 0,
    "amount_refunded": 0,
    "captured": True,
    "disputed": False,
    "fraud_details": {},
    "livemode": False,
    "metadata": {},
    "paid": False,
    "refunded": False,
}
_CHARGE_CARD: Obj = {
    **_nulls(
        "amount_authorized authorization_code installments mandate network_transaction_id "
        "regulated_status"
    ),
    **_nulls("three_d_secure transaction_link_id wallet"),
    "extended_authorization": {"status": "disabled"},
    "incremental_authorization": {"status": "unavailable"},
    "multicapture": {"status": "unavailable"},
    "network": "visa",
    "network_token": {"used": False},
}
_APPROVED: Obj = {
    **_nulls("advice_code network_advice_code network_decline_code reason"),
    "network_status": "approved_by_network",
    "risk_level": "normal",
    "seller_message": "Payment complete.",
    "type": "authorized",
}


def charge(new_id: str, created: int, intent: Obj, method: Obj, mandate: str | None) -> Obj:
    """A charge of this intent by this method, not yet paid and not yet failed."""
    own = {
        "id": new_id,
        "created": created,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
    }
    copied = {
        name: intent[name]
        for name in (
            "amount",
            "currency",
            "customer",
            "description",
            "metadata",
            "receipt_email",
            "shipping",
        )
    }
    details = {
        "billing_details": method["billing_details"],
        "outcome": _APPROVED,
        "payment_method_details": _charged_details(method, mandate),
        "refunds": sublist(f"/v1/charges/{new_id}/refunds", []),
    }
    return {**_CHARGE, **own, **copied, **details}


def _charged_details(method: Obj, mandate: str | None) -> Obj:
    kind = method["type"]
    if kind == "card":
        return {"card": {**method["card"], **_CHARGE_CARD}, "type": kind}
    return {kind: {**method[kind], "mandate": mandate}, "type": kind}


def declined_outcome(decline: Decline) -> Obj:
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


def refund(new_id: str, created: int, paid: Obj, fields: Obj) -> Obj:
    kind = paid["payment_method_details"]["type"]
    return {
        **_nulls("id object amount balance_transaction"),
        "object": "refund",
        "id": new_id,
        "charge": paid["id"],
        "created": created,
        "currency": paid["currency"],
        "customer": paid["customer"],
        "customer_account": None,
        "destination_details": {kind: {"type": "refund"} if kind == "card" else {}, "type": kind},
        "metadata": {},
        "payment_intent": paid["payment_intent"],
        "payment_method": paid["payment_method"],
        **_nulls("reason receipt_number source_transfer_reversal transfer_reversal"),
        "status": "succeeded",
        **fields,
    }


_EVIDENCE: Obj = {
    **_nulls(
        "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure"
    ),
    **_nulls(
        "cancellation_rebuttal customer_communication customer_email_address customer_name "
        "customer_purchase_ip"
    ),
    **_nulls(
        "customer_signature duplicate_charge_documentation duplicate_charge_explanation "
        "duplicate_charge_id"
    ),
    "enhanced_evidence": {},
    **_nulls(
        "product_description receipt refund_policy refund_policy_disclosure "
        "refund_refusal_explanation"
    ),
    **_nulls("service_date service_documentation shipping_address shipping_carrier shipping_date"),
    **_nulls(
        "shipping_documentation shipping_tracking_number uncategorized_file uncategorized_text"
    ),
}


def dispute(new_id: str, created: int, charged: Obj, fields: Obj) -> Obj:
    kind = charged["payment_method_details"]["type"]
    card = {
        "brand": "visa",
        "case_type": "chargeback",
        "network": "visa",
        "network_reason_code": "10.4",
    }
    return {
        "id": new_id,
        "object": "dispute",
        "amount": charged["amount"],
        "balance_transactions": [],
        "charge": charged["id"],
        "created": created,
        "currency": charged["currency"],
        "enhanced_eligibility_types": [],
        "evidence": _EVIDENCE,
        "evidence_details": {
            "due_by": created + 7 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charged["payment_intent"],
        "payment_method_details": {kind: card if kind == "card" else {}, "type": kind},
        "reason": "general",
        "status": "needs_response",
        **fields,
    }


_SETUP_INTENT: Obj = {
    **_nulls("id object"),
    "object": "setup_intent",
    **_nulls(
        "allowed_payment_method_types application automatic_payment_methods cancellation_reason "
        "client_secret"
    ),
    **_nulls(
        "created customer description excluded_payment_method_types flow_directions "
        "last_setup_error"
    ),
    **_nulls(
        "latest_attempt mandate next_action on_behalf_of payment_method "
        "payment_method_configuration_details"
    ),
    **_nulls("single_use_mandate"),
    "livemode": False,
    "metadata": {},
    "payment_method_options": {},
    "payment_method_types": ["card"],
    "status": "requires_payment_method",
    "usage": "off_session",
}


def setup_intent(new_id: str, created: int, secret: str, fields: Obj) -> Obj:
    return {
        **_SETUP_INTENT,
        "id": new_id,
        "created": created,
        "client_secret": f"{new_id}_secret_{secret}",
        **fields,
    }


_MANDATES: dict[str, Obj] = {
    "us_bank_account": {"collection_method": "paper"},
    "sepa_debit": {"reference": "123456789", "url": "https://pay.stripe.com/mandate"},
    "bacs_debit": {
        "network_status": "accepted",
        "reference": "0K5U4CQ5",
        "url": "https://pay.stripe.com/mandate",
    },
    "card": {},
}


def mandate(new_id: str, created: int, method: Obj) -> Obj:
    kind = method["type"]
    return {
        "id": new_id,
        "object": "mandate",
        "customer_acceptance": {
            "accepted_at": created,
            "online": {"ip_address": "127.0.0.1", "user_agent": "sandbox"},
            "type": "online",
        },
        "livemode": False,
        "multi_use": {},
        "payment_method": method["id"],
        "payment_method_details": {kind: _MANDATES[kind], "type": kind},
        "status": "active",
        "type": "multi_use",
    }


_SESSION: Obj = {
    **_nulls("id object"),
    "object": "checkout.session",
    **_nulls(
        "after_expiration allow_promotion_codes amount_subtotal amount_total "
        "billing_address_collection"
    ),
    **_nulls(
        "cancel_url client_reference_id client_secret collected_information consent "
        "consent_collection created"
    ),
    **_nulls(
        "currency currency_conversion customer customer_account customer_creation customer_details"
    ),
    **_nulls(
        "customer_email discounts expires_at integration_identifier invoice locale origin_context "
        "payment_intent"
    ),
    **_nulls(
        "payment_link payment_method_configuration_details permissions recovered_from setup_intent"
    ),
    **_nulls(
        "saved_payment_method_options shipping_address_collection shipping_cost submit_type "
        "subscription"
    ),
    **_nulls("success_url url wallet_options"),
    "adaptive_pricing": {"enabled": False},
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "custom_fields": [],
    "custom_text": _nulls("after_submit shipping_address submit terms_of_service_acceptance"),
    "invoice_creation": {"enabled": False, "invoice_data": {"metadata": {}}},
    "livemode": False,
    "managed_payments": {"enabled": False},
    "metadata": {},
    "mode": "payment",
    "payment_method_collection": "if_required",
    "payment_method_options": {},
    "payment_method_types": ["card"],
    "payment_status": "unpaid",
    "phone_number_collection": {"enabled": False},
    "shipping_options": [],
    "status": "open",
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    "ui_mode": "hosted_page",
}


def checkout_session(new_id: str, created: int, fields: Obj) -> Obj:
    url = f"https://checkout.stripe.com/c/pay/{new_id}"
    return {**_SESSION, "id": new_id, "created": created, "url": url, **fields}


def guest(email: str | None, name: str | None) -> Obj:
    """A checkout session's customer_details."""
    details = {
        "address": _NO_ADDRESS,
        "email": email,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
    }
    return {**details, "business_name": None, "individual_name": None, "tax_ids": []}


def account(account_id: str, created: int) -> Obj:
    due: Obj = {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    }
    return {
        "id": account_id,
        "object": "account",
        "business_profile": {"name": "Paydue sandbox", "mcc": None, "url": None},
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": created,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "external_accounts": sublist(f"/v1/accounts/{account_id}/external_accounts", []),
        "future_requirements": due,
        "metadata": {},
        "payouts_enabled": True,
        "requirements": due,
        "settings": {"dashboard": {"display_name": "Paydue sandbox", "timezone": "Etc/UTC"}},
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "standard",
    }

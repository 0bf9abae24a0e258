"""Templates of the objects that money leaves behind: refunds, disputes, balances, payouts."""

from app.sandbox.account.object_templates import TEMPLATES, Obj, new_object


def refund(new_id: str, created: int, paid: Obj, fields: Obj) -> Obj:
    kind = paid["payment_method_details"]["type"]
    own = {
        "charge": paid["id"],
        "currency": paid["currency"],
        "customer": paid["customer"],
        "destination_details": {kind: {"type": "refund"} if kind == "card" else {}, "type": kind},
        "payment_intent": paid["payment_intent"],
        "payment_method": paid["payment_method"],
    }
    return {**new_object("refund", new_id, created, **own), **fields}


def dispute(new_id: str, created: int, charged: Obj, fields: Obj) -> Obj:
    template = TEMPLATES["dispute"]
    kind = charged["payment_method_details"]["type"]
    card = {**template["payment_method_details"]["card"], "case_type": "chargeback"}
    own = {
        "amount": charged["amount"],
        "charge": charged["id"],
        "currency": charged["currency"],
        "enhanced_eligibility_types": [],
        "evidence_details": {**template["evidence_details"], "due_by": created + 7 * 86400},
        "is_charge_refundable": False,
        "payment_intent": charged["payment_intent"],
        "payment_method_details": {kind: card if kind == "card" else {}, "type": kind},
        "status": "needs_response",
    }
    return {**new_object("dispute", new_id, created, **own), **fields}


def fraud_warning(new_id: str, created: int, charged: Obj, fields: Obj) -> Obj:
    own = {"charge": charged["id"], "payment_intent": charged["payment_intent"], **fields}
    return new_object("radar.early_fraud_warning", new_id, created, **own)


def balance_transaction(new_id: str, created: int, fields: Obj) -> Obj:
    return new_object("balance_transaction", new_id, created, **fields)


def balance(sums: dict[str, dict[str, int]]) -> Obj:
    """The balance by state of the money, and in each by currency."""
    shown = {
        name: [_balance_amount(amount, currency) for currency, amount in by_currency.items()]
        for name, by_currency in sums.items()
    }
    reserved = [{"amount": 0, "currency": currency} for currency in sums["available"]]
    return {**TEMPLATES["balance"], **shown, "connect_reserved": reserved}


def _balance_amount(amount: int, currency: str) -> Obj:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


def payout(new_id: str, created: int, fields: Obj) -> Obj:
    own = {"description": "STRIPE PAYOUT", "destination": "ba_1Sandbox", **fields}
    return new_object("payout", new_id, created, **own)


def cash_balance(customer_id: str, available: dict[str, int]) -> Obj:
    return {**TEMPLATES["cash_balance"], "customer": customer_id, "available": available}


def cash_balance_transaction(new_id: str, created: int, customer_id: str, fields: Obj) -> Obj:
    return new_object(
        "customer_cash_balance_transaction", new_id, created, customer=customer_id, **fields
    )

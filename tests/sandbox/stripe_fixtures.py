"""Makes the sandbox's object templates from the fixtures that Stripe publishes with stripe-mock.

    python -m tests.sandbox.stripe_fixtures [FOLDER]

FOLDER is a checkout of stripe-mock; without it the module source of the pinned version is taken,
which `go install` leaves in Go's module cache. Run it when stripe_mock.VERSION changes.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests import stripe_mock

Json = dict[str, Any]

TEMPLATES = Path("app/sandbox/account/stripe_objects.json")
LICENSE = TEMPLATES.with_suffix(".LICENSE")
ROOT = Path(__file__).parents[2]
MODULE = f"github.com/stripe/stripe-mock@{stripe_mock.VERSION}"
MISSING = f"no source of {MODULE} in Go's module cache: run `go install {MODULE}`"

OBJECTS = (
    "account",
    "balance",
    "balance_transaction",
    "cash_balance",
    "charge",
    "checkout.session",
    "customer",
    "customer_cash_balance_transaction",
    "dispute",
    "mandate",
    "payment_intent",
    "payment_link",
    "payment_method",
    "payout",
    "radar.early_fraud_warning",
    "refund",
    "setup_intent",
)
# The fixtures show one payment method type only; these parts are made from their schemas.
PARTS = {
    "address": "address",
    "checkout.session.customer_details": "payment_pages_checkout_session_customer_details",
    "mandate.bacs_debit": "mandate_bacs_debit",
    "mandate.sepa_debit": "mandate_sepa_debit",
    "mandate.us_bank_account": "mandate_us_bank_account",
    "payment_method.amazon_pay": "payment_method_amazon_pay",
    "payment_method.bacs_debit": "payment_method_bacs_debit",
    "payment_method.boleto": "payment_method_boleto",
    "payment_method.cashapp": "payment_method_cashapp",
    "payment_method.customer_balance": "payment_method_customer_balance",
    "payment_method.klarna": "payment_method_klarna",
    "payment_method.link": "payment_method_link",
    "payment_method.oxxo": "payment_method_oxxo",
    "payment_method.paypal": "payment_method_paypal",
    "payment_method.sepa_debit": "payment_method_sepa_debit",
    "payment_method.us_bank_account": "payment_method_us_bank_account",
}
# A nullable field starts as null: most of the fixtures' values in them are samples. These it keeps.
KEPT = frozenset(
    """
    account.business_profile
    account.settings
    account.settings.dashboard
    account.settings.dashboard.timezone
    charge.fraud_details
    charge.outcome
    charge.payment_method_details
    charge.payment_method_details.card.network
    charge.refunds
    checkout.session.invoice_creation
    checkout.session.payment_method_options
    checkout.session.status
    customer.tax_exempt
    dispute.payment_method_details.card.network_reason_code
    payment_intent.payment_method_options
    payment_method.card.checks
    payment_method.card.checks.cvc_check
    payment_method.card.country
    payment_method.card.display_brand
    payment_method.card.fingerprint
    payment_method.card.networks
    payment_method.card.three_d_secure_usage
    refund.status
    setup_intent.payment_method_options
    """.split()
)
_EMPTY: dict[str, object] = {"array": [], "boolean": False, "integer": 0, "object": {}}
# Ids and secrets of Stripe's own test account, bare or in a URL: no template carries them.
_IDENTITY = re.compile(r"(?:^|/)[a-z]+_(?:test_)?(?=[A-Za-z]*[0-9])[A-Za-z0-9]{9,}|_secret_")


def source() -> Path | None:
    """The pinned stripe-mock's source in Go's module cache, if it is there."""
    return next((one for one in _candidates() if one.is_dir()), None)


def _candidates() -> Iterator[Path]:
    caches = [os.environ.get("GOMODCACHE"), stripe_mock.printed_by("go", "env", "GOMODCACHE")]
    yield from (Path(cache) / MODULE for cache in caches if cache)
    yield Path.home() / "go/pkg/mod" / MODULE


def templates(folder: Path) -> str:
    """The content of stripe_objects.json; the same source always gives the same bytes."""
    openapi = folder / "embedded/openapi"
    spec = json.loads((openapi / "spec3.json").read_bytes())
    fixtures = json.loads((openapi / "fixtures3.json").read_bytes())["resources"]
    schemas = spec["components"]["schemas"]
    made = {name: _template(schemas, schemas[name], name, fixtures[name]) for name in OBJECTS}
    made |= {name: _blank(schemas, schemas[schema]) for name, schema in PARTS.items()}
    content = {
        "source": f"https://{MODULE.replace('@', '/tree/')}/embedded/openapi",
        "api_version": spec["info"]["version"],
        "objects": {name: made[name] for name in sorted(made)},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _template(schemas: Json, schema: Json, path: str, value: object) -> Any:
    """The fixture without samples and identities; a map such as `metadata` starts empty."""
    if _is_left_out(schema, path, value):
        return None
    if not isinstance(value, dict):
        return value
    fields = _properties(schemas, schema)
    return {
        name: _template(schemas, fields[name], f"{path}.{name}", value[name])
        for name in _in_stripes_order(fields.keys() & value.keys())
    }


def _is_left_out(schema: Json, path: str, value: object) -> bool:
    if isinstance(value, str) and _IDENTITY.search(value):
        return True
    is_empty_by_nature = isinstance(value, bool | list) or "additionalProperties" in schema
    return schema.get("nullable", False) and path not in KEPT and not is_empty_by_nature


def _blank(schemas: Json, schema: Json) -> Any:
    """An object of the schema in which nothing is known yet."""
    if schema.get("nullable"):
        return None
    fields = _properties(schemas, schema)
    if fields:
        return {name: _blank(schemas, fields[name]) for name in _in_stripes_order(fields.keys())}
    return _EMPTY.get(schema.get("type", ""), "")


def _properties(schemas: Json, schema: Json) -> Json:
    """The fields of an object's schema, which may be a reference or a choice of them."""
    for choice in (schema, *schema.get("anyOf", ())):
        name = choice.get("$ref", "").rpartition("/")[2]
        fields: Json = (schemas[name] if name else choice).get("properties", {})
        if fields:
            return fields
    return {}


def _in_stripes_order(names: Iterable[str]) -> list[str]:
    """`id` and `object` first, then by alphabet."""
    return sorted(names, key=lambda name: (name not in {"id", "object"}, name))


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else source()
    if folder is None:
        raise SystemExit(MISSING)
    (ROOT / TEMPLATES).write_text(templates(folder))
    shutil.copyfile(folder / "LICENSE", ROOT / LICENSE)


if __name__ == "__main__":
    main(sys.argv[1:])

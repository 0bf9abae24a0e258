"""Validation of parameters: known and required names, and the types the sandbox reads."""

from app.sandbox.account import stripe_errors
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.stripe_errors import integer

_WHOLE = frozenset(
    {
        "amount",
        "amount_to_capture",
        "amount_to_confirm",
        "expires_at",
        "limit",
        "next_invoice_sequence",
    }
)
_FLAGS = frozenset(
    {
        "active",
        "confirm",
        "disabled",
        "delivery_success",
        "error_on_requires_action",
        "submit",
        "use_stripe_sdk",
    }
)
_ARRAYS = frozenset(
    {
        "expand",
        "types",
        "enabled_events",
        "amounts",
        "payment_method_types",
        "allowed_payment_method_types",
        "excluded_payment_method_types",
        "preferred_locales",
    }
)
_MAPS = frozenset(
    {
        "automatic_payment_methods",
        "evidence",
        "payment_method_data",
        "payment_method_options",
        "mandate_data",
        "shipping",
        "invoice_settings",
        "payment_intent_data",
    }
)
_LIMIT_MAX = 100
_METADATA_KEYS_MAX, _METADATA_KEY_MAX, _METADATA_VALUE_MAX = 50, 40, 500


def parse(given: Obj, allowed: frozenset[str], required: tuple[str, ...]) -> Obj:
    """The parameters with their types; any fault is a 400 that no idempotency key remembers."""
    for name in given:
        if name not in allowed:
            raise stripe_errors.malformed(
                f"Received unknown parameter: {name}", param=name, code="parameter_unknown"
            )
    for name in required:
        if name not in given:
            raise stripe_errors.malformed(
                f"Missing required param: {name}.", param=name, code="parameter_missing"
            )
        if given[name] == "":
            message = f"You passed an empty string for '{name}'."
            raise stripe_errors.malformed(message, param=name, code="parameter_invalid_empty")
    return {name: _parse_value(name, value) for name, value in given.items()}


def _parse_value(name: str, value: object) -> object:
    if name == "metadata":
        return _metadata(value)
    if name in _WHOLE:
        return _limit(integer(name, value)) if name == "limit" else integer(name, value)
    if name in _FLAGS:
        return _flag(name, value)
    if name == "off_session":
        return value in {"one_off", "recurring"} or _flag(name, value)
    if name in _ARRAYS and not isinstance(value, list) and value != "":
        raise stripe_errors.malformed("Invalid array", param=name)
    if name in _MAPS and not isinstance(value, dict) and value != "":
        raise stripe_errors.malformed("Invalid object", param=name)
    return value


def _limit(limit: int) -> int:
    if not 1 <= limit <= _LIMIT_MAX:
        message = f"This value must be between 1 and {_LIMIT_MAX}."
        raise stripe_errors.malformed(message, param="limit", code="parameter_invalid_integer")
    return limit


def _flag(name: str, value: object) -> bool:
    if value not in {"true", "false"}:
        raise stripe_errors.malformed(f"Invalid boolean: {value}", param=name)
    return value == "true"


def _metadata(value: object) -> object:
    if isinstance(value, str) and not value:
        return ""
    if not isinstance(value, dict):
        raise stripe_errors.malformed("Invalid object", param="metadata")
    if len(value) > _METADATA_KEYS_MAX:
        raise stripe_errors.malformed(
            f"Metadata can have at most {_METADATA_KEYS_MAX} keys.", param="metadata"
        )
    for key, text in value.items():
        if not isinstance(text, str):
            raise stripe_errors.malformed(
                "Metadata values must be strings", param=f"metadata[{key}]"
            )
        if len(key) > _METADATA_KEY_MAX or len(text) > _METADATA_VALUE_MAX:
            message = (
                f"Metadata keys can have up to {_METADATA_KEY_MAX} characters, values up to "
                f"{_METADATA_VALUE_MAX}."
            )
            raise stripe_errors.malformed(message, param=f"metadata[{key}]")
    return value

"""Stripe's error answers, each with the type, code and HTTP status that Stripe gives it."""

from typing import Any

from app.sandbox.account.object_templates import Obj


class StripeRefusal(Exception):
    """An error answer. It is `saved` under the idempotency key if execution had begun."""

    def __init__(
        self, status: int, error: Obj, *, saved: bool = True, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.body: Obj = {
            "error": {key: value for key, value in error.items() if value is not None}
        }
        self.saved = saved
        self.headers = headers or {}


def invalid(
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    status: int = 400,
    **more: Any,
) -> StripeRefusal:
    """An error of execution: an idempotency key remembers it."""
    return StripeRefusal(status, _invalid(message, param, code) | more)


def malformed(message: str, *, param: str | None = None, code: str | None = None) -> StripeRefusal:
    """A failed validation: nothing was executed and nothing is remembered."""
    return StripeRefusal(400, _invalid(message, param, code), saved=False)


def _invalid(message: str, param: str | None, code: str | None) -> Obj:
    doc = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}" if code else None
    return {
        "type": "invalid_request_error",
        "code": code,
        "doc_url": doc,
        "message": message,
        "param": param,
    }


def missing(kind: str, wanted: str, *, param: str, in_path: bool) -> StripeRefusal:
    """404 for the object a URL names, 400 for one that a parameter names."""
    message = f"No such {kind}: '{wanted}'"
    return invalid(message, param=param, code="resource_missing", status=404 if in_path else 400)


def card_error(error: Obj) -> StripeRefusal:
    return StripeRefusal(402, {"type": "card_error", **error})


def unauthorized(message: str) -> StripeRefusal:
    return StripeRefusal(401, {"type": "invalid_request_error", "message": message}, saved=False)


def unknown_url(method: str, path: str) -> StripeRefusal:
    message = (
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove "
        "the trailing slash. If you are trying to retrieve an object, make sure you passed a "
        "valid (non-empty) identifier in your code."
    )
    return StripeRefusal(404, {"type": "invalid_request_error", "message": message}, saved=False)


def rate_limited(reason: str) -> StripeRefusal:
    """429 by a rate limiter, which names itself in a header and runs before any other check."""
    error = {
        "type": "invalid_request_error",
        "code": "rate_limit",
        "message": (
            "Request rate limit exceeded. Learn more about rate limits here "
            "https://stripe.com/docs/rate-limits."
        ),
    }
    return StripeRefusal(429, error, saved=False, headers={"Stripe-Rate-Limited-Reason": reason})


def lock_timeout(should_retry: bool | None = None) -> StripeRefusal:
    """429 by an object lock: no limiter names itself; SDKs retry it only if a header says so."""
    error = {
        "type": "invalid_request_error",
        "code": "lock_timeout",
        "message": (
            "This object cannot be accessed right now because another API request or Stripe "
            "process is currently accessing it. Retry the request."
        ),
    }
    headers = {} if should_retry is None else {"Stripe-Should-Retry": str(should_retry).lower()}
    return StripeRefusal(429, error, saved=False, headers=headers)


def key_in_use(key: str | None) -> StripeRefusal:
    error = {
        "type": "idempotency_error",
        "code": "idempotency_key_in_use",
        "message": (
            f"There is currently another in-progress request using this Idempotent Key ({key}): "
            "the first request has to end."
        ),
    }
    return StripeRefusal(409, error, saved=False)


def key_reused(key: str) -> StripeRefusal:
    """A measured answer: 400 without code or param, though web pages name 409 and 422."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters and endpoint they "
        f"were first used with. Try using a key other than '{key}' if you meant to execute a "
        "different request."
    )
    return StripeRefusal(400, {"type": "idempotency_error", "message": message}, saved=False)


def api_error(status: int) -> StripeRefusal:
    message = "An unknown error occurred. Your request may or may not have been carried out."
    return StripeRefusal(status, {"type": "api_error", "message": message})


def integer(name: str, value: object) -> int:
    """The parameter as an int, or the refusal that Stripe gives to any other text."""
    try:
        return int(str(value))
    except ValueError:
        raise malformed(
            f"Invalid integer: {value}", param=name, code="parameter_invalid_integer"
        ) from None

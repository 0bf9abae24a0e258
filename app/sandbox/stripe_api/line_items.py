"""The line items of sessions and payment links, with prices that are given in the request."""

from app.sandbox.account import stripe_errors
from app.sandbox.account.object_templates import Obj


def total(lines: object) -> tuple[str, int]:
    """The currency and the sum; only price_data lines are known."""
    if not isinstance(lines, list) or not lines:
        raise stripe_errors.malformed(
            "Missing required param: line_items.", param="line_items", code="parameter_missing"
        )
    prices = [_price(line, at) for at, line in enumerate(lines)]
    currencies = {currency for currency, _ in prices}
    if len(currencies) > 1:
        raise stripe_errors.invalid(
            "All line items must have the same currency.", param="line_items"
        )
    return currencies.pop(), sum(amount for _, amount in prices)


def _price(line: Obj, at: int) -> tuple[str, int]:
    if "price" in line:
        raise stripe_errors.missing(
            "price", line["price"], param=f"line_items[{at}][price]", in_path=False
        )
    price = line.get("price_data") or {}
    if "currency" not in price or "unit_amount" not in price:
        param = f"line_items[{at}][price_data]"
        raise stripe_errors.malformed(
            f"Missing required param: {param}.", param=param, code="parameter_missing"
        )
    try:
        return price["currency"].lower(), int(price["unit_amount"]) * int(line.get("quantity", 1))
    except ValueError:
        param = f"line_items[{at}]"
        raise stripe_errors.malformed(
            "Invalid integer", param=param, code="parameter_invalid_integer"
        ) from None

"""An event's body as people may see it: pretty, without secrets, and by role without personal data.

Secrets are left out for everybody; they let their holder act at Stripe.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from app.console.people.roles import Role

# So much of a body is shown; the rest is read with `paydue events show`.
SHOWN_MAX = 60_000
_DEPTH_MAX = 40
_REDACTED = "[redacted]"
_SECRET_FIELDS = frozenset("client_secret secret ephemeral_key account_number".split())
# A secret that stands inside another text: an intent's, a key of the API, a signing secret.
_SECRET_TEXT = re.compile(r"(_secret_[A-Za-z0-9]+|\b[sr]k_(?:live|test)_\w+|\bwhsec_\w+)")
# In metadata and custom fields stands whatever a shop has asked its customers for.
_PERSONAL_FIELDS = frozenset(
    """address billing_details birthday city custom_fields customer_details customer_email
    customer_name customer_phone customer_purchase_ip customer_shipping description email
    first_name individual ip ip_address last_name line1 line2 metadata name phone
    postal_code receipt_email receipt_url shipping shipping_details statement_descriptor
    user_agent""".split()
)


class PayloadToken(NamedTuple):
    """A piece of the text: `key`, `redacted`, or plain."""

    text: str
    kind: str = ""


class ShownPayload(NamedTuple):
    """The body in pieces; `is_cut` says that more of it is not shown."""

    tokens: list[PayloadToken]
    is_cut: bool


def shown_payload(body: bytes, role: Role) -> ShownPayload:
    """The body for this role. One that is no JSON is shown as the text that it is, masked."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = body.decode(errors="replace")
    hides_personal = not role.includes(Role.SUPPORT)
    tokens: list[PayloadToken] = []
    length = 0
    for token in _tokens(value, hides_personal, 0):
        length += len(token.text)
        if length > SHOWN_MAX:
            return ShownPayload(tokens, is_cut=True)
        tokens.append(token)
    return ShownPayload(_joined(tokens), is_cut=False)


def _tokens(value: object, hides_personal: bool, depth: int) -> Iterator[PayloadToken]:
    if depth > _DEPTH_MAX:
        yield PayloadToken("…")
    elif isinstance(value, dict) and value:
        yield from _object(value, hides_personal, depth)
    elif isinstance(value, list) and value:
        yield PayloadToken("[\n")
        for place, one in enumerate(value):
            yield PayloadToken("  " * (depth + 1))
            yield from _tokens(one, hides_personal, depth + 1)
            yield PayloadToken(",\n" if place < len(value) - 1 else "\n")
        yield PayloadToken("  " * depth + "]")
    elif isinstance(value, str) and _SECRET_TEXT.search(value):
        yield PayloadToken(_json(_SECRET_TEXT.sub(_REDACTED, value)), "redacted")
    else:
        yield PayloadToken(_json(value))


def _object(
    value: Mapping[str, object], hides_personal: bool, depth: int
) -> Iterator[PayloadToken]:
    yield PayloadToken("{\n")
    for place, (name, one) in enumerate(value.items()):
        yield PayloadToken("  " * (depth + 1))
        yield PayloadToken(_json(name), "key")
        yield PayloadToken(": ")
        hidden = name in _SECRET_FIELDS or (hides_personal and name in _PERSONAL_FIELDS)
        if hidden and one is not None:
            yield PayloadToken(_REDACTED, "redacted")
        else:
            yield from _tokens(one, hides_personal, depth + 1)
        yield PayloadToken(",\n" if place < len(value) - 1 else "\n")
    yield PayloadToken("  " * depth + "}")


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _joined(tokens: list[PayloadToken]) -> list[PayloadToken]:
    """Plain pieces that follow each other become one."""
    joined: list[PayloadToken] = []
    for token in tokens:
        if joined and not token.kind and not joined[-1].kind:
            joined[-1] = PayloadToken(joined[-1].text + token.text)
        else:
            joined.append(token)
    return joined


def masked_email(email: str | None, role: Role) -> str:
    """An address as this role may read it: a viewer sees whose house it is, not whose desk."""
    if not email:
        return ""
    if role.includes(Role.SUPPORT):
        return email
    name, at, host = email.partition("@")
    return f"{name[:1]}…{at}{host}"

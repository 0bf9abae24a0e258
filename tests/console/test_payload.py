"""Payloads as each role reads them: secrets hidden from all, personal data from viewers."""

import orjson
import pytest

from app.console.pages.payload import shown_payload
from app.console.people.roles import Role

BODY = {
    "id": "pi_1",
    "client_secret": "pi_1_secret_abc",
    "metadata": {"customer": "Ada of Elm Street", "invoice_id": "7"},
    "custom_fields": [{"text": {"value": "Ada of Elm Street"}}],
    "billing_details": {"name": "Ada of Elm Street"},
    "amount": 1200,
}


@pytest.mark.parametrize("role", Role)
def test_personal_data_is_read_by_support_and_secrets_by_nobody(role: Role) -> None:
    text = "".join(token.text for token in shown_payload(orjson.dumps(BODY), role).tokens)

    assert "_secret_abc" not in text
    assert ("Ada of Elm Street" in text) == role.includes(Role.SUPPORT)
    assert "pi_1" in text
    assert "1200" in text

"""Support finds every payment of a client and of an amount, also those that no invoice has."""

import pytest

from app.payments import lookup
from tests.harness import CLIENTS, INTENTS, Paydue, event, intent

pytestmark = pytest.mark.anyio


async def test_a_second_payment_that_names_no_invoice_is_found_by_client_and_amount(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(name="Northwind Dental")
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    invoice = await paydue.an_invoice("690.00", client=client)
    await paydue.autopay()
    customer = row.stripe_customer_id
    second = intent(None, customer=customer, amount=69_000, id="pi_second")
    other = intent(None, customer=customer, amount=99_900, id="pi_other")
    await paydue.deliver(*(event("payment_intent.succeeded", one) for one in (second, other)))
    (charged,) = await paydue.rows(INTENTS, INTENTS.c.intent_id.not_in(["pi_second", "pi_other"]))

    found = {}
    async with paydue.database.snapshot() as tx:
        for text in ("northwind", customer, "690.00", "999.00", str(invoice)):
            stories = await lookup.find_intents(tx, text)
            found[text] = {one.intent_id for one in stories}

    both = {charged.intent_id, "pi_second"}
    assert found["northwind"] == found[customer] == both | {"pi_other"}
    assert found["690.00"] == both
    assert found["999.00"] == {"pi_other"}
    assert found[str(invoice)] == {charged.intent_id}


async def test_as_many_as_are_looked_for_are_said_to_be_perhaps_not_all(paydue: Paydue) -> None:
    client = await paydue.a_client(name="Fabrikam")
    async with paydue.database.snapshot() as tx:
        none = await lookup.find_intents(tx, "Fabrikam")
    for _ in range(lookup.FOUND_MAX + 1):
        await paydue.an_invoice("5.00", client=client, take_auto_payment=False)

    async with paydue.database.snapshot() as tx:
        many = await lookup.find_intents(tx, "Fabrikam")

    assert (lookup.may_be_more(none), lookup.may_be_more(many)) == (False, True)

"""Autopay's rules decide what a run takes; a person's approval lets through what they hold."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import delete, insert

from app.ledger import autopay_policy
from app.ledger.autopay_policy import RULES
from app.storage.column_types import table_of
from app.storage.tables.invoices import InvoiceLine
from tests.gate import Gate
from tests.harness import CLIENTS, INVOICES, Paydue, settings_for, today, watched

pytestmark = pytest.mark.anyio

LINES = table_of(InvoiceLine)


async def post(paydue: Paydue, path: str, body: Any, *scopes: str) -> tuple[int, Any]:
    headers = await paydue.access(*scopes)
    async with paydue.http.post(f"/api/{path}", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def add(paydue: Paydue, **rule: Any) -> int:
    status, saved = await post(paydue, "AutopayRule", [{"name": "the rule", **rule}])
    assert status == 200, saved
    return int(saved["id"])


def invoices(report: dict[str, Any], kind: str) -> list[int]:
    return sorted(one["invoice_id"] for one in report[kind])


# --- rules -----------------------------------------------------------------------------------


async def test_a_rule_never_charges_and_its_name_is_told(paydue: Paydue) -> None:
    kept, other = await paydue.an_invoice(contract_id=40), await paydue.an_invoice()
    await add(paydue, name="Projects", action="never", contract_id=40)

    foreseen, report = await paydue.foresee(), await paydue.autopay()

    for one in (foreseen, report):
        assert invoices(one, "charged") == [other]
        (skipped,) = one["skipped"]
        assert skipped["invoice_id"] == kept
        assert skipped["reason"] == "the rule 'Projects' never charges it"
        assert skipped["rule"] == "Projects"
    assert await paydue.attempts(kept) == []


async def test_a_charge_keeps_the_name_of_its_rule(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    await add(paydue, name="All of them")

    (charged,) = (await paydue.autopay())["charged"]

    assert charged["rule"] == "All of them"
    assert [one.rule_name for one in await paydue.attempts(invoice)] == ["All of them"]


async def test_a_rule_moves_the_day_of_a_charge_both_ways(paydue: Paydue) -> None:
    early = await paydue.an_invoice(due=today() + timedelta(days=5), order_number="early")
    late = await paydue.an_invoice(due=today() - timedelta(days=1), order_number="late")
    # The run looks at the day after, too, where it has begun somewhere; its charge is a day later.
    ahead = await paydue.an_invoice(due=today() + timedelta(days=7), order_number="early")
    await add(paydue, name="Early", order_number="EARLY", days=-5)
    await add(paydue, name="Late", order_number="late", days=3)

    foreseen, report = await paydue.foresee(), await paydue.autopay()

    for one in (foreseen, report):
        assert invoices(one, "charged") == [early]
        (skipped,) = one["skipped"]
        assert skipped["invoice_id"] == late
        assert skipped["next_try"] == str(today() + timedelta(days=2))
    assert await paydue.attempts(ahead) == []


async def test_a_rule_counts_from_the_invoice_date(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice(due=today() + timedelta(days=300))
    await add(paydue, day_from="invoice")

    assert invoices(await paydue.autopay(), "charged") == [invoice]


@pytest.mark.parametrize("consolidate", [None, True])
async def test_a_rule_takes_invoices_without_a_flag_only_where_it_says_so(
    paydue: Paydue, consolidate: bool | None
) -> None:
    client = await paydue.a_client()
    found = [
        await paydue.an_invoice(client=client, take_auto_payment=False, billingcategory=number)
        for number in (1, 2)
    ]
    await add(paydue, billingcategory=1, unflagged=True, consolidate=consolidate)
    await add(paydue, billingcategory=2)

    foreseen, report = await paydue.foresee(), await paydue.autopay()

    assert invoices(foreseen, "charged") == invoices(report, "charged") == found[:1]
    assert report["skipped"] == []


async def test_a_rule_decides_which_invoices_go_together(paydue: Paydue) -> None:
    client, other = await paydue.a_client(), await paydue.a_client(consolidate=True)
    together = [await paydue.an_invoice(client=client, contract_id=1) for _ in range(2)]
    alone = [await paydue.an_invoice(client=other, contract_id=2) for _ in range(2)]
    await add(paydue, contract_id=1, consolidate=True)
    await add(paydue, contract_id=2, consolidate=False)

    report = await paydue.autopay()

    intents = {one["invoice_id"]: one["intent_id"] for one in report["charged"]}
    assert sorted(intents) == sorted(together + alone)
    assert len({intents[one] for one in together}) == 1
    assert len({intents[one] for one in alone}) == 2


async def test_lines_custom_fields_and_kept_properties_are_looked_at(paydue: Paydue) -> None:
    line = await paydue.an_invoice()
    field = await paydue.an_invoice(extra={"customfields": [{"name": "CFTier", "value": "Gold"}]})
    terms = await paydue.an_invoice(extra={"paymentterms": 14})
    other = await paydue.an_invoice()
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(LINES).values(ihid=line, item_code="Server-1"))
    await add(paydue, action="never", item_code="SERVER-*")
    await add(paydue, action="never", property_name="cftier", property_value="gold")
    await add(paydue, action="never", property_name="paymentterms", property_value="14")

    report = await paydue.autopay()

    assert invoices(report, "charged") == [other]
    assert invoices(report, "skipped") == sorted([line, field, terms])


# --- changes meanwhile -----------------------------------------------------------------------


async def _never(paydue: Paydue, invoice: int) -> None:
    await add(paydue, action="never")


async def _later(paydue: Paydue, invoice: int) -> None:
    await add(paydue, days=2)


async def _ask(paydue: Paydue, invoice: int) -> None:
    await add(paydue, action="ask", amount_from=100)


async def _other_method(paydue: Paydue, invoice: int) -> None:
    await add(paydue, charge_method="named", payment_method_id="pm_other")


async def _limit(paydue: Paydue, invoice: int) -> None:
    await limit(paydue, "invoice", 100)


CHANGES = [
    (_never, "the rule 'the rule' never charges it"),
    (_later, f"the rule 'the rule' charges it on {today() + timedelta(days=2)}"),
    (_ask, "the rule 'the rule' asks a person first"),
    (_other_method, "the rule about its payment method has changed"),
    (_limit, "it is over the limit of 100.00 usd for one invoice"),
]


async def limit(paydue: Paydue, kind: str, amount: int, **more: Any) -> None:
    body = [{"kind": kind, "currency": "usd", "amount": amount, **more}]
    status, said = await post(paydue, "AutopayLimit", body)
    assert status == 200, said


@pytest.mark.parametrize(("change", "why"), CHANGES)
async def test_a_charge_under_way_is_withdrawn_by_a_rule_that_comes_before_its_confirm(
    paydue: Paydue, gate: Gate, database_url: str, change: Any, why: str
) -> None:
    invoice = await paydue.an_invoice()
    creates = gate.hold("POST", "/v1/payment_intents")

    settings_ = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings_, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        await creates.came()
        await change(paydue, invoice)
        creates.let_go()

    assert [one["reason"] for one in run.result()["skipped"]] == [why]
    assert paydue.sandbox.ledger.charges() == []
    assert [one.state for one in await paydue.attempts(invoice)] == ["canceled"]


# --- by what -----------------------------------------------------------------------------------


async def _with_bank_debit(paydue: Paydue) -> tuple[int, str]:
    """A client whose own method is a card, with a bank debit that is saved at Stripe."""
    client = await paydue.a_client()
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    bank = f"pm_bank_{client}"
    paydue.sandbox.add_payment_method(
        bank, customer=row.stripe_customer_id, behaviour=["bank_debit_succeeds"]
    )
    return client, bank


@pytest.mark.parametrize(
    ("rule", "total", "is_bank"),
    [
        ({}, "120.00", False),
        ({"charge_method": "bank"}, "120.00", True),
        ({"card_max": 100}, "100.00", False),
        ({"card_max": 100}, "100.01", True),
    ],
)
async def test_a_rule_says_which_method_is_charged(
    paydue: Paydue, rule: dict[str, Any], total: str, is_bank: bool
) -> None:
    client, bank = await _with_bank_debit(paydue)
    invoice = await paydue.an_invoice(total, client=client)
    await add(paydue, **rule)

    report = await paydue.autopay()

    assert invoices(report, "pending" if is_bank else "charged") == [invoice]
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.payment_method_id == bank) == is_bank


async def test_a_named_method_is_charged_only_where_it_is_the_clients(paydue: Paydue) -> None:
    client, bank = await _with_bank_debit(paydue)
    own, other = await paydue.an_invoice(client=client), await paydue.an_invoice()
    await add(paydue, charge_method="named", payment_method_id=bank)

    report = await paydue.autopay()

    assert invoices(report, "pending") == [own]
    assert [one["invoice_id"] for one in report["held"]] == [other]
    assert f"{bank} is not attached" in report["held"][0]["reason"]


async def test_a_card_is_not_charged_more_than_its_rule_allows(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("100.01")
    await add(paydue, name="Small cards", card_max=100)

    (skipped,) = (await paydue.autopay())["skipped"]

    assert skipped["reason"] == (
        "the rule 'Small cards' lets a card pay 100.00 usd at most, and no bank debit is saved"
    )
    assert await paydue.attempts(invoice) == []


# --- the preview and the run -------------------------------------------------------------------

SOME = st.sampled_from([None, None, 1, 2])
RULE = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["charge", "never", "ask"]),
        "contract_id": SOME,
        "billingcategory": SOME,
        "amount_from": st.sampled_from([None, 50, 100]),
        "amount_to": st.sampled_from([None, 100, 200]),
        "days": st.integers(-2, 2),
        "unflagged": st.booleans(),
        "inactive": st.booleans(),
    }
)
# Every charge day of those rules lies among these.
DAYS = [today() + timedelta(days=number) for number in range(-5, 6)]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rules=st.lists(RULE, max_size=3), added=RULE)
async def test_a_preview_moves_what_the_run_moves(
    paydue: Paydue, rules: list[dict[str, Any]], added: dict[str, Any]
) -> None:
    await _some_invoices(paydue)
    async with paydue.database.transaction() as tx:
        await tx.execute(delete(RULES))
        await autopay_policy.raise_revision(tx)
    for rule in rules:
        await add(paydue, **rule)
    before = await _standings(paydue)

    status, previewed = await post(paydue, "AutopayRule/preview", [{"name": "new", **added}])
    await add(paydue, **added)

    assert status == 200, previewed
    after = await _standings(paydue)
    assert {one["invoice_id"]: one["move"] for one in previewed["invoices"]} == {
        invoice: move
        for invoice in before.keys() | after.keys()
        if (move := _move(before.get(invoice), after.get(invoice)))
    }


async def _some_invoices(paydue: Paydue) -> None:
    if await paydue.rows(INVOICES, INVOICES.c.id > 0):
        return
    client = await paydue.a_client()
    for number in range(40):
        await paydue.an_invoice(
            f"{number * 6 + 1}.00",
            client=client,
            due=today() + timedelta(days=number % 5 - 2),
            contract_id=number % 3 or None,
            billingcategory=number % 4 or None,
            take_auto_payment=number % 7 != 0,
        )


async def _standings(paydue: Paydue) -> dict[int, tuple[str, date]]:
    """How each invoice fares in runs of all days: charged or held, and from which day on."""
    found: dict[int, tuple[str, date]] = {}
    for day in DAYS:
        report = await paydue.foresee(day)
        for kind in ("charged", "held"):
            for one in report[kind]:
                found.setdefault(one["invoice_id"], (kind, day))
    return found


def _move(was: tuple[str, date] | None, will: tuple[str, date] | None) -> str | None:
    if was == will:
        return None
    if will is None:
        return "out"
    if was is None or was[0] != will[0]:
        return "in" if will[0] == "charged" else "ask"
    return "day"


async def test_a_preview_changes_nothing(paydue: Paydue) -> None:
    await paydue.an_invoice("12500.00")
    rule = {"name": "Large", "action": "ask", "amount_from": 10000}

    status, said = await post(paydue, "AutopayRule/preview", [rule], "read:autopay")

    assert status == 200
    assert said["moves"] == [{"move": "ask", "currency": "usd", "count": 1, "amount": 12500.0}]
    assert await paydue.rows(RULES, RULES.c.id > 0) == []


# --- the rules themselves ----------------------------------------------------------------------


async def test_rules_keep_their_order_and_make_room(paydue: Paydue) -> None:
    for name in "abc":
        await add(paydue, name=name)
    await add(paydue, name="first", sequence=1)

    await post(paydue, "AutopayRule", [{"id": 3, "sequence": 2}])

    headers = await paydue.access()
    async with paydue.http.get("/api/AutopayRule?order=sequence", headers=headers) as answer:
        listed = (await answer.json())["rules"]
    assert [(one["sequence"], one["name"]) for one in listed] == [
        (1, "first"), (2, "c"), (3, "a"), (4, "b"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"action": "sometimes"}, "action: is none of charge, never, ask"),
        ({"weekdays": "mon,someday"}, "weekdays: 'som' is none of"),
        ({"move_days": "back", "holidays": "ZZ"}, "holidays: 'ZZ' is no country"),
        ({"charge_method": "named"}, "payment_method_id: belongs to"),
        ({"amount_from": 2, "amount_to": 1}, "amount_to: is less than amount_from"),
    ],
)
async def test_a_rule_that_cannot_be_meant_is_refused(
    paydue: Paydue, rule: dict[str, Any], said: str
) -> None:
    status, answer = await post(paydue, "AutopayRule", [{"name": "a", **rule}])

    assert (status, said in answer["Message"]) == (400, True), answer
    assert await paydue.rows(RULES, RULES.c.id > 0) == []


async def test_only_a_scope_of_its_own_opens_rules(paydue: Paydue) -> None:
    for path in ("AutopayRule", "AutopayLimit"):
        status, _ = await post(paydue, path, [{"name": "a"}], "edit:invoices", "read:autopay")
        assert status == 403


async def test_without_any_decision_a_run_asks_the_database_nothing_more(paydue: Paydue) -> None:
    """One column of a statement that is sent anyway says that there are no rules."""
    await paydue.an_invoice()
    seen: list[str] = []

    with watched(paydue.database, lambda statement, _: seen.append(statement)):
        await paydue.autopay()

    tables = ("autopay_rule", "autopay_limit", "autopay_pause", "autopay_approval")
    assert [one for one in seen if any(f"FROM {table}" in one for table in tables)] == []
    assert any("autopay_revision" in one for one in seen)

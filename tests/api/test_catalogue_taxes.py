"""Tax rates, composite ones among them, and the rules that choose a rate."""

from decimal import Decimal
from typing import Any

import pytest

from tests.api.client import Api

pytestmark = pytest.mark.anyio


async def _rates(api: Api, *values: str) -> list[int]:
    made = await api.post("/api/Tax", *({"name": f"at {one}", "value": one} for one in values))
    return [one["id"] for one in (made if isinstance(made, list) else [made])]


async def _composite(api: Api, *linked: int, **more: Any) -> Any:
    rates = [{"id": one} for one in linked]
    return await api.post("/api/Tax", {"name": "both", "linked_rates": rates, **more})


async def _ids(api: Api, path: str, **params: Any) -> list[int]:
    return [one["id"] for one in await api.get(path, **params)]


# --- rates -----------------------------------------------------------------------------------


async def test_a_tax_rate_is_written_read_changed_and_deleted(api: Api) -> None:
    made = await api.post("/api/Tax", {"name": "VAT", "code": "T1", "value": 19.5})

    changed = await api.post("/api/Tax", {"id": made["id"], "category_code": "S"})

    assert made == {
        "id": made["id"], "name": "VAT", "code": "T1", "value": Decimal("19.5"),
        "is_composite": False,
    }  # fmt: skip
    assert changed == {**made, "category_code": "S"}
    assert await api.get(f"/api/Tax/{made['id']}") == changed
    assert await api.get("/api/Tax") == [changed]
    gone = await api.send("DELETE", f"/api/Tax/{made['id']}")
    assert (gone.status, gone.json) == (200, {"id": made["id"]})
    assert (await api.send("DELETE", f"/api/Tax/{made['id']}")).status == 404
    assert await api.get("/api/Tax") == []


async def test_what_accounting_systems_call_a_rate_is_kept(api: Api) -> None:
    theirs = {
        "xero_tenant_name": "X", "xerotaxrate": {"id": "a", "name": "b"}, "qbocode": "TAX",
        "onseparateline": True, "myob_details_id": 4, "exact_division_name": "D",
    }  # fmt: skip

    made = await api.post("/api/Tax", {"name": "VAT", **theirs})

    shown = await api.get(f"/api/Tax/{made['id']}")
    assert {name: shown[name] for name in theirs} == theirs


@pytest.mark.parametrize(
    ("parameter", "property_", "mine", "other"),
    [
        ("kashflowtenantid", "kashflow_tenant_id", 3, 4),
        ("qbocompanyid", "qbo_company_id", "q3", "q4"),
        ("xerotenantid", "xero_tenant_id", "x3", "x4"),
    ],
)
async def test_rates_are_found_by_the_company_they_belong_to(
    api: Api, parameter: str, property_: str, mine: object, other: object
) -> None:
    made = await api.post(
        "/api/Tax",
        {"name": "a", property_: mine},
        {"name": "b", property_: other},
        {"name": "c"},
    )

    assert await _ids(api, "/api/Tax", **{parameter: mine}) == [made[0]["id"]]
    assert len(await _ids(api, "/api/Tax")) == 3


async def test_rates_of_third_parties_are_shown_when_asked_for(api: Api) -> None:
    theirs = {
        "thirdparty_tax_rates": [{"id": "7", "name": "NON"}],
        "qbotaxrate": {"id": "7", "name": "NON"},
    }
    made = await api.post("/api/Tax", {"name": "a", **theirs})

    path = f"/api/Tax/{made['id']}"

    plain = await api.get(path, includedetails="true")
    assert plain.keys().isdisjoint(theirs)
    assert await api.get(path, includeqbotaxrates="true") == {**plain, **theirs}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"value": 20}, "name"),
        ({"name": "a", "value": 100.5}, "value"),
        ({"name": "a", "value": -1}, "value"),
        ({"name": "a", "linked_rates": {"id": 1}}, "linked_rates"),
        ({"name": "a", "linked_rates": [{"name": "b"}]}, "linked_rates[0].id"),
        ({"name": "a", "linked_rates": [4711]}, "linked_rates[0].id"),
        ({"name": "a", "linked_rates": [{"id": 4711}]}, "linked_rates"),
    ],
)
async def test_a_rate_that_cannot_be_meant_is_refused_by_name(
    api: Api, given: dict[str, object], named: str
) -> None:
    answer = await api.send("POST", "/api/Tax", json=[given])

    assert answer.status == 400
    assert answer.json["Message"].startswith(f"{named}:")
    assert await api.get("/api/Tax") == []


# --- composite rates -------------------------------------------------------------------------


async def test_a_composite_rate_is_exactly_what_its_rates_add_up_to(api: Api) -> None:
    federal, provincial = await _rates(api, "5", "9.975")

    made = await _composite(api, federal, provincial, value=99)

    assert (made["value"], made["is_composite"]) == (Decimal("14.975"), True)
    assert made["linked_rates"] == [
        {"id": federal, "name": "at 5", "value": 5},
        {"id": provincial, "name": "at 9.975", "value": Decimal("9.975")},
    ]


async def test_a_composite_rate_follows_its_rates(api: Api) -> None:
    first, second, third = await _rates(api, "0.1", "0.2", "7")
    both = (await _composite(api, first, second))["id"]
    bystander = (await _composite(api, third))["id"]

    await api.post("/api/Tax", {"id": second, "value": "0.3"})

    assert (await api.get(f"/api/Tax/{both}"))["value"] == Decimal("0.4")
    await api.post("/api/Tax", {"id": both, "linked_rates": [{"id": third}]})
    assert (await api.get(f"/api/Tax/{both}"))["value"] == 7
    assert (await api.get(f"/api/Tax/{bystander}"))["value"] == 7


async def test_linked_rates_are_shown_when_details_are_asked_for(api: Api) -> None:
    part = (await _rates(api, "5"))[0]
    both = (await _composite(api, part))["id"]

    assert "linked_rates" not in await api.get(f"/api/Tax/{both}")
    detailed = await api.get(f"/api/Tax/{both}", includedetails="True")
    assert [one["id"] for one in detailed["linked_rates"]] == [part]


async def test_related_rates_are_parts_and_composites(api: Api) -> None:
    first, second, third = await _rates(api, "1", "2", "3")
    both = (await _composite(api, first, second))["id"]
    other = (await _composite(api, second, third))["id"]

    assert await _ids(api, "/api/Tax", related_to=both) == [first, second, both]
    assert await _ids(api, "/api/Tax", related_to=second) == [second, both, other]
    assert await _ids(api, "/api/Tax", related_to=4711) == []


async def test_a_rate_that_is_no_longer_composite_lets_its_rates_go(api: Api) -> None:
    part = (await _rates(api, "5"))[0]
    both = (await _composite(api, part))["id"]

    shown = await api.post("/api/Tax", {"id": both, "is_composite": False, "value": 6})

    assert (shown["value"], "linked_rates" in shown) == (6, False)
    assert (await api.send("DELETE", f"/api/Tax/{part}")).status == 200


async def test_composites_are_made_of_plain_rates_only(api: Api) -> None:
    part, other = await _rates(api, "5", "60")
    both = (await _composite(api, part))["id"]

    async def refused(record: dict[str, object]) -> bool:
        answer = await api.send("POST", "/api/Tax", json=record)
        return answer.status == 400 and answer.json["Message"].startswith("linked_rates")

    assert await refused({"name": "of a composite", "linked_rates": [{"id": both}]})
    assert await refused({"id": part, "linked_rates": [{"id": other}]})
    assert await refused({"id": both, "linked_rates": [{"id": both}]})
    assert (await api.get(f"/api/Tax/{both}"))["value"] == 5


async def test_composites_stay_under_a_hundred_percent(api: Api) -> None:
    first, second = await _rates(api, "60", "40.000001")

    answer = await api.send(
        "POST", "/api/Tax", json={"name": "a", "linked_rates": [{"id": first}, {"id": second}]}
    )

    assert answer.status == 400
    assert len(await _ids(api, "/api/Tax")) == 2


# --- what holds a rate -----------------------------------------------------------------------


async def test_a_rate_in_use_cannot_be_deleted_and_the_answer_says_what_uses_it(api: Api) -> None:
    on_a_line, in_a_rule, in_a_composite, free = await _rates(api, "1", "2", "3", "4")
    line = {"qty_order": 1, "unit_price": 10, "tax_code": str(on_a_line)}
    invoice = await api.post("/api/Invoice", {"lines": [line]})
    rule = await api.post("/api/TaxRule", {"name": "r", "taxid": in_a_rule})
    both = await _composite(api, in_a_composite)

    async def said(tax_id: int) -> str:
        answer = await api.send("DELETE", f"/api/Tax/{tax_id}")
        assert answer.status == 400
        return str(answer.json["Message"])

    assert f"invoice line {invoice['lines'][0]['id']}" in await said(on_a_line)
    assert f"tax rule {rule['id']}" in await said(in_a_rule)
    assert f"composite tax {both['id']}" in await said(in_a_composite)
    assert (await api.send("DELETE", f"/api/Tax/{free}")).status == 200
    assert free not in await _ids(api, "/api/Tax")


async def test_a_composite_goes_without_its_rates(api: Api) -> None:
    part = (await _rates(api, "5"))[0]
    both = (await _composite(api, part))["id"]

    assert (await api.send("DELETE", f"/api/Tax/{both}")).status == 200

    assert await _ids(api, "/api/Tax") == [part]
    assert (await api.send("DELETE", f"/api/Tax/{part}")).status == 200


# --- rules -----------------------------------------------------------------------------------


async def test_a_rule_is_written_read_changed_and_deleted(api: Api) -> None:
    first, second = await _rates(api, "1", "2")
    conditions = [
        {"value": "DE", "value_type": 1, "value_display": "Germany"},
        {"value_bool": True, "value_lookup": [{"id": "3", "name": "Three"}]},
    ]

    made = await api.post(
        "/api/TaxRule",
        {"name": "Germans", "taxid": first, "sequence": 3, "tax_conditions": conditions},
    )
    changed = await api.post("/api/TaxRule", {"id": made["id"], "taxid": second})

    shown = [
        {"id": one["id"], "tax_rule_id": made["id"], **given}
        for one, given in zip(made["tax_conditions"], conditions, strict=True)
    ]
    assert made == {
        "id": made["id"], "name": "Germans", "taxid": first, "tax_name": "at 1", "sequence": 3,
        "tax_conditions": shown,
    }  # fmt: skip
    assert changed == {**made, "taxid": second, "tax_name": "at 2"}
    assert await api.get("/api/TaxRule") == [changed]
    assert await api.get(f"/api/TaxRule/{made['id']}") == changed
    assert (await api.send("DELETE", f"/api/TaxRule/{made['id']}")).json == {"id": made["id"]}
    assert await api.get("/api/TaxRule") == []


async def test_conditions_are_the_whole_list(api: Api) -> None:
    rate = (await _rates(api, "1"))[0]
    made = await api.post(
        "/api/TaxRule",
        {"name": "r", "taxid": rate, "tax_conditions": [{"value": "a"}, {"value": "b"}]},
    )
    kept = made["tax_conditions"][1]["id"]

    changed = await api.post(
        "/api/TaxRule",
        {"id": made["id"], "tax_conditions": [{"value": "c"}, {"id": kept, "value_type": 2}]},
    )

    found = [(one["value"], one.get("value_type")) for one in changed["tax_conditions"]]
    assert found == [("b", 2), ("c", None)]
    assert changed["tax_conditions"][0]["id"] == kept
    emptied = await api.post("/api/TaxRule", {"id": made["id"], "tax_conditions": []})
    assert emptied["tax_conditions"] == []


async def test_a_condition_of_another_rule_is_not_found(api: Api) -> None:
    rate = (await _rates(api, "1"))[0]
    one, other = await api.post(
        "/api/TaxRule",
        {"name": "one", "taxid": rate, "tax_conditions": [{"value": "a"}]},
        {"name": "other", "taxid": rate},
    )
    stolen = {"id": one["tax_conditions"][0]["id"]}

    answer = await api.send(
        "POST", "/api/TaxRule", json={"id": other["id"], "tax_conditions": [stolen]}
    )

    assert answer.status == 404
    assert (await api.get(f"/api/TaxRule/{one['id']}"))["tax_conditions"] != []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"name": "r"}, "taxid"),
        ({"name": "r", "taxid": 4711}, "taxid"),
        ({"taxid": 1}, "name"),
        ({"name": "r", "taxid": 1, "tax_conditions": 3}, "tax_conditions"),
    ],
)
async def test_a_rule_that_cannot_be_meant_is_refused_by_name(
    api: Api, given: dict[str, object], named: str
) -> None:
    await _rates(api, "1")

    answer = await api.send("POST", "/api/TaxRule", json=given)

    assert answer.status == 400
    assert answer.json["Message"].startswith(f"{named}:")

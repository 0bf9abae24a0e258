"""What goes over the wire: exact numbers, dates, flags, bodies, and what is refused."""

import json
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

from tests.api.client import Api
from tests.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture
def api(service: Service) -> Api:
    return service.api


@pytest.mark.parametrize(
    "price",
    ["0.1", "0.000001", "1163.38", "10", "10.50", "-3.3", "999999.999999", "1e2", "0.10000000000"],
)
async def test_money_comes_back_with_the_same_value(api: Api, price: str) -> None:
    answer = await api.post_text("/api/Invoice", f'[{{"lines": [{{"unit_price": {price}}}]}}]')

    assert answer.status == 201, answer.text
    assert answer.json["lines"][0]["unit_price"] == Decimal(price)


async def test_a_number_is_written_as_people_write_it(api: Api) -> None:
    answer = await api.post_text(
        "/api/Invoice", '[{"lines": [{"unit_price": "0.1"}, {"unit_price": 20.0}]}]'
    )

    assert '"unit_price":0.1,' in answer.text
    assert '"unit_price":20,' in answer.text
    assert '"total":20.1,' in answer.text


# A double's digits as JSON writes them, and the 15 that are kept of them, halves away from zero.
@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0.3333333333333333", "0.333333333333333"), ("0.0000123456", "0.0000123456"),
        ("6.17E-05", "0.0000617"), ("0.30000000000000004", "0.3"),
        ("2.0000000000000005", "2"), ("0.66666666666666663", "0.666666666666667"),
        ("1.00000000000000500", "1.00000000000001"), ("-1.000000000000005", "-1.00000000000001"),
        ("9876543210.1234567", "9876543210.12346"), ("1E-20", "0.00000000000000000001"),
        ("4e-21", "0"), ("-0.0", "0"), ("1e-28", "0"),
    ],
)  # fmt: skip
async def test_a_double_keeps_fifteen_digits(api: Api, written: str, kept: str) -> None:
    """B10 of the cases from the field."""
    fields = ("unit_price", "unit_cost")
    given = ", ".join(f'"{name}": {written}' for name in fields)

    answer = await api.post_text("/api/RecurringInvoice", f'[{{"add_lines": [{{{given}}}]}}]')

    line = (await api.get(f"/api/RecurringInvoice/{answer.json['id']}"))["lines"][0]
    assert [line[name] for name in fields] == [Decimal(kept)] * 2


async def test_amounts_of_many_digits_are_rounded_once(api: Api) -> None:
    """A third of three cents, three times: a cent each; rates and prices below a millionth."""
    third = {"qty_order": "0.333333333333333", "unit_price": "0.03"}
    tiny = {"qty_order": 810005.5, "unit_price": "0.0000123456", "tax_rate": "0.0000617"}

    made = await api.post("/api/Invoice", {"lines": [third] * 3})
    small = await api.post("/api/Invoice", {"lines": [tiny]})

    assert made["total"] == Decimal("0.03")
    assert small["lines"][0]["net_amount"] == Decimal("10.0000039008")
    assert (small["total"], small["tax_total"]) == (10, 0)
    assert small["lines"][0]["tax_rate"] == Decimal("0.0000617")


@pytest.mark.parametrize(
    "price",
    ["NaN", "Infinity", "-Infinity", "true", "1e999", "1e-999", "1e99999999999999999999",
     "123456789012345678901234567890", '"a"', '"1_0"', '"NaN"', "[]", "{}",
     "0.1000000000000000000000000000000001", "1" * 5000, "9300000000000"],
)  # fmt: skip
async def test_a_number_that_cannot_be_meant_is_refused_by_name(api: Api, price: str) -> None:
    answer = await api.post_text("/api/Invoice", f'[{{"lines": [{{"unit_price": {price}}}]}}]')

    assert answer.status == 400
    assert "lines[0].unit_price" in answer.json["Message"]
    assert len(answer.text) < 500


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2026-11-22", "2026-11-22T00:00:00"),
        ("2026-11-22T10:20:30Z", "2026-11-22T10:20:30"),
        ("2026-11-22T10:20:30.000Z", "2026-11-22T10:20:30"),
        ("2026-11-22T10:20:30.5Z", "2026-11-22T10:20:30.500000"),
        ("2026-11-22T01:20:30+02:00", "2026-11-21T23:20:30"),
        ("2026-11-22T10:20:30.1234567Z", "2026-11-22T10:20:30.123456"),
        ("2026-11-22 10:20:30", "2026-11-22T10:20:30"),
    ],
)
async def test_an_instant_is_kept_in_utc_and_shown_without_a_zone(
    api: Api, said: str, kept: str
) -> None:
    made = await api.post("/api/Invoice", {"dateposted": said})

    assert made["dateposted"] == kept


@pytest.mark.parametrize(
    "said", ["2026-11-22", "2026-11-22T23:59:59.999-11:00", "2026-11-22T00:30:00+14:00"]
)
async def test_a_due_date_is_the_day_as_written(api: Api, said: str) -> None:
    made = await api.post("/api/Invoice", {"duedate": said})

    assert made["duedate"] == "2026-11-22T00:00:00"


@pytest.mark.parametrize("said", ["1899-12-30T00:00:00", "0001-01-01T00:00:00", "", None])
async def test_no_date_empties_the_date(api: Api, said: Any) -> None:
    made = await api.post("/api/Invoice", {"datesent": "2026-01-01", "duedate": "2026-01-01"})

    changed = await api.post("/api/Invoice", {"id": made["id"], "datesent": said, "duedate": said})

    assert changed["datesent"] == "1899-12-30T00:00:00"
    assert "duedate" not in changed


@pytest.mark.parametrize("said", ["tomorrow", "2026-13-01", 5, True, "0999-01-01", [],
                                  "9999-12-31T23:59:59-10:00"])  # fmt: skip
async def test_a_date_that_cannot_be_meant_is_refused_by_name(api: Api, said: Any) -> None:
    answer = await api.send("POST", "/api/Invoice", json=[{"dateposted": said}])

    assert answer.status == 400
    assert answer.json["Message"].startswith("dateposted: ")


@pytest.mark.parametrize(
    ("said", "kept"),
    [(True, True), ("True", True), ("true", True), (1, True), ("1", True), (False, False),
     ("False", False), (0, False), ("undefined", False), (None, False)],
)  # fmt: skip
async def test_a_flag_is_read_as_clients_write_it(api: Api, said: Any, kept: bool) -> None:
    made = await api.post("/api/Invoice", {"posted": said})

    assert made["posted"] is kept


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"posted": "maybe"}, "posted"),
        ({"posted": 2}, "posted"),
        ({"client_id": True}, "client_id"),
        ({"client_id": 1.5}, "client_id"),
        ({"client_id": 2**63}, "client_id"),
        ({"client_id": 4711}, "client_id"),
        ({"currency_code": 4711}, "currency_code"),
        ({"reference": ["a"]}, "reference"),
        ({"reference": "a\0b"}, "reference"),
        ({"invoicenumber": "9" * 256}, "invoicenumber"),
        ({"lines": {}}, "lines"),
        ({"lines": [5]}, "lines[0]"),
        ({"lines": [{"discount_perc": 101}]}, "lines[0].discount_perc"),
        ({"lines": [{"tax_rate": -1}]}, "lines[0].tax_rate"),
        ({"lines": [{"unit_price": 1}, {"qty_order": 1e12, "unit_price": 1e6}]}, "lines[1]"),
        ({"lines": [{"unit_price": 9e9}] * 2}, "total"),
        ({"uid": 1e300}, "uid"),
        ({"id": "x"}, "id"),
    ],
)
async def test_a_value_that_cannot_be_meant_is_refused_by_name(
    api: Api, values: dict[str, Any], named: str
) -> None:
    before = (await api.get("/api/Invoice"))["record_count"]

    answer = await api.send("POST", "/api/Invoice", json=[values])

    assert answer.status == 400, answer.text
    assert answer.json["Message"].startswith(named)
    assert (await api.get("/api/Invoice"))["record_count"] == before


async def test_half_a_character_is_refused(api: Api) -> None:
    for name in ("reference", "name", "customfields"):
        answer = await api.post_text("/api/Invoice", f'[{{"{name}": "\\ud800"}}]')

        assert answer.status == 400
        assert answer.json["Message"].startswith(name)


async def test_text_in_any_script_comes_back(api: Api) -> None:
    said = "Größe 漢字 🧾 \\ \" ' % _"

    assert (await api.post("/api/Invoice", {"reference": said}))["reference"] == said


async def test_a_number_in_a_text_field_is_its_digits(api: Api) -> None:
    assert (await api.post("/api/Invoice", {"reference": 42}))["reference"] == "42"


@pytest.mark.parametrize("body", ['{"posted": true}', '[{"posted": true}]', '[[{"posted": true}]]'])
async def test_one_object_is_answered_with_one_object(api: Api, body: str) -> None:
    answer = await api.post_text("/api/Invoice", body)

    assert answer.status == 201
    assert answer.json["posted"] is True


async def test_many_objects_are_answered_in_their_order(api: Api) -> None:
    first = await api.post("/api/Invoice", {"reference": "a"})

    made = await api.post("/api/Invoice", {"reference": "b"}, {"id": first["id"], "reference": "c"},
                          {"reference": "d"})  # fmt: skip

    assert [one["reference"] for one in made] == ["b", "c", "d"]
    assert made[1]["id"] == first["id"]


@pytest.mark.parametrize("body", ["", "nonsense", "[", "[]", "5", '"a"', "null", "[null]", "[[[]]]",
                                  "\ufffe", "[" * 100_000])  # fmt: skip
async def test_a_body_that_is_no_record_is_a_400(api: Api, body: str) -> None:
    answer = await api.post_text("/api/Invoice", body)

    assert answer.status == 400
    assert {"error", "error_description", "Message"} <= answer.json.keys()


async def test_a_body_in_a_wrong_encoding_is_a_400(api: Api) -> None:
    answer = await api.send("POST", "/api/Invoice", data=b'[{"reference": "\xff"}]')

    assert answer.status == 400


async def test_too_many_objects_are_a_400(api: Api) -> None:
    answer = await api.send("POST", "/api/Invoice", json=[{}] * 501)

    assert answer.status == 400


@pytest.mark.parametrize("is_counted", [True, False])
async def test_a_body_beyond_the_limit_is_a_413(api: Api, is_counted: bool) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 65536

    data: Any = BytesIO(b" " * (20 * 65536)) if is_counted else chunks()
    answer = await api.send("POST", "/api/Invoice", data=data)

    assert answer.status == 413
    assert answer.json["error"] == "body_too_large"


async def test_deeply_nested_values_are_refused(api: Api) -> None:
    body = '[{"customfields": ' + "[" * 200 + "]" * 200 + "}]"

    answer = await api.post_text("/api/Invoice", body)

    assert answer.status == 400
    assert answer.json["Message"].startswith("customfields")


async def test_names_nobody_knows_are_ignored(api: Api) -> None:
    before = (await api.get("/api/Invoice"))["record_count"]
    made = await api.post("/api/Invoice", {"nonsense": 1, "_validateonly": True})
    listed = await api.get("/api/Invoice", nonsense="x", orderby="id", count="true")

    assert "nonsense" not in made
    assert "_validateonly" not in made
    assert listed["record_count"] == before + 1


async def test_properties_of_the_wider_schema_are_given_back(api: Api) -> None:
    fields = {
        "contract_id": 7,
        "percent": 12.5,
        "internal_note": "mind the gap",
        "schedule_date": "2026-05-01T00:00:00.000Z",
        "customfields": [{"id": 1, "name": "CFx", "value": 2.5}],
        "hideinvoice": "True",
    }
    line = {"unit_price": 1, "asset_id": 9, "startdate": "2026-05-01T00:00:00Z"}

    made = await api.post("/api/Invoice", {**fields, "lines": [line]})
    changed = await api.post("/api/Invoice", {"id": made["id"], "ticket_id": 3, "percent": None})

    assert changed["contract_id"] == 7
    assert changed["percent"] == 100
    assert changed["schedule_date"] == "2026-05-01T00:00:00"
    assert changed["customfields"] == fields["customfields"]
    assert changed["hideinvoice"] is True
    assert changed["ticket_id"] == 3
    assert changed["lines"][0]["asset_id"] == 9
    assert changed["lines"][0]["startdate"] == "2026-05-01T00:00:00"


async def test_what_is_ours_cannot_be_set(api: Api) -> None:
    lies = {
        "total": 1, "tax_total": 1, "revenue": 1, "amountpaid": 1, "amountdue": 1,
        "paymentstatus": 2, "voided": True, "is_recurring_invoice": True, "payments_pending": 1,
        "datepaid": "2026-01-01", "currency_iso": "eur", "client_name": "Eve", "change_seq": 9,
        "extra": {"total": 5}, "customer_paid_total": 3, "use": "credit", "amount_remaining": 4,
    }  # fmt: skip
    honest = await api.invoice("10")

    made = await api.post("/api/Invoice", {**lies, "lines": [{"unit_price": 10}]})

    for name in lies:
        assert made.get(name) == honest.get(name), name


async def test_a_whole_record_can_be_posted_back(api: Api) -> None:
    made = await api.invoice("10", client_id=await api.client(), duedate="2026-01-31")

    again = await api.post("/api/Invoice", made)

    assert {**again, "change_seq": 0, "last_modified": ""} == {
        **made, "change_seq": 0, "last_modified": "",
    }  # fmt: skip


async def test_a_list_of_nothing_but_defaults_has_no_nulls(api: Api) -> None:
    await api.post("/api/Invoice", {})

    assert None not in (await api.get("/api/Invoice"))["invoices"][0].values()


@pytest.mark.parametrize("path", ["/api/Invoice", "/api/invoice", "/API/INVOICE", "/api/Invoice/"])
async def test_paths_are_found_in_any_case(api: Api, path: str) -> None:
    made = await api.post("/api/Invoice", {})

    assert made["id"] in [one["id"] for one in (await api.get(path))["invoices"]]


@pytest.mark.parametrize(
    "path",
    ["/api/Nothing", "/api/Invoice/4711000", "/api/Invoice/-5", "/nothing",
     "/api/Invoice/UpdateLines", "/api/Invoice/99999999999999999999"],
)  # fmt: skip
async def test_what_does_not_exist_is_a_404_in_json(api: Api, path: str) -> None:
    answer = await api.send("GET", path)

    assert answer.status == 404
    assert {"error", "error_description", "Message"} <= answer.json.keys()


async def test_a_wrong_method_is_a_405_in_json(api: Api) -> None:
    answer = await api.send("PATCH", "/api/Invoice")

    assert answer.status == 405
    assert json.loads(answer.text)["Message"]

"""Idempotency-Key: a POST that is sent again is not done again."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app.halo.access.api_credentials import create_credential
from app.storage.tables.credentials import IdempotencyRecord
from tests.api.client import Answer, Api
from tests.clock import NOW, Clock

pytestmark = pytest.mark.anyio


async def post(api: Api, key: str, *objects: Any, path: str = "/api/Client") -> Answer:
    headers = {**api.headers, "Idempotency-Key": key}
    return await api.send("POST", path, json=list(objects), headers=headers)


async def clients(api: Api) -> int:
    found = await api.get("/api/Client")
    count: int = found["record_count"]
    return count


async def kept(api: Api) -> int:
    async with api.database.snapshot() as tx:
        return await tx.scalar(select(func.count()).select_from(IdempotencyRecord)) or 0


def is_replayed(answer: Answer) -> bool:
    return bool(answer.headers.get("Idempotent-Replayed") == "true")


async def test_the_same_request_again_gets_the_same_answer_and_does_nothing(api: Api) -> None:
    first = await post(api, "k1", {"name": "Ada Ltd"})
    again = await post(api, "k1", {"name": "Ada Ltd"})

    assert (first.status, is_replayed(first)) == (200, False)
    assert (again.status, is_replayed(again)) == (200, True)
    assert again.text == first.text
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert await clients(api) == 1


async def test_an_answer_keeps_its_status(api: Api) -> None:
    first = await post(api, "k1", {}, path="/api/Invoice")
    again = await post(api, "k1", {}, path="/api/Invoice")

    assert (first.status, again.status) == (201, 201)
    assert again.text == first.text


@pytest.mark.parametrize(
    ("path", "body"), [("/api/Client", {"name": "Bob Ltd"}), ("/api/Invoice", {"name": "Ada Ltd"})]
)
async def test_a_key_of_another_request_is_refused(
    api: Api, path: str, body: dict[str, str]
) -> None:
    await post(api, "k1", {"name": "Ada Ltd"})

    other = await post(api, "k1", body, path=path)

    assert (other.status, other.json["error"]) == (422, "key_reused")
    assert "k1" in other.json["Message"]
    assert await clients(api) == 1
    assert (await api.get("/api/Invoice"))["record_count"] == 0


async def test_a_path_is_the_same_in_any_case(api: Api) -> None:
    await post(api, "k1", {"name": "Ada Ltd"})

    assert is_replayed(await post(api, "k1", {"name": "Ada Ltd"}, path="/api/client/"))


async def test_ten_at_once_do_it_once(api: Api) -> None:
    answers = await asyncio.gather(*(post(api, "k1", {"name": "Ada Ltd"}) for _ in range(10)))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert sum(is_replayed(answer) for answer in answers) == 9
    assert await clients(api) == 1


async def test_ten_payments_at_once_are_one_payment(api: Api) -> None:
    invoice = await api.invoice(100)
    payment = {"invoice_id": invoice["id"], "amount": 40}

    answers = await asyncio.gather(
        *(post(api, "k1", payment, path="/api/InvoicePayment") for _ in range(10))
    )

    assert len({answer.text for answer in answers}) == 1
    assert (await api.get(f"/api/Invoice/{invoice['id']}"))["amountpaid"] == 40


async def test_a_request_that_loses_every_race_is_asked_to_come_again_and_did_nothing(
    api: Api,
) -> None:
    await run(api, *_NOTHING_IS_KEPT[api.database.is_sqlite])

    lost = await post(api, "k1", {"name": "Ada Ltd"})
    nothing = await clients(api)
    await run(api, "DROP TRIGGER lost" + ("" if api.database.is_sqlite else " ON kept_answer"))
    done = await post(api, "k1", {"name": "Ada Ltd"})

    assert (lost.status, lost.headers["Retry-After"]) == (503, "5")
    assert lost.json["Message"] == "others keep changing the same records; try again"
    assert nothing == 0
    assert (done.status, is_replayed(done)) == (200, False)
    assert await clients(api) == 1


# As if somebody else had kept an answer each time: the row is not inserted, and none is there.
_NOTHING_IS_KEPT = {
    True: ("CREATE TRIGGER lost BEFORE INSERT ON kept_answer BEGIN SELECT RAISE(IGNORE); END",),
    False: (
        "CREATE FUNCTION lost() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER lost BEFORE INSERT ON kept_answer FOR EACH ROW EXECUTE FUNCTION lost()",
    ),
}


async def run(api: Api, *statements: str) -> None:
    async with api.database.transaction() as tx:
        for one in statements:
            await tx.execute(text(one))


async def test_without_a_key_everything_is_done_again(api: Api) -> None:
    await api.client()
    await api.client()

    assert await clients(api) == 2
    assert await kept(api) == 0


async def test_a_refusal_is_remembered_too(api: Api) -> None:
    payment = {"invoice_id": 4711, "amount": 1}
    first = await post(api, "k1", payment, path="/api/InvoicePayment")
    again = await post(api, "k1", payment, path="/api/InvoicePayment")

    assert first.status == again.status == 404
    assert (again.text, is_replayed(again)) == (first.text, True)


async def test_a_body_that_is_no_json_is_refused_alike_each_time(api: Api) -> None:
    headers = {**api.headers, "Idempotency-Key": "k1"}
    first = await api.send("POST", "/api/Client", data=b"[{", headers=headers)
    again = await api.send("POST", "/api/Client", data=b"[{", headers=headers)

    assert first.status == again.status == 400
    assert is_replayed(again)


async def test_keys_of_different_credentials_do_not_meet(api: Api) -> None:
    await post(api, "k1", {"name": "Ada Ltd"})
    async with api.database.transaction() as tx:
        another = await create_credential(tx, "another", ["all"], NOW)
    await api.sign_in(*another)

    answer = await post(api, "k1", {"name": "Ada Ltd"})

    assert (answer.status, is_replayed(answer)) == (200, False)
    assert await clients(api) == 2


async def test_a_token_that_opens_less_is_not_told_the_answer(api: Api) -> None:
    async with api.database.transaction() as tx:
        credentials = await create_credential(tx, "another", ["all"], NOW)
    await api.sign_in(*credentials)
    await post(api, "k1", {"name": "Ada Ltd"})
    await api.sign_in(*credentials, scope="read:invoices")

    answer = await post(api, "k1", {"name": "Ada Ltd"})

    assert answer.status == 422
    assert "Ada" not in answer.text


async def test_what_a_token_may_not_do_is_not_remembered(api: Api) -> None:
    async with api.database.transaction() as tx:
        credentials = await create_credential(tx, "another", ["all"], NOW)
    await api.sign_in(*credentials, scope="read:invoices")
    refused = await post(api, "k1", {"name": "Ada Ltd"})
    await api.sign_in(*credentials)

    assert refused.status == 403
    assert (await post(api, "k1", {"name": "Ada Ltd"})).status == 200


async def test_a_stranger_is_told_nothing(api: Api) -> None:
    await post(api, "k1", {"name": "Ada Ltd"})
    api.headers = {}

    assert (await post(api, "k1", {"name": "Ada Ltd"})).status == 401


async def test_a_day_later_a_key_is_new_again_and_the_old_answers_are_gone(
    api: Api, clock: Clock
) -> None:
    async with api.database.transaction() as tx:
        credentials = await create_credential(tx, "another", ["all"], NOW)
    await api.sign_in(*credentials)
    for number in range(3):
        await post(api, f"k{number}", {"name": "Ada Ltd"})
    clock.advance(hours=23, minutes=59)
    await api.sign_in(*credentials)
    assert is_replayed(await post(api, "k1", {"name": "Ada Ltd"}))

    clock.advance(minutes=1)
    later = await post(api, "k1", {"name": "Ada Ltd"})

    assert (later.status, is_replayed(later)) == (200, False)
    assert await clients(api) == 4
    assert await kept(api) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
async def test_a_key_that_cannot_be_kept_is_refused_by_name(api: Api, key: str) -> None:
    answer = await post(api, key, {"name": "Ada Ltd"})

    assert answer.status == 400
    assert answer.json["Message"].startswith("Idempotency-Key")
    assert await clients(api) == 0


async def test_work_that_is_undone_leaves_no_answer_behind(api: Api) -> None:
    """The second object fails after the first was written: neither it nor its answer stays."""
    known = (await post(api, "k0", {"name": "Ada Ltd"})).json["id"]

    refused = await post(api, "k1", {"name": "Bob Ltd"}, {"id": known + 1, "name": "x"})

    assert refused.status == 404
    assert await clients(api) == 1
    assert (await post(api, "k2", {"name": "Bob Ltd"})).status == 200

"""`paydue clients map` gives clients their customers at Stripe, and maps nothing wrong."""

import asyncio
from pathlib import Path

import pytest
import stripe
from sqlalchemy import insert, update

from app.errors import Refused
from app.ledger.audit import CHANGES
from app.ledger.customer_ids import CLIENTS
from app.payments import customer_mapping
from app.sandbox.server import Sandbox
from app.storage.engines import Database
from tests.harness import KEY, Paydue
from tests.patience import wait_limit
from tests.test_cli import DONE, FAILED, MISUSED, Command, command

pytestmark = pytest.mark.anyio


async def a_client(database: Database, name: str, email: str | None = None, **more: object) -> int:
    async with database.transaction() as tx:
        values = {"name": name, "email": email, "inactive": False, **more}
        found = await tx.scalar(insert(CLIENTS).values(values).returning(CLIENTS.c.id))
    assert isinstance(found, int)
    return found


async def mapped(paydue: Paydue) -> dict[int, str]:
    rows = await paydue.rows(CLIENTS, CLIENTS.c.stripe_customer_id.is_not(None))
    return {row.id: row.stripe_customer_id for row in rows}


async def delete(customer_id: str, url: str) -> None:
    http = stripe.AIOHTTPClient(timeout=wait_limit(2))
    client = stripe.StripeClient(KEY, base_addresses={"api": url}, http_client=http)
    await client.v1.customers.delete_async(customer_id)
    await http.close_async()


@pytest.fixture
def run(tmp_path: Path, database_url: str, stripe_url: str) -> Command:
    return command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)


async def some_of_each(paydue: Paydue, sandbox: Sandbox, url: str) -> list[int]:
    """Five clients, and more customers than a page of Stripe's has."""
    found = [
        await a_client(paydue.database, "Acme GmbH", "pay@acme.example"),
        await a_client(paydue.database, "Blue Cafe", "cafe@blue.example"),
        await a_client(paydue.database, "Nobody Knows"),
        await a_client(paydue.database, "Gone", "g@gone.example", stripe_customer_id="cus_gone"),
        await a_client(paydue.database, "Deleted Inc", "d@deleted.example"),
    ]
    sandbox.add_customer("cus_acme", name="Acme", email="Pay@acme.example")
    sandbox.add_customer("cus_cafe", name="Green Cafe", email="cafe@blue.example")
    sandbox.add_customer("cus_deleted", name="Deleted Inc", email="d@deleted.example")
    await delete("cus_deleted", url)
    for number in range(120):
        sandbox.add_customer(f"cus_other_{number}", name=f"Other {number}")
    return found


async def test_what_is_certain_is_written_once_it_is_confirmed_and_the_rest_is_shown(
    paydue: Paydue, sandbox: Sandbox, run: Command, stripe_url: str
) -> None:
    acme, cafe, lonely, gone, late = await some_of_each(paydue, sandbox, stripe_url)

    shown, program = await run("clients", "map"), await run("clients", "map", "--json")
    before = await mapped(paydue)
    done = await run("clients", "map", "--yes", "--by", "Ann")
    after = await mapped(paydue)
    again = (await run("clients", "map", "--yes", "--json")).json()

    assert before == {gone: "cus_gone"}
    assert after == {gone: "cus_gone", acme: "cus_acme"}
    assert shown.code == DONE
    assert f"client {cafe}: the e-mail address agrees, the name does not\n" in shown.out
    assert f"client {gone} has cus_gone, which Stripe does not show under this key" in shown.out
    assert "1 certain, 1 unsure, 2 without any like it, of 4 clients" in shown.out
    assert "nothing was written; --yes does it" in shown.out
    found = program.json()
    assert [one["client_id"] for one in found["certain"]] == [acme]
    assert [one["client_id"] for one in found["unsure"]] == [cafe]
    assert found["unsure"][0]["candidates"][0]["customer_id"] == "cus_cafe"
    assert (found["without"], found["customers"], found["written"]) == ([lonely, late], 122, [])
    assert done.out.endswith("1 clients have their customer now\n")
    assert (again["certain"], again["written"]) == ([], [])
    (change,) = await paydue.rows(CHANGES, CHANGES.c.field_name == "stripe_customer_id")
    assert (change.who, change.new_value) == ("Ann", f"client {acme}: cus_acme")


async def test_a_person_chooses_a_pair_and_a_taken_or_missing_customer_is_refused(
    paydue: Paydue, sandbox: Sandbox, run: Command
) -> None:
    cafe = await a_client(paydue.database, "Blue Cafe")
    other = await a_client(paydue.database, "Other", stripe_customer_id="cus_taken")
    for one in ("cus_cafe", "cus_taken"):
        sandbox.add_customer(one, name="Green Cafe")

    missing = await run("clients", "map", "--yes", "--pair", f"{cafe}=cus_nowhere")
    taken = await run("clients", "map", "--yes", "--pair", f"{cafe}=cus_taken")
    nobody = await run("clients", "map", "--yes", "--pair", "999999=cus_cafe")
    wrong = await run("clients", "map", "--yes", "--pair", "cus_cafe=1")
    done = await run("clients", "map", "--yes", "--pair", f"{cafe}=cus_cafe")
    again = await run("clients", "map", "--yes", "--pair", f"{cafe}=cus_cafe")

    assert [missing.code, taken.code, nobody.code, wrong.code] == [FAILED] * 3 + [MISUSED]
    assert "Stripe has no customer cus_nowhere under this key" in missing.err
    assert f"cus_taken is the customer of client {other} already" in taken.err
    assert done.code == DONE
    assert await mapped(paydue) == {cafe: "cus_cafe", other: "cus_taken"}
    assert again.code == FAILED
    assert f"cus_cafe is the customer of client {cafe} already" in again.err


async def test_a_pair_that_is_not_certain_any_more_is_left(
    paydue: Paydue, sandbox: Sandbox, stripe_url: str
) -> None:
    ids = [await a_client(paydue.database, f"Firm {one}", f"{one}@f.example") for one in "ABCD"]
    for one in "ABCD":
        sandbox.add_customer(f"cus_{one}", name=f"Firm {one}", email=f"{one}@f.example")
    database, gateway = paydue.database, paydue.node.gateway
    plan = await customer_mapping.plan_mapping(database, gateway, lambda *_: None)
    await delete("cus_A", stripe_url)
    sandbox.add_customer("cus_B2", name="Firm B", email="b@f.example")
    async with database.transaction() as tx:
        changed = update(CLIENTS).where(CLIENTS.c.id == ids[2]).values(name="Something Else")
        await tx.execute(changed)

    written = await customer_mapping.write_mapping(
        database, gateway, plan.certain, {}, who="tests"
    )  # fmt: skip

    assert len(plan.certain) == 4
    assert written == await mapped(paydue) == {ids[3]: "cus_D"}


async def test_at_once_a_customer_goes_to_one_client(paydue: Paydue, sandbox: Sandbox) -> None:
    ids = [await a_client(paydue.database, f"Firm {one}") for one in range(6)]
    sandbox.add_customer("cus_one", name="Firm")
    database, gateway = paydue.database, paydue.node.gateway

    ended = await asyncio.gather(
        *(
            customer_mapping.write_mapping(database, gateway, {}, {one: "cus_one"}, who="tests")
            for one in ids
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(one, Refused) for one in ended) == 5, ended
    assert list((await mapped(paydue)).values()) == ["cus_one"]

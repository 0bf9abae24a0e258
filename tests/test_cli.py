"""The command `paydue` as people and programs use it: its output, its words and its exit codes."""

import asyncio
import contextlib
import multiprocessing
import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import click
import orjson
import pytest
from click.testing import CliRunner

from app.cli import commands
from app.cli.command_group import paydue as group
from app.node import open_node
from app.payments.webhook.foreign_events import ForeignReason
from app.sandbox.server import Sandbox
from app.storage import schema
from tests.gate import Gate
from tests.harness import NO_STRIPE, SECRET, intent, settings_for, today
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "fixtures" / "demo.json"
PATIENCE_S = wait_limit(60)
AT_ONCE = 2
DONE, FAILED, MISUSED = 0, 1, 2

ENTRY = {"invoice_id", "intent_id", "amount", "currency", "reason", "next_try", "rule", "change"}
REPORT = {
    "day", "dry_run", "charged", "pending", "declined", "held", "unknown", "skipped", "failed",
}  # fmt: skip
STORY = {
    "invoice_id", "invoicenumber", "client_id", "intent_id", "status", "amount", "currency",
    "unapplied", "shares", "refunds", "disputes", "fraud_warnings", "attempts", "events",
}  # fmt: skip
ATTEMPT = {
    "number", "state", "at", "code", "decline_code", "advice_code", "reason", "next_try",
}  # fmt: skip
EVENT = {"id", "type", "received_at", "state", "error"}
LISTED_EVENT = {
    "id", "type", "state", "intent_id", "received_at", "source", "tries", "next_try_at", "error",
}  # fmt: skip
LISTED_ATTEMPT = {
    "id", "invoice_id", "number", "state", "step", "amount", "currency", "customer_id",
    "intent_id", "created_at", "check_at", "checks", "reason", "invoices",
}  # fmt: skip
STATUS = {
    "attempts_open", "attempts_unknown", "attempts_processing", "events_parked", "events_dead",
    "events_foreign", "oldest_parked_event_s", "last_reconciliation_s",
    "oldest_open_attempt_s", "due_today", "paid_today", "invoices_held",
    "refunds_unresolved", "disputes_open", "inquiries_open", "fraud_warnings_open", "evidence_due",
    "unapplied", "unapplied_by_currency", "jobs",
}  # fmt: skip
RECONCILED = {
    "events", "events_new", "intents", "intents_new", "reversals", "asked", "orphans_canceled",
    "attempts_restored", "unreadable", "unreadable_ids",
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == DONE, self.err
        return orjson.loads(self.out)


# Starting Python and importing everything takes a second or two. So this is done once, and each
# command runs in a process forked off from there, with a folder, an environment and output files
# of its own.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["app.cli", "app.cli.commands", "app.sandbox.server", __name__])


def _forked(words: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, out.with_suffix(".err"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    group(list(words), prog_name="paydue")


@dataclass(frozen=True)
class Command:
    """`paydue` in a folder and an environment of its own."""

    folder: Path
    environment: Mapping[str, str]

    async def __call__(self, *words: str) -> Said:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "said.out"
            environment = {"PATH": os.environ["PATH"], **self.environment}
            process = FORKS.Process(target=_forked, args=(words, self.folder, environment, out))
            process.start()
            try:
                await asyncio.to_thread(process.join, PATIENCE_S)
                assert process.exitcode is not None, f"{words} did not end"
                said = [path.read_text() for path in (out, out.with_suffix(".err"))]
                return Said(process.exitcode, *said)
            finally:
                process.kill()

    async def afresh(self, *words: str) -> Said:
        """In a new Python, as a shell starts it."""
        async with asyncio.timeout(PATIENCE_S), self.started(*words) as process:
            out, err = await process.communicate()
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), err.decode())

    @asynccontextmanager
    async def started(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", *words,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    def having(self, **environment: str) -> "Command":
        return replace(self, environment={**self.environment, **environment})

    def lacking(self, *names: str) -> "Command":
        kept = {name: value for name, value in self.environment.items() if name not in names}
        return replace(self, environment=kept)


def command(folder: Path, stripe_url: str) -> Command:
    return Command(
        folder,
        {
            "PAYDUE_DATABASE_URL": f"sqlite:///{folder / 'paydue.db'}",
            "PAYDUE_CREATE_DATABASE": "true",
            "PAYDUE_STRIPE_API_BASE": stripe_url,
            "PAYDUE_STRIPE_PACE": "10000",
            "PAYDUE_STRIPE_TIMEOUT": "5",
            "PAYDUE_LOG_LEVEL": "error",
            "STRIPE_API_KEY": "sk_test_tests",
            "STRIPE_WEBHOOK_SECRET": SECRET,
        },
    )


@pytest.fixture
def paydue(tmp_path: Path, stripe_url: str) -> Command:
    return command(tmp_path, stripe_url)


async def told(*calls: Any) -> list[Said]:
    """Several commands, a few at a time."""
    few = asyncio.Semaphore(AT_ONCE)

    async def one(call: Any) -> Said:
        async with few:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))


# --- a house with the demo's invoices, charged once ------------------------------------------


@dataclass(frozen=True)
class Billed:
    paydue: Command
    stripe: Sandbox
    imported: Said
    foreseen: dict[str, Any]
    report: dict[str, Any]
    reconciled: dict[str, Any]

    def entries(self) -> Iterator[dict[str, Any]]:
        for kind in REPORT - {"day", "dry_run"}:
            yield from self.report[kind]


@pytest.fixture(scope="module")
async def billed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Billed]:
    """The demo's file imported, a dry run, a run, and a reconciliation that brings the events."""
    stripe = Sandbox(seed=0)
    add_people(stripe)
    day = today().isoformat()
    async with stripe.running() as url:
        run = command(tmp_path_factory.mktemp("billed"), url)
        imported = await run("import", str(DEMO))
        foreseen = (await run("autopay", "run", "--dry-run", "--on", day, "--json")).json()
        assert stripe.ledger.charges() == []
        report = (await run("autopay", "run", "--on", day, "--json")).json()
        reconciled = (await run("reconcile", "--json")).json()
        yield Billed(run, stripe, imported, foreseen, report, reconciled)


def add_people(stripe: Sandbox) -> None:
    for client in orjson.loads(DEMO.read_bytes())["clients"]:
        if told_of := client.get("sandbox"):
            stripe.add_customer(
                client["stripe_customer_id"],
                payment_method=told_of["payment_method"],
                behaviour=told_of["behaviour"],
                default=told_of.get("default", False),
            )


async def test_a_file_is_imported_whole(billed: Billed) -> None:
    content = orjson.loads(DEMO.read_bytes())["clients"]

    invoices = sum(len(client["invoices"]) for client in content)

    assert billed.imported.code == DONE
    assert billed.imported.out == f"imported {len(content)} clients and {invoices} invoices\n"


async def test_the_catalogue_is_imported_beside_the_clients_or_not_at_all(
    paydue: Command, tmp_path: Path
) -> None:
    file = tmp_path / "catalogue.json"
    lists = {
        "Tax": [{"name": "VAT", "value": 19}, {"name": "VAT reduced", "value": 7}],
        "TaxRule": [{"name": "all", "taxid": 1, "tax_conditions": [{"value": "DE"}]}],
        "ChargeRate": [{"rate": 80, "charge_id": 1}],
    }

    async def said(content: object) -> Said:
        file.write_bytes(orjson.dumps(content))
        return await paydue("import", str(file))

    done = await said(lists)
    same = await said(lists)
    again = await said({"clients": [{"name": "A"}], "Tax": [{"id": 2, "value": 8}]})
    wrong = await said({"Tax": [{"name": "C"}], "ChargeRate": [{"area": 4711}]})
    misspelt = await said({"taxes": []})
    shapeless = await said({"Tax": {"name": "D"}})

    assert (done.code, done.out) == (
        DONE,
        "imported 0 clients and 0 invoices, 2 Tax, 1 TaxRule, 1 ChargeRate\n",
    )
    assert same.out == (
        "imported 0 clients and 0 invoices\nalready imported: 2 Tax, 1 TaxRule, 1 ChargeRate\n"
    )
    assert again.out == "imported 1 clients and 0 invoices, 1 Tax\n"
    assert (wrong.code, "area: 4711 does not exist" in wrong.err) == (FAILED, True)
    assert (misspelt.code, "clients" in misspelt.err) == (FAILED, True)
    assert (shapeless.code, "Tax: is not a list" in shapeless.err) == (FAILED, True)


async def test_a_runs_report_has_its_published_shape(billed: Billed) -> None:
    report = billed.report

    entries = list(billed.entries())

    assert report.keys() == REPORT
    assert (report["day"], report["dry_run"]) == (today().isoformat(), False)
    assert {len(report[kind]) > 0 for kind in ("charged", "pending", "declined", "skipped")} == {
        True
    }
    assert report["unknown"] == []
    for one in entries:
        assert one.keys() == ENTRY
        assert isinstance(one["amount"], str)
        assert re.fullmatch(r"\d+(\.\d+)?", one["amount"])
    yen = [one["amount"] for one in report["charged"] if one["currency"] == "jpy"]
    dollars = [one["amount"] for one in report["charged"] if one["currency"] == "usd"]
    assert yen
    assert all("." not in one for one in yen)
    assert all(re.fullmatch(r"\d+\.\d\d", one) for one in dollars)


async def test_what_the_report_says_was_charged_was_charged_once(billed: Billed) -> None:
    at_stripe = {one.payment_intent: one.amount for one in billed.stripe.ledger.charges()}

    charged = {one["intent_id"]: one["amount"] for one in billed.report["charged"]}

    assert charged.keys() == at_stripe.keys()
    assert billed.stripe.ledger.double_charges() == {}
    digits = {name: int(amount.replace(".", "")) for name, amount in charged.items()}
    assert digits == at_stripe


async def test_a_dry_run_names_what_the_run_then_tried(billed: Billed) -> None:
    tried = {one["invoice_id"] for kind in ("charged", "pending", "declined")
             for one in billed.report[kind]}  # fmt: skip

    foreseen = {one["invoice_id"] for one in billed.foreseen["charged"]}

    assert billed.foreseen["dry_run"] is True
    assert foreseen == tried
    assert {one["intent_id"] for one in billed.foreseen["charged"]} == {None}


async def test_a_run_again_charges_nothing_and_says_why(billed: Billed) -> None:
    before = len(billed.stripe.ledger.charges())

    said = await billed.paydue("autopay", "run", "--on", today().isoformat())

    assert said.code == DONE
    assert len(billed.stripe.ledger.charges()) == before
    assert "0 charged, 1 pending, 0 declined, 0 held, 0 unknown" in said.out  # the debit still is
    assert f"Business day {today()}" in said.out


async def test_reconciliation_counts_what_it_found(billed: Billed) -> None:
    again = (await billed.paydue("reconcile", "--json")).json()

    assert billed.reconciled.keys() == again.keys() == RECONCILED
    assert billed.reconciled["events_new"] > 0
    assert again["events_new"] == 0
    assert again["events"] == billed.reconciled["events"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error":null}', 200),
        (b'{"error":null}', 400),
        (b"[]", 200),
        (b"null", 200),
        (b'"text"', 200),
        (b'{"object":"customer","id":"cus_1"}', 200),
        (b'{"object":"list"}', 200),
        (b'{"object":"list","data":{}}', 200),
        (b'{"object":"list","data":[{},null],"has_more":true}', 200),
    ],
)
async def test_an_answer_that_is_no_list_ends_in_words_as_when_stripe_is_down(
    paydue: Command, gate: Gate, body: bytes, status: int
) -> None:
    await paydue("db", "upgrade")
    gate.answer("/payment_intents", body, status)

    said = await paydue.having(PAYDUE_STRIPE_API_BASE=gate.url)("reconcile")

    assert said.code == FAILED
    assert said.err.splitlines()[-1].startswith("paydue: Stripe gives no usable answer: Stripe")
    assert "Traceback" not in said.err + said.out


async def test_status_has_its_published_numbers(billed: Billed) -> None:
    plain, found = await told(billed.paydue("status"), billed.paydue("status", "--json"))

    assert found.json().keys() == STATUS
    assert found.json()["paid_today"] == len(billed.report["charged"])
    assert found.json()["attempts_processing"] == len(billed.report["pending"])
    assert found.json()["oldest_open_attempt_s"] is None
    assert found.json()["oldest_parked_event_s"] is None
    assert 0 <= found.json()["last_reconciliation_s"] < 3600
    assert "paid today" in plain.out


async def test_a_payment_is_found_by_whatever_support_has(billed: Billed) -> None:
    first = billed.report["charged"][0]
    (by_intent,) = (await billed.paydue("payment", "find", first["intent_id"], "--json")).json()
    charge = billed.stripe.state.find("payment_intents", first["intent_id"])["latest_charge"]
    client = orjson.loads(DEMO.read_bytes())["clients"][by_intent["client_id"] - 1]
    texts = [
        charge,
        by_intent["events"][0]["id"],
        by_intent["invoicenumber"],
        str(by_intent["invoice_id"]),
        client["name"].upper(),
        client["stripe_customer_id"],
        first["amount"],
    ]

    answers = await told(*(billed.paydue("payment", "find", one, "--json") for one in texts))

    for text, answer in zip(texts, answers, strict=True):
        assert by_intent in answer.json(), text


async def test_a_payments_story_has_its_published_shape(billed: Billed) -> None:
    declined = next(one for one in billed.report["declined"] if one["next_try"])

    as_json, plain = await told(
        billed.paydue("payment", "find", declined["intent_id"], "--json"),
        billed.paydue("payment", "find", declined["intent_id"]),
    )

    (story,) = as_json.json()
    assert story.keys() == STORY
    assert (story["amount"], story["currency"]) == (declined["amount"], declined["currency"])
    (attempt,) = story["attempts"]
    assert attempt.keys() == ATTEMPT
    assert (attempt["number"], attempt["state"]) == (1, "declined")
    assert attempt["next_try"] == declined["next_try"]
    assert {frozenset(one) for one in story["events"]} == {frozenset(EVENT)}
    assert story["events"][0]["type"] == "payment_intent.created"
    assert story["events"][0]["received_at"].endswith("Z")
    for word in (declined["intent_id"], story["invoicenumber"], declined["next_try"]):
        assert word in plain.out


async def test_a_declined_invoice_is_retried_with_a_reason_until_it_is_paid(
    billed: Billed,
) -> None:
    later = [one for one in billed.report["declined"] if one["next_try"]][-1]
    invoice = str(later["invoice_id"])
    customer = billed.stripe.state.find("payment_intents", later["intent_id"])["customer"]
    retry = ("payment", "retry", invoice)

    bare, blank = await told(billed.paydue(*retry), billed.paydue(*retry, "--reason", " "))
    billed.stripe.renew_card(customer.replace("cus", "pm"), ["insufficient_funds", "succeed"])
    declined = await billed.paydue(*retry, "--reason", "freed")
    charged = await billed.paydue(*retry, "--reason", "freed", "--json")
    paid = await billed.paydue(*retry, "--reason", "again")

    assert (bare.code, "--reason" in bare.err) == (MISUSED, True)
    assert (blank.code, "reason: has not 1 to 500 characters" in blank.err) == (FAILED, True)
    words = f"invoice {invoice} is declined: insufficient_funds\n"
    assert (declined.code, declined.out) == (FAILED, words)
    assert charged.json()["outcome"] == "charged"
    assert (paid.code, paid.out) == (FAILED, "")
    assert f"invoice {invoice} is not charged: nothing is left to pay" in paid.err


async def test_nothing_found_is_said_and_fails(billed: Billed) -> None:
    plain, as_json = await told(
        billed.paydue("payment", "find", "pi_nobody"),
        billed.paydue("payment", "find", "no such client", "--json"),
    )

    assert (plain.code, plain.out) == (FAILED, "")
    assert "nothing is known of 'pi_nobody'" in plain.err
    assert orjson.loads(as_json.out) == []


async def test_events_are_listed_newest_first_and_shown_whole(billed: Billed) -> None:
    listed, few = await told(
        billed.paydue("events", "list", "--limit", "1000", "--json"),
        billed.paydue("events", "list", "--state", "applied", "--limit", "3"),
    )
    rows = listed.json()
    assert {frozenset(one) for one in rows} == {frozenset(LISTED_EVENT)}
    assert len(rows) >= billed.reconciled["events_new"]
    assert "events (3)" in few.out

    shown, unknown, replayed = await told(
        billed.paydue("events", "show", rows[0]["id"]),
        billed.paydue("events", "show", "evt_nobody"),
        billed.paydue("events", "replay", rows[0]["id"]),
    )
    payload = shown.json()["payload"]
    assert shown.json().keys() == LISTED_EVENT | {"payload"}
    assert (payload["id"], payload["type"]) == (rows[0]["id"], rows[0]["type"])
    assert (unknown.code, "evt_nobody" in unknown.err) == (FAILED, True)
    assert (replayed.code, replayed.out) == (DONE, "1 applied, 0 parked, 0 dead\n")


async def test_an_unassigned_payment_is_assigned_once_somebody_knows_for_what(
    billed: Billed,
) -> None:
    waits = billed.report["declined"][0]["invoice_id"]
    gift = intent(None, id="pi_gift", amount=100, currency=billed.report["declined"][0]["currency"])
    billed.stripe.emit("payment_intent.succeeded", gift)
    await billed.paydue("reconcile")
    (story,) = (await billed.paydue("payment", "find", "pi_gift", "--json")).json()
    assert story["invoice_id"] is None

    done = await billed.paydue("payment", "assign", "pi_gift", str(waits))
    (story,) = (await billed.paydue("payment", "find", "pi_gift", "--json")).json()
    nobody, nowhere = await told(
        billed.paydue("payment", "assign", "pi_nobody", str(waits)),
        billed.paydue("payment", "assign", "pi_gift", "999999"),
    )

    assert (done.code, done.out) == (DONE, f"pi_gift is now a payment of invoice {waits}\n")
    assert story["invoice_id"] == waits
    assert (nobody.code, "pi_nobody" in nobody.err) == (FAILED, True)
    assert (nowhere.code, "999999" in nowhere.err) == (FAILED, True)


async def test_parked_events_are_replayed_together(billed: Billed) -> None:
    refund = {"id": "re_early", "object": "refund", "payment_intent": "pi_late", "amount": 100,
              "currency": "usd", "status": "succeeded", "created": 0, "charge": None}  # fmt: skip
    billed.stripe.emit("refund.created", refund)
    await billed.paydue("reconcile")
    (parked,) = (await billed.paydue("events", "list", "--state", "parked", "--json")).json()
    assert (parked["intent_id"], parked["tries"]) == ("pi_late", 1)
    assert "no payment is known" in parked["error"]

    nothing, early = await told(
        billed.paydue("events", "replay"), billed.paydue("events", "replay", "--parked")
    )
    billed.stripe.emit("payment_intent.succeeded", intent(None, id="pi_late", amount=100))
    await billed.paydue("reconcile")
    late = await billed.paydue("events", "replay", "--parked")

    assert (nothing.code, "--parked" in nothing.err) == (MISUSED, True)
    assert early.out == "0 applied, 1 parked, 0 dead\n"
    assert late.out == "1 applied, 0 parked, 0 dead\n"


async def test_an_event_whose_payment_is_unknown_is_found_without_a_currency(
    paydue: Command, sandbox: Sandbox
) -> None:
    refund = {"id": "re_lost", "object": "refund", "payment_intent": "pi_lost", "amount": 100,
              "currency": "eur", "status": "succeeded", "created": 0, "charge": None}  # fmt: skip
    sandbox.emit("refund.created", refund)
    await paydue("reconcile")

    as_json, plain = await told(
        paydue("payment", "find", "pi_lost", "--json"), paydue("payment", "find", "pi_lost")
    )

    (story,) = as_json.json()
    assert (story["status"], story["currency"]) == ("event parked", "")
    assert "pi_lost  event parked\n" in plain.out


# --- autopay ---------------------------------------------------------------------------------


async def test_a_run_for_a_day_charges_what_is_due_by_then(
    paydue: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.add_customer("cus_a", payment_method="pm_a")
    lines = [{"item_shortdescription": "Support", "qty_order": 1, "unit_price": "10.00"}]
    invoices = [
        {"invoicenumber": f"IN-{days}", "due_in_days": days, "take_auto_payment": True,
         "lines": lines} for days in (0, 5)
    ]  # fmt: skip
    client = {"name": "A", "stripe_customer_id": "cus_a", "stripe_payment_method_id": "pm_a"}
    file = tmp_path / "few.json"
    file.write_bytes(orjson.dumps({"clients": [{**client, "invoices": invoices}]}))
    assert (await paydue("import", str(file))).code == DONE
    later = (today() + timedelta(days=5)).isoformat()

    foreseen = await paydue("autopay", "run", "--on", later, "--dry-run")
    now = (await paydue("autopay", "run", "--on", today().isoformat(), "--json")).json()
    then = (await paydue("autopay", "run", "--on", later, "--json")).json()

    assert "Dry run" in foreseen.out
    assert "would be charged (2)" in foreseen.out
    assert [one["amount"] for one in now["charged"]] == ["10.00"]
    assert [one["amount"] for one in then["charged"]] == ["10.00"]
    assert now["charged"][0]["invoice_id"] != then["charged"][0]["invoice_id"]
    assert sum(one.amount for one in sandbox.ledger.charges()) == 2000


async def test_a_run_in_which_an_invoice_fails_ends_with_its_report_and_exit_code_1(
    paydue: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.add_customer("cus_a", payment_method="pm_a")
    lines = [{"item_shortdescription": "Support", "qty_order": 1, "unit_price": "10.00"}]
    invoice = {"due_in_days": 0, "take_auto_payment": True, "lines": lines}
    client = {"name": "A", "stripe_customer_id": "cus_a", "stripe_payment_method_id": "pm_a"}
    file = tmp_path / "two.json"
    file.write_bytes(orjson.dumps({"clients": [{**client, "invoices": [invoice]}] * 2}))
    await paydue("import", str(file))
    with contextlib.closing(sqlite3.connect(tmp_path / "paydue.db")) as database:
        database.execute("UPDATE client SET timezone = 'Mars/Base' WHERE id = 1")
        database.commit()

    said = await paydue("autopay", "run", "--json")

    report = orjson.loads(said.out)
    assert said.code == FAILED
    assert "1 invoices failed; the report names them" in said.err
    assert [one["invoice_id"] for one in report["failed"]] == [1]
    assert [one["invoice_id"] for one in report["charged"]] == [2]


async def test_an_attempt_is_listed_until_it_is_ended_with_a_reason(
    paydue: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.add_customer("cus_a", payment_method="pm_a")
    lines = [{"item_shortdescription": "Support", "qty_order": 1, "unit_price": "10.00"}]
    invoice = {"due_in_days": 0, "take_auto_payment": True, "lines": lines}
    client = {"name": "A", "stripe_customer_id": "cus_a", "stripe_payment_method_id": "pm_a"}
    file = tmp_path / "one.json"
    file.write_bytes(orjson.dumps({"clients": [{**client, "invoices": [invoice]}]}))
    await paydue("import", str(file))
    sandbox.fault("POST /v1/payment_intents/{id}/confirm", kind="drop", when="before")
    sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503)
    await paydue("autopay", "run", "--on", today().isoformat())
    sandbox.clear_faults()

    (listed,) = (await paydue("attempts", "list", "--json")).json()
    plain = await paydue("attempts", "list")
    bare = await paydue("attempts", "end", str(listed["id"]))
    ended = await paydue("attempts", "end", str(listed["id"]), "--reason", "the card is lost")
    again, nobody, none, (all_,) = (
        await paydue("attempts", "end", str(listed["id"]), "--reason", "twice"),
        await paydue("attempts", "end", "4711", "--reason", "a mistake"),
        (await paydue("attempts", "list", "--json")).json(),
        (await paydue("attempts", "list", "--all", "--json")).json(),
    )

    assert listed.keys() == LISTED_ATTEMPT
    assert (listed["state"], listed["amount"]) == ("unknown", "10.00")
    assert "charge attempts (1)" in plain.out
    assert listed["intent_id"][:15] in plain.out
    assert (bare.code, "--reason" in bare.err) == (MISUSED, True)
    assert (ended.code, ended.err) == (DONE, "")
    assert f"Stripe has canceled {listed['intent_id']}" in ended.out
    assert (again.code, "has ended already" in again.err) == (FAILED, True)
    assert (nobody.code, "ChargeAttempt 4711 does not exist" in nobody.err) == (FAILED, True)
    assert none == []
    assert (all_["state"], "the card is lost" in all_["reason"]) == ("canceled", True)


async def test_a_key_that_stripe_refuses_ends_a_run_with_words(
    paydue: Command, sandbox: Sandbox
) -> None:
    add_people(sandbox)
    await paydue("import", str(DEMO))
    sandbox.fault("*", kind="unauthorized")

    said = await paydue("autopay", "run", "--json")
    sandbox.clear_faults()

    assert (said.code, said.out) == (FAILED, "")
    assert "Stripe does not accept STRIPE_API_KEY" in said.err
    assert "Traceback" not in said.err
    assert sandbox.ledger.charges() == []


async def test_a_stripe_that_is_away_charges_nothing_and_is_said(paydue: Command) -> None:
    away = paydue.having(PAYDUE_STRIPE_API_BASE="http://127.0.0.1:9")
    await paydue("import", str(DEMO))

    run, reconciled = await away("autopay", "run", "--json"), await away("reconcile")

    for said in (run, reconciled):
        assert (said.code, said.out) == (FAILED, "")
        assert "Stripe gives no usable answer" in said.err
        assert len(said.err.splitlines()) == 1
    assert "nothing was charged" in run.err


async def test_a_file_with_one_mistake_changes_nothing(paydue: Command, tmp_path: Path) -> None:
    good = {"name": "Good", "invoices": []}
    for name, clients in {
        "currency": [good, {"name": "Bad", "currency": "xxx"}],
        "clients": "none",
        "duedate": [good, {"name": "Bad", "invoices": [{"duedate": "never"}]}],
    }.items():
        file = tmp_path / f"{name}.json"
        file.write_bytes(orjson.dumps({"clients": clients}))

        said = await paydue("import", str(file))

        assert (said.code, said.out) == (FAILED, "")
        assert name in said.err
    found = await paydue("payment", "find", "Good")
    assert found.code == FAILED


# --- setting up ------------------------------------------------------------------------------


async def test_access_is_given_once_and_opens_the_api(paydue: Command) -> None:
    made = (await paydue("access", "add", "billing", "--scope", "all", "--json")).json()
    plain = await paydue("access", "add", "another", "--scope", "read:invoices")

    assert made.keys() == {"client_id", "client_secret"}
    assert all(len(one) >= 20 for one in made.values())
    assert made["client_secret"] not in plain.out
    assert re.fullmatch(r"client_id      \S+\nclient_secret  \S+\n", plain.out)
    assert (await paydue("access", "add", "x", "--scope", "everything")).code == MISUSED


async def test_access_without_a_scope_is_given_to_nobody(paydue: Command) -> None:
    refused = await paydue("access", "add", "billing")

    assert (refused.code, refused.out) == (MISUSED, "")
    assert "--scope" in refused.err
    assert (await paydue("access", "list", "--json")).json() == []


async def test_who_gave_access_and_took_it_back_is_logged_without_the_secret(
    paydue: Command,
) -> None:
    noisy = paydue.having(PAYDUE_LOG_LEVEL="info", PAYDUE_LOG_FORMAT="json")

    added = await noisy("access", "add", "billing", "--scope", "read:invoices", "--json")
    revoked = await noisy("access", "revoke", "billing")

    made = added.json()
    [gift] = security_events(added)
    [end] = security_events(revoked)
    assert (gift["kind"], gift["client_id"], gift["name"], gift["scope"]) == (
        "access_added", made["client_id"], "billing", "read:invoices",
    )  # fmt: skip
    assert (end["kind"], end["name"], end["count"]) == ("access_revoked", "billing", 1)
    assert gift["by"] == end["by"] != ""
    assert made["client_secret"] not in added.err + revoked.err


def security_events(said: Said) -> list[dict[str, Any]]:
    lines = [orjson.loads(one) for one in said.err.splitlines() if one.startswith("{")]
    return [one for one in lines if one["event"] == "security event"]


async def test_access_is_shown_and_taken_back(paydue: Command) -> None:
    made = (await paydue("access", "add", "billing", "--scope", "all", "--json")).json()
    await paydue("access", "add", "reports", "--scope", "read:invoices")

    by_id = await paydue("access", "revoke", made["client_id"])
    again = await paydue("access", "revoke", "billing")

    assert by_id.out.startswith("revoked 1;")
    assert (again.code, "billing" in again.err) == (FAILED, True)
    listed = (await paydue("access", "list", "--json")).json()
    assert [(one["name"], one["scopes"], bool(one["revoked_at"])) for one in listed] == [
        ("billing", "all", True),
        ("reports", "read:invoices", False),
    ]
    assert made["client_secret"] not in (await paydue("access", "list")).out


async def test_the_schema_is_brought_up_and_checked(paydue: Command) -> None:
    # One after the other: two that make the file at once wait for each other's lock.
    empty, unusable = await paydue("db", "check"), await paydue("status")
    assert (empty.code, "schema empty" in empty.err) == (FAILED, True)
    assert "paydue db upgrade" in empty.err
    assert (unusable.code, "paydue db upgrade" in unusable.err) == (MISUSED, True)

    first, again = await paydue("db", "upgrade"), await paydue("db", "upgrade")
    checked = await paydue("db", "check")

    assert first.out == f"schema empty -> {schema.head()}\n"
    assert again.out == f"schema {schema.head()}\n"
    assert (checked.code, checked.out) == (DONE, f"schema {schema.head()} is up to date\n")


async def test_commands_work_on_either_database(paydue: Command, database_url: str) -> None:
    on = paydue.having(PAYDUE_DATABASE_URL=database_url)

    checked, imported = await told(on("db", "check"), on("import", str(DEMO)))
    found, status = await told(on("payment", "find", "INV-1001", "--json"), on("status", "--json"))

    assert (checked.code, imported.code) == (DONE, DONE)
    assert [one["invoicenumber"] for one in found.json()] == ["INV-1001"]
    assert [one["status"] for one in found.json()] == ["not charged"]
    assert status.json()["due_today"] > 0


async def test_doctor_says_what_is_wrong_and_how_to_mend_it(paydue: Command) -> None:
    ill = paydue.having(
        STRIPE_WEBHOOK_SECRET=SECRET[6:], PAYDUE_STRIPE_API_BASE="http://127.0.0.1:9"
    )
    keyless = paydue.lacking("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET")
    await paydue("db", "upgrade")

    good, bad, bare, wrong = await told(
        paydue("doctor"),
        ill.having(PAYDUE_DATABASE_URL=f"sqlite:///{paydue.folder / 'new.db'}")("doctor"),
        keyless("doctor"),
        paydue.having(PAYDUE_TIMEZONE="Mars/Base")("doctor"),
    )

    assert good.code == DONE, good.out
    assert " bad " not in good.out
    assert {one.code for one in (bad, bare, wrong)} == {FAILED}
    for word in ("STRIPE_WEBHOOK_SECRET", "whsec_", "127.0.0.1:9", "paydue db upgrade"):
        assert word in bad.out
    for word in ("STRIPE_API_KEY", "not set", "webhooks get 503"):
        assert word in bare.out
    assert "PAYDUE_TIMEZONE" in wrong.out
    assert "sk_test_tests" not in good.out + bad.out


async def test_doctor_and_status_show_verified_events_that_were_not_for_us(paydue: Command) -> None:
    await paydue("db", "upgrade")
    settings = settings_for(paydue.environment["PAYDUE_DATABASE_URL"], NO_STRIPE)
    async with open_node(settings) as node:
        node.foreign.count(ForeignReason.OTHER_ACCOUNT, "evt_not_ours")

    doctor, status = await told(paydue("doctor"), paydue("status", "--json"))

    assert doctor.code == DONE
    for word in ("1 other_account", "evt_not_ours", "PAYDUE_STRIPE_ACCOUNT"):
        assert word in doctor.out
    assert status.json()["events_foreign"] == 1


WRONG = {
    "PAYDUE_DATABASE_URL": "mysql://localhost/paydue",
    "PAYDUE_STRIPE_PACE": "0",
    "PAYDUE_STRIPE_TIMEOUT": "41",
    "PAYDUE_TIMEZONE": "Mars/Base",
    "PAYDUE_CURRENCY": "dollars",
    "PAYDUE_AUTOPAY_AT": "25:00",
    "PAYDUE_LOG_FORMAT": "xml",
}


async def test_a_setting_that_cannot_be_meant_is_named(paydue: Command) -> None:
    answers = await told(*(paydue.having(**{name: WRONG[name]})("status") for name in WRONG))

    for name, said in zip(WRONG, answers, strict=True):
        assert (said.code, said.out) == (MISUSED, "")
        assert name in said.err
        assert "Traceback" not in said.err


async def test_nothing_talks_to_the_live_api_without_a_key(paydue: Command) -> None:
    bare = paydue.lacking("STRIPE_API_KEY", "PAYDUE_STRIPE_API_BASE")

    answers = await told(
        bare("serve", "--port", "0"), bare("worker"), bare("autopay", "run"), bare("reconcile")
    )

    for said in answers:
        assert (said.code, said.out) == (MISUSED, "")
        assert "STRIPE_API_KEY is not set" in said.err


async def test_the_sandbox_serves_until_it_is_told_to_stop(paydue: Command) -> None:
    async with asyncio.timeout(PATIENCE_S), paydue.started("sandbox", "--port", "0") as process:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        url = line.split()[-1]
        async with aiohttp.ClientSession() as http, http.get(f"{url}/_sandbox/status") as answer:
            status = await answer.json()
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert "stand-in" in line
    assert status["double_charges"] == 0
    assert code == DONE


async def test_the_demo_proves_the_money_without_settings_or_network(tmp_path: Path) -> None:
    bare = Command(tmp_path, {})

    said = await bare.afresh("demo")

    assert said.code == DONE, said.err
    assert "charged twice: 0 invoices" in said.out
    assert "DIFFERENT" not in said.out
    sums = re.findall(r"│\s+([\d.,]+) (\w{3}) │\s+([\d.,]+) \2 │\s+([\d.,]+) \2 │ equal", said.out)
    assert len(sums) > 5
    assert all(len({Decimal(one.replace(",", "")) for one in row if one != row[1]}) == 1
               for row in sums)  # fmt: skip
    assert re.search(r"answered: \d+ x 200\n", said.out)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


# --- words -----------------------------------------------------------------------------------


def all_commands(
    of: click.Command = group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, of
    if isinstance(of, click.Group):
        context = click.Context(of)
        for name in of.list_commands(context):
            one = of.get_command(context, name)
            assert one is not None, name
            yield from all_commands(one, (*path, name))


@pytest.mark.parametrize(
    ("path", "one"), [pytest.param(*both, id=" ".join(both[0])) for both in all_commands()]
)
def test_every_command_and_option_explains_itself(
    path: tuple[str, ...], one: click.Command
) -> None:
    said = CliRunner().invoke(group, [*path, "--help"])

    assert said.exit_code == DONE
    assert said.output.startswith("Usage:")
    assert (one.help or "").strip().endswith(".")
    assert f"  {' '.join((one.help or '').split()[:3])}" in said.output


async def test_help_and_version_need_no_settings(tmp_path: Path) -> None:
    bare = Command(tmp_path, {"PAYDUE_TIMEZONE": "Mars/Base"})

    help_, version, unknown = await told(
        bare.afresh("--help"), bare.afresh("--version"), bare.afresh("pay")
    )

    assert help_.code == version.code == DONE
    listed = re.findall(r"^  ([a-z]+)  ", help_.out, re.MULTILINE)
    assert listed == list(commands.COMMANDS)
    assert re.match(r"paydue, version \d+\.\d+\.\d+\n", version.out)
    assert (unknown.code, "No such command 'pay'" in unknown.err) == (MISUSED, True)

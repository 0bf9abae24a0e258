"""`paydue demo`: the whole main job on this machine, with a stand-in for Stripe, in seconds."""

import asyncio
import contextlib
import secrets
import sysconfig
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.cli.command_group import on_signals, run
from app.cli.import_file import import_records
from app.cli.payment_commands import show_story
from app.cli.server_commands import PORT
from app.cli.stripe_commands import show_report
from app.cli.terminal import amount, console, say, table, words
from app.console.people import passwords, users
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.errors import AppError, ConfigurationError
from app.halo.access.api_credentials import create_credential
from app.halo.engine.codec import codec_of
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.halo.rule_changes import write_rules
from app.ledger.approvals import ApprovalState, decide, list_waiting
from app.logs import configure
from app.node import Node, open_stripe_node
from app.payments import lookup
from app.payments.autopay.report import Outcome, OutcomeKind, RunReport
from app.payments.status import CurrencyTotals, totals_by_currency
from app.rules import money
from app.rules.home import home_of
from app.serving import serve_in_loop
from app.settings import Settings

# The order of delivery is shuffled by this seed, so that every demo shows the same.
SEED = 7
COPIES = 2
LATENCY_S = 0.05
RULE = {"name": "Large invoices", "action": "ask", "amount_from": 2000, "currency": "eur"}
APPROVER = "Ada of finance"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything the demo has running."""

    screen: Console
    node: Node
    url: str
    stripe: Any
    stripe_url: str


@click.command()
@click.option("--serve", is_flag=True, help="Leave it running afterwards, until Ctrl-C.")
@click.option("--port", default=8000, show_default=True, type=PORT, help="With --serve: the port.")
def demo(serve: bool, port: int) -> None:
    """Show the whole main job: charge today's invoices, take the webhooks, prove the money.

    Needs no settings and no network. Starts Paydue and a stand-in for Stripe on loopback with a
    database in a temporary folder, and removes it all at the end.
    """
    run(_demo(console(), serve=serve, port=port if serve else 0))


async def _demo(screen: Console, *, serve: bool, port: int) -> None:
    with tempfile.TemporaryDirectory(prefix="paydue-demo-") as folder:
        async with _stage(screen, Path(folder), port) as stage:
            intent_id = await _play(stage)
            screen.print()
            screen.print(
                words(("Look one payment up", "bold"), "  (its whole story, as support sees it)")
            )
            if serve:
                say(f"  paydue payment find {intent_id}   (with the settings below)")
                await _stay(stage)
            else:
                say(f"  paydue payment find {intent_id}")
                await _show_story(stage, intent_id)
                say("\n`paydue demo --serve` leaves it running for you to look around.")


@contextlib.asynccontextmanager
async def _stage(screen: Console, folder: Path, port: int) -> AsyncIterator[Stage]:
    from app.sandbox.server import Sandbox

    stripe = Sandbox(seed=SEED, rate_limit=25, latency=LATENCY_S)
    async with stripe.running() as stripe_url:
        settings = _settings(folder, stripe_url)
        configure(settings)
        async with (
            open_stripe_node(settings) as node,
            serve_in_loop(node.web_application(), node.settings, port=port) as url,
        ):
            webhook, signing_secrets = f"{url}/stripe/webhook", list(settings.webhook_secrets)
            stripe.add_endpoint(webhook, secrets=signing_secrets, mode="held")
            serves = f" serves at {url}, a stand-in for Stripe at {stripe_url}"
            screen.print(words(("Paydue", "bold"), serves))
            yield Stage(screen, node, url, stripe, stripe_url)


def _settings(folder: Path, stripe_url: str) -> Settings:
    """The demo's own settings: nothing of the user's environment can reach a real account."""
    return Settings(
        _env_file=None,
        PAYDUE_DATABASE_URL=f"sqlite:///{folder / 'paydue.db'}",
        PAYDUE_CREATE_DATABASE=True,
        PAYDUE_UPGRADE_ON_START=True,
        PAYDUE_STRIPE_API_BASE=stripe_url,
        PAYDUE_STRIPE_ACCOUNT="",
        PAYDUE_STRIPE_PACE=25,
        PAYDUE_TIMEZONE="UTC",
        PAYDUE_CURRENCY="usd",
        PAYDUE_AUTOPAY_POSTED_ONLY=False,
        STRIPE_API_KEY="sk_test_demo",
        STRIPE_WEBHOOK_SECRET=f"whsec_{secrets.token_hex(16)}",
        PAYDUE_LOG_FORMAT="text",
        PAYDUE_LOG_LEVEL="error",
    )


async def _play(stage: Stage) -> str:
    """The demo's acts; answers an intent worth looking up."""
    screen = stage.screen
    raw = fixture("demo.json").read_bytes()
    await _add_customers(stage, orjson.loads(raw))
    written = (await import_records(stage.node.database, stage.node.settings, raw)).written
    imported = f" Imported {written['clients']} clients and {written['invoices']} invoices"
    screen.print(words(("1", "bold"), imported))

    await _add_rule(stage)
    report = await _charge(stage)
    screen.print()
    show_report(screen, report)
    found = _worth_looking_up(report)
    report.close()
    await _approve(stage)

    delivered = await stage.stripe.deliver(seed=SEED, copies=COPIES)
    answers = ", ".join(f"{count} x {status}" for status, count in delivered.statuses.items())
    delivered_text = (
        f" Stripe delivered {len(stage.stripe.events)} webhooks out of order and {COPIES} times "
        f"each; answered: {answers}"
    )
    screen.print()
    screen.print(words(("3", "bold"), delivered_text))
    screen.print()
    screen.print(words(("4", "bold"), " The money, counted three times over"))
    await _prove(stage)
    return found


async def _add_customers(stage: Stage, content: dict[str, Any]) -> None:
    """Give each client a customer at Stripe, whose card behaves as the file says."""
    for client in content["clients"]:
        stripe = client.get("sandbox")
        if stripe:
            stage.stripe.add_customer(
                client["stripe_customer_id"],
                payment_method=stripe["payment_method"],
                behaviour=stripe["behaviour"],
                default=stripe.get("default", False),
                name=client["name"],
            )


async def _add_rule(stage: Stage) -> None:
    """Large invoices wait for a person."""
    settings, now = stage.node.settings, stage.node.clock()
    parsed = codec_of(AUTOPAY_RULES).parse_request([RULE])
    home = home_of(settings)
    async with stage.node.database.transaction() as tx:
        await write_rules(tx, parsed, replaces=False, now=now, who=APPROVER, home=home)
    least = amount(Decimal(str(RULE["amount_from"])), str(RULE["currency"]))
    stage.screen.print(f"   A rule holds invoices of {least} and more until a person approves")


async def _approve(stage: Stage) -> None:
    """A person approves what the rule held, and the next run charges that alone."""
    database = stage.node.database
    async with database.snapshot() as tx:
        held = {one.approval.invoice_id: one.approval.amount for one in await list_waiting(tx)}
    await database.with_retry(
        lambda tx: decide(
            tx,
            dict(held),
            ApprovalState.APPROVED,
            who=APPROVER,
            reason="the client expects it",
            now=stage.node.clock(),
        )
    )
    report = await stage.node.autopay().run(stage.node.clock().date(), who="paydue demo")
    with contextlib.closing(report):
        charged = {one["invoice_id"]: one for one in report.entries(OutcomeKind.CHARGED)}
    for invoice_id in held:
        one = charged.get(invoice_id)
        if one is None:
            raise ConfigurationError(f"the demo's held invoice {invoice_id} was not charged")
        charge = amount(one["amount"], one["currency"])
        said = f"   {APPROVER} approves invoice {invoice_id}; the next run charges {charge}"
        stage.screen.print(words(said))


async def _charge(stage: Stage) -> RunReport:
    columns = (TextColumn("[bold]2[/bold] Autopay"), BarColumn(), MofNCompleteColumn())
    day = stage.node.clock().date()  # wherever a client is: the demo shows one whole business day
    autopay = stage.node.autopay()
    plan = await autopay.dry_run(day)
    total = plan.counts[OutcomeKind.CHARGED]
    plan.close()
    with Progress(*columns, console=stage.screen) as progress:
        task = progress.add_task("", total=total)

        def tell(one: Outcome) -> None:
            if one.kind not in (OutcomeKind.SKIPPED, OutcomeKind.HELD):
                progress.advance(task)

        return await autopay.run(day, tell)


def _worth_looking_up(report: RunReport) -> str:
    """A declined payment tells most: the try, the reason, the next try, the events."""
    for entry in (*report.entries(OutcomeKind.DECLINED), *report.entries(OutcomeKind.CHARGED)):
        if entry["intent_id"] and (entry["next_try"] or not report.counts[OutcomeKind.DECLINED]):
            return str(entry["intent_id"])
    raise ConfigurationError("the demo's file charges nothing")


async def _prove(stage: Stage) -> None:
    """Charges in Stripe's ledger = payments booked = invoices' amounts paid, per currency."""
    proven = True
    taken: Counter[str] = Counter()
    for charge in stage.stripe.ledger.charges():
        taken[charge.currency] += charge.amount
    async with stage.node.database.snapshot() as tx:
        totals = await totals_by_currency(tx)
    rows = []
    for currency in sorted(taken):
        at_stripe = money.from_minor(taken[currency], currency)
        here = totals.get(currency, CurrencyTotals())
        same = at_stripe == here.payments == here.invoices
        proven &= same
        shown = [amount(one, currency) for one in (at_stripe, here.payments, here.invoices)]
        rows.append((*shown, words(("equal", "green") if same else ("DIFFERENT", "red"))))
    columns = (">charged at Stripe", ">payments booked", ">invoices paid", "")
    doubles = len(stage.stripe.ledger.double_charges())
    stage.screen.print(table(f"charged twice: {doubles} invoices", columns, rows))
    if doubles or not proven:
        raise AppError("the money does not agree: this is a defect, please report it")


async def _show_story(stage: Stage, intent_id: str) -> None:
    async with stage.node.database.snapshot() as tx:
        for story in await lookup.find_intents(tx, intent_id):
            show_story(story)


async def _stay(stage: Stage) -> None:
    async with stage.node.database.transaction() as tx:
        client_id, secret = await create_credential(tx, "demo", ["all"], stage.node.clock())
    link, password = await add_console_user(stage.node)
    settings = stage.node.settings
    say(
        f"\nIt goes on running, until Ctrl-C.\n"
        f"  console   {stage.url}{link}\n"
        f"            (signs you in once; then as demo, with the password {password})\n"
        f"  API       {stage.url}/api/docs\n"
        f"  webhook   {stage.url}/stripe/webhook\n"
        f"  Stripe    {stage.stripe_url}  (controls under /_sandbox)\n\n"
        f"In another shell, for `paydue status` and all the others:\n"
        f"export PAYDUE_DATABASE_URL={settings.database_url}\n"
        f"export PAYDUE_STRIPE_API_BASE={stage.stripe_url} STRIPE_API_KEY=sk_test_demo\n"
        f"A token for the API:\n"
        f"curl -d grant_type=client_credentials -d client_id={client_id} "
        f"-d client_secret={secret} {stage.url}/auth/token"
    )
    stop = asyncio.Event()
    on_signals(stop)
    await stop.wait()


async def add_console_user(node: Node) -> tuple[str, str]:
    """A one-time link for an admin of the console, and the admin's password."""
    password = secrets.token_urlsafe(12)
    password_hash = await passwords.hash_password(password)
    act = Act("paydue demo", node.clock())
    async with node.database.transaction() as tx:
        user_id = await users.add_user(tx, "demo", name="Demo", role=Role.ADMIN, act=act)
        await users.set_password_hash(tx, user_id, password_hash, act)
        user = await users.load_user_by_id(tx, user_id)
        return await users.issue_link(tx, user, act), password


def fixture(name: str) -> Path:
    """A file of `fixtures/`: beside the package in a checkout, else in the data folder."""
    beside = Path(__file__).parents[2] / "fixtures" / name
    installed = Path(sysconfig.get_path("data")) / "share" / "paydue" / "fixtures" / name
    found = next((path for path in (beside, installed) if path.is_file()), None)
    if found is None:
        raise ConfigurationError(f"the file {name} was not installed with this package")
    return found

"""Text of others steers no terminal, spreadsheet, document or log, whatever column it stands in.

Every text column of every table is filled with it, and every command that ends is run.
"""

import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import orjson
import pytest
import structlog
from sqlalchemy import String, Table, update

from app import logs
from app.cli import commands
from app.cli.command_group import paydue as group
from app.console.people import users
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.ledger import outbox
from app.rules.mail_kind import MailKind
from app.sandbox.server import Sandbox
from app.settings import Settings
from app.storage.column_types import Json, Row, table_of
from app.storage.tables.invoices import Invoice, InvoiceLine
from app.storage.tables.stripe_payouts import StripePayout
from tests.balance import StripeBalance
from tests.conftest import configure_logs
from tests.documents.samples import text_of
from tests.harness import Paydue, event, intent, settings_for, today
from tests.test_cli import Command, Said, all_commands, command

pytestmark = pytest.mark.anyio

# Rich's markup and a link in it; a hyperlink and a write to the clipboard; colours by ESC and by
# C1; text turned around; a line that is none of ours; a formula; a blank that is none.
HOSTILE = (
    "[/x][link=https://evil.example]k[/link]\x1b]8;;https://evil.example\x07\x1b]52;c;QQ==\x07"
    "\x1b[31m\x9b31m\u202e\u2066\r\n=1+1\u2028\u200b\U000e0041"
)
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u200b\u2028-\u202e\u2060-\u206f\U000e0041]")
STYLE = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]")

# Columns that hold a word or a number of ours, never the text of somebody else.
OURS = {
    "currency", "currency_iso", "code", "state", "status", "step", "kind", "evidence", "timezone",
    "account", "awaits", "scopes", "token_hash", "secret_hash", "decline_source", "lease_token",
    "token", "advice_code", "decline_code", "role", "locale", "theme", "action", "day_from",
    "weekdays", "move_days", "holidays", "charge_method", "method_rule", "channel", "condition",
}  # fmt: skip
OUR_TABLES = {"fact", "job", "pace", "imported_record", "foreign_event_count", "kept_answer",
              "currency", "lookup"}  # fmt: skip

DAY = today()
# By command, the arguments it is run with; `{...}` is filled from the rows.
WALKED: dict[str, Sequence[str]] = {
    "autopay run": ("--dry-run",),
    "autopay why": ("{invoice}",),
    "autopay calendar": (),
    "runs list": (),
    "runs show": ("1",),
    "runs compare": ("1", "1"),
    "runs approve": ("999", "--by", HOSTILE),
    "approvals list": (),
    "approvals approve": ("999", "--by", HOSTILE),
    "approvals reject": ("999", "--by", HOSTILE, "--reason", HOSTILE),
    "limits list": (),
    "limits add": ("day", "10", HOSTILE),
    "limits remove": ("999",),
    "links list": ("--all",),
    "stripe setup": ("--url", "https://pay.example.com/stripe/webhook"),
    "links make": ("--invoice", "999", "--by", HOSTILE),
    "links revoke": ("999", "--by", HOSTILE),
    "pauses list": (),
    "pauses add": ("--invoice", "999", "--reason", HOSTILE, "--by", HOSTILE),
    "pauses end": ("999", "--by", HOSTILE),
    "rules list": (),
    "rules export": (),
    "rules add": (f"name={HOSTILE}",),
    "rules import": ("{file}",),
    "rules move": ("999", "1"),
    "rules remove": ("999",),
    "rules test": ("{invoice}",),
    "mail kinds": (),
    "mail on": ("receipt",),
    "mail off": ("receipt",),
    "mail list": (),
    "mail show": ("1",),
    "mail preview": ("receipt", "{invoice}"),
    "mail retry": ("999",),
    "mail objections": (),
    "mail withdraw": ("999", "--by", HOSTILE),
    "mail promise": ("999", "--by", HOSTILE),
    "alerts list": (),
    "alerts test": (),
    "attempts list": ("--all",),
    "attempts end": ("999", "--reason", HOSTILE),
    "payment find": ("{invoice}",),
    "payment assign": ("pi_{hostile}", "999"),
    "payment retry": ("999", "--reason", HOSTILE),
    "payment refund": ("pi_{hostile}", "--reason", HOSTILE),
    "payment apply": ("999", "999"),
    "payment record": ("999", "10.00", "--reference", HOSTILE),
    "payments list": (),
    "events list": (),
    "events show": ("{event}",),
    "events replay": ("{event}",),
    "invoice pdf": ("{invoice}", "-o", "{printed}"),
    "invoice einvoice": ("{invoice}", "--format", "factur-x", "-o", "{printed}"),
    "invoice mark": ("{invoice}", "reviewed", "--who", HOSTILE),
    "invoice statement": ("{invoice}", "--from", str(DAY), "--to", str(DAY), "-o", "{printed}"),
    "reports ageing": (),
    "reports expected": (),
    "reports declines": (),
    "reports recovered": (),
    "reports dso": (),
    "export records": ("clients",),
    "export invoices": ("--for", "xero", "--from", str(DAY), "--to", str(DAY)),
    "export payments": ("--for", "xero", "--from", str(DAY), "--to", str(DAY)),
    "export journal": ("--for", "quickbooks", "--from", str(DAY), "--to", str(DAY)),
    "reconcile": (),
    "recurring run": (),
    "payouts list": (),
    "payouts show": ("{payout}",),
    "journal export": ("--from", str(DAY - timedelta(days=2)), "--to", str(DAY)),
    "check": (),
    "audit verify": (),
    "status": (),
    "purge": (),
    "client export": ("{invoice}",),
    "clients map": (),
    "client erase": ("999", "--by", HOSTILE, "--reason", HOSTILE),
    "access add": (HOSTILE, "--scope", "all"),
    "access list": (),
    "access revoke": (HOSTILE,),
    "user list": (),
    "user add": (HOSTILE, "--role", "viewer"),
    "user role": (HOSTILE, "viewer"),
    "user link": (HOSTILE,),
    "user password": (HOSTILE, "--stdin"),
    "user reset-totp": (HOSTILE,),
    "user disable": (HOSTILE,),
    "user enable": (HOSTILE,),
    "import": ("{file}",),
    "currencies import": ("{file}",),
    "init": (),
    "db init": (),
    "db upgrade": (),
    "db check": (),
    "db downgrade": (HOSTILE,),
    "db backup": ("{backup}",),
    "db restore": ("{file}",),
    "doctor": (),
}
# They serve until they are stopped, and print nothing of the database.
STAYING = {"demo", "serve", "worker", "sandbox"}
# Their output has a text of the database in it, so that the test sees it escaped.
SHOWING = {
    "autopay run", "attempts list", "payment find", "payments list", "events list", "events show",
    "payouts list", "payouts show", "journal export", "access list", "user list",
}  # fmt: skip


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """One engine: the texts are the same on both."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'paydue.db')}"


@pytest.fixture
async def paydue(
    database_url: str, sandbox: Sandbox, balance: StripeBalance
) -> AsyncIterator[Paydue]:
    """A house with rows of most kinds, all of whose texts are hostile."""
    async with Paydue.running(settings_for(database_url, balance.url), sandbox) as house:
        await _fill(house, balance)
        async with house.database.transaction() as tx:
            for table in Row.metadata.sorted_tables:
                for name in _texts(table):
                    await tx.execute(update(table).values({name: table.c[name] + HOSTILE}))
        yield house


async def _fill(paydue: Paydue, balance: StripeBalance) -> None:
    async with paydue.database.transaction() as tx:
        await outbox.switch(tx, list(MailKind), is_on=True)
    invoice = await paydue.an_invoice("120.00")
    await paydue.an_invoice("30.00", client=await paydue.a_client("insufficient_funds"))
    await paydue.autopay()
    payment = (await paydue.payments(invoice))[0]
    refund = paydue.sandbox.refund(payment.charge_id, amount=2000)
    paydue.sandbox.open_dispute(payment.intent_id, amount=5000, reason="fraudulent")
    balance.pays_out(
        balance.moves("charge", 12000, fee=378, source=payment.charge_id),
        balance.moves("refund", -2000, source=refund["id"]),
    )
    await paydue.deliver(*paydue.sandbox.events)
    await paydue.deliver(event("payment_intent.succeeded", intent(4711)))
    await paydue.reconcile()
    await paydue.an_invoice("10.00", take_auto_payment=True, client=await _held(paydue))
    await paydue.access()
    async with paydue.database.transaction() as tx:
        act = Act("tests", datetime.now(UTC))
        await users.add_user(tx, "ada", name="Ada", role=Role.VIEWER, act=act)


async def _held(paydue: Paydue) -> int:
    """A client whom autopay skips, with the reason."""
    return await paydue.a_client(stripe_customer_id=None, stripe_payment_method_id=None)


def _texts(table: Table) -> Iterator[str]:
    if table.name in OUR_TABLES:
        return
    for column in table.c:
        is_text = isinstance(column.type, String) and not isinstance(column.type, Json)
        if is_text and column.name not in OURS:
            yield column.name


@pytest.fixture
async def run(paydue: Paydue, database_url: str, balance: StripeBalance, tmp_path: Path) -> Command:
    """Commands on a terminal with colours, so wide that no cell is folded."""
    return command(tmp_path, balance.url).having(
        PAYDUE_DATABASE_URL=database_url, FORCE_COLOR="1", COLUMNS="4000", TERM="xterm-256color"
    )


def _leaves(
    found: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    for names, one in all_commands(found, path):
        if not isinstance(one, click.Group):
            yield " ".join(names), one


async def _values(paydue: Paydue, folder: Path) -> dict[str, str]:
    payouts = await paydue.rows(table_of(StripePayout), table_of(StripePayout).c.id > 0)
    client = {"name": HOSTILE, "invoices": [{"due_in_days": HOSTILE, "lines": []}]}
    file = folder / "file.json"
    file.write_bytes(orjson.dumps({"clients": [client]}))
    return {
        "invoice": "1",
        "event": (await paydue.events())[0].event_id,
        "payout": payouts[0].payout_id,
        "hostile": HOSTILE,
        "file": str(file),
        "backup": str(folder / "backup.db"),
        "printed": str(folder / "printed.pdf"),
    }


def test_every_command_is_walked_or_stays() -> None:

    assert {name for name, _ in _leaves(group)} == WALKED.keys() | STAYING


def test_nothing_is_printed_but_through_the_doors_that_escape() -> None:
    folder = Path(commands.__file__).parent
    found = {path.name: _printing(path) for path in sorted(folder.glob("*.py"))}

    assert {name: lines for name, lines in found.items() if lines} == {
        "terminal.py": ["print", "click.echo", "click.echo"],  # a Console of its own
        "csv_output.py": ["click.echo"],
        "stripe_commands.py": ["Console"],  # for the counts of a run that goes on
    }


def _printing(path: Path) -> list[str]:
    return re.findall(r"(?<![.\w])(click\.echo|Console|print)\(", path.read_text())


async def test_no_text_of_a_column_steers_the_terminal(
    paydue: Paydue, run: Command, tmp_path: Path
) -> None:
    values = await _values(paydue, tmp_path)
    found: dict[tuple[str, str], Said] = {}
    for name, one in _leaves(group):
        if name in WALKED:
            options = {option for param in one.params for option in param.opts}
            arguments = [argument.format(**values) for argument in WALKED[name]]
            for form in ("", *({"--json", "--csv"} & options)):
                said = await run(*name.split(), *arguments, *filter(None, [form]))
                found[name, form] = said

    assert {key: _steering(said) for key, said in found.items() if _steering(said)} == {}
    assert [key for key, said in found.items() if "Traceback" in said.err] == []
    failed = {key: said.err for key, said in found.items() if key[0] in SHOWING and said.code}
    assert failed == {}
    shown = {name for (name, form), said in found.items() if r"\x1b]52;" in said.out and not form}
    assert SHOWING - {"events show"} <= shown
    assert found["events show", ""].json()["id"].endswith(HOSTILE)
    assert found["events list", "--json"].json()[0]["id"].endswith(HOSTILE)


def _steering(said: Said) -> list[str]:
    text = STYLE.sub("", said.out) + said.err
    return [text[max(0, one.start() - 40) : one.end() + 40] for one in STEERING.finditer(text)]


async def test_no_text_of_an_invoice_steers_the_reader_of_its_document(paydue: Paydue) -> None:
    async with paydue.database.transaction() as tx:
        line = {"ihid": 1, "item_shortdescription": HOSTILE, "qty_order": 1, "unit_price": 1}
        await tx.execute(table_of(InvoiceLine).insert().values(line))

    headers = await paydue.access()
    async with paydue.http.post("/api/Invoice/PDF/1", headers=headers) as answer:
        content = await answer.read()

    assert answer.status == 200, content
    text = "".join(text_of(content).split())
    assert not STEERING.findall(text)
    assert text.count(r"\x1b]52;c;QQ==") >= 3  # number, client and line


async def test_the_api_gives_every_text_back_as_it_is(paydue: Paydue) -> None:
    headers = await paydue.access()

    async with paydue.http.get("/api/Invoice/1", headers=headers) as answer:
        invoice = orjson.loads(await answer.read())
    async with paydue.http.get("/api/docs", params={"q": HOSTILE}) as answer:
        page = await answer.text()

    (row,) = await paydue.rows(table_of(Invoice), table_of(Invoice).c.id == 1)
    assert row.invoicenumber.endswith(HOSTILE)
    assert invoice["invoicenumber"] == row.invoicenumber
    assert not STEERING.findall(page)
    assert "evil.example" not in page


@pytest.fixture
def own_logs() -> Iterator[None]:
    """The test sets logs up for itself. Named before `capsys`, it ends after it."""
    yield
    configure_logs()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_text_in_the_log_stays_on_its_line(
    own_logs: None, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Settings(_env_file=None, PAYDUE_LOG_FORMAT=form))
    structlog.get_logger("tests").warning(
        f"said {HOSTILE}", text=HOSTILE, error=ValueError(HOSTILE)
    )

    said = capsys.readouterr().err

    assert not STEERING.findall(said)
    assert said.count("\n") == 1


def test_no_line_of_a_trace_looks_like_one_of_the_log(
    own_logs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Settings(_env_file=None, PAYDUE_LOG_FORMAT="text"))
    try:
        raise ValueError(f"{HOSTILE}\n2026-01-01T00:00:00.000Z info    invoice charged")
    except ValueError:
        structlog.get_logger("tests").exception("failed")

    first, *trace = capsys.readouterr().err.rstrip("\n").split("\n")

    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in trace)
    assert not STEERING.findall("".join(trace))

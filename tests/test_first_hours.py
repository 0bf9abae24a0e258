"""The first hours: a wrong folder, a taken port, a mistyped word, Ctrl-C at any moment."""

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.harness import NO_STRIPE, SECRET
from tests.patience import wait_limit
from tests.test_cli import DONE, FAILED, MISUSED, Command, command, told

pytestmark = pytest.mark.anyio

KEYS = {"STRIPE_API_KEY": "sk_test_tests", "STRIPE_WEBHOOK_SECRET": SECRET}
# Modules that take long to import, and that a version or a mistyped command has no use for.
HEAVY = ("sqlalchemy", "pydantic", "stripe", "aiohttp", "alembic", "rich", "asyncio")


@pytest.fixture
def empty(tmp_path: Path) -> Command:
    """Somebody who has set the two keys, in a folder with nothing in it."""
    return Command(tmp_path, KEYS)


@pytest.fixture
def paydue(tmp_path: Path) -> Command:
    """Everything set; Stripe is not asked."""
    return command(tmp_path, NO_STRIPE)


async def test_no_command_begins_a_new_database_where_one_is_missing(empty: Command) -> None:
    answers = await told(
        empty("status"),
        empty("payment", "find", "pi_1"),
        empty("db", "upgrade"),
        empty("db", "check"),
        empty("access", "add", "x", "--scope", "all"),
        empty("worker"),
        empty("autopay", "run"),
        empty("serve", "--port", "0"),
    )

    for said in answers:
        assert (said.code, said.out) == (MISUSED, ""), said
        assert str(empty.folder / "paydue.db") in said.err
        assert "paydue db init" in said.err
        assert "Traceback" not in said.err
    assert list(empty.folder.iterdir()) == []


async def test_a_database_is_made_once_by_command_or_by_a_setting(empty: Command) -> None:
    made, again = await empty("db", "init"), await empty("db", "init")
    status = await empty("status", "--json")

    other = Command(empty.folder, {**KEYS, "PAYDUE_DATABASE_URL": "sqlite:///other.db"})
    by_setting = await other.having(PAYDUE_CREATE_DATABASE="true")("db", "upgrade")

    assert (made.code, again.code, status.code, by_setting.code) == (DONE,) * 4
    assert f"sqlite:///{empty.folder / 'paydue.db'} is made" in made.out
    assert "was there already" in again.out


async def test_a_port_that_cannot_be_had_is_said_before_anything_else(paydue: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        serve, many, sandbox, demo = await told(
            paydue("serve", "--port", port),
            paydue("serve", "--port", port, "--workers", "2"),
            paydue("sandbox", "--port", port),
            paydue("demo", "--serve", "--port", port),
        )
    beyond, below, nowhere = await told(
        paydue("serve", "--port", "99999"),
        paydue("serve", "--port", "-1"),
        paydue("serve", "--host", "192.0.2.1", "--port", "0"),
    )

    for said in (serve, many, demo):
        assert (said.code, len(said.err.splitlines())) == (FAILED, 1), said
        assert f"port {port} of 127.0.0.1 is taken" in said.err
        assert "--port" in said.err
    assert (sandbox.code, "Traceback" in sandbox.err) == (FAILED, False)
    for said in (beyond, below):
        assert (said.code, "0<=x<=65535" in said.err) == (MISUSED, True)
    assert (nowhere.code, "--host" in nowhere.err) == (FAILED, True)


async def test_serving_says_where_in_which_mode_and_on_which_database(paydue: Command) -> None:
    told_all = paydue.having(PAYDUE_LOG_LEVEL="INFO")
    async with (
        asyncio.timeout(wait_limit(60)),
        told_all.started("serve", "--port", "0") as process,
    ):
        assert process.stderr is not None
        lines = [(await process.stderr.readline()).decode() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    first, second, third = lines
    assert f"mode=test database=sqlite:///{paydue.folder / 'paydue.db'} schema=" in first
    assert "nobody can sign in to the console" in second
    assert re.search(r"serving +url=http://127\.0\.0\.1:\d+", third)
    assert code == DONE


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PAYDUE_TIMEZON": "UTC"}, "did you mean PAYDUE_TIMEZONE?"),
        ({"paydue_autopay_att": "1"}, "did you mean PAYDUE_AUTOPAY_AT?"),
        ({"PAYDUE_NONSENSE_OF_MINE": "1"}, "PAYDUE_NONSENSE_OF_MINE is no setting"),
    ],
)
async def test_a_setting_that_there_is_not_is_named_with_the_nearest(
    paydue: Command, environment: dict[str, str], said: str
) -> None:
    await paydue("db", "init")

    found = await paydue.having(**environment)("status")

    assert (found.code, said in found.err) == (DONE, True)


async def test_names_in_the_env_file_are_settings_too_and_those_of_kubernetes_are_not(
    paydue: Command,
) -> None:
    (paydue.folder / ".env").write_text("PAYDUE_CURENCY=eur\n")
    of_kubernetes = {"PAYDUE_SERVICE_HOST": "10.0.0.1", "PAYDUE_PORT_8000_TCP": "tcp://10.0.0.1"}

    found = await paydue.having(**of_kubernetes)("db", "init")

    assert found.code == DONE
    assert found.err.splitlines() == [
        "paydue: PAYDUE_CURENCY is no setting of Paydue's and changes nothing; "
        "did you mean PAYDUE_CURRENCY?"
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PAYDUE_STRIPE_PACE", "inf", "finite"),
        ("PAYDUE_RECONCILE_EVERY", "inf", "finite"),
        ("PAYDUE_AUTOPAY_AT", "06:00+02:00", "PAYDUE_TIMEZONE says where"),
        ("PAYDUE_AUTOPAY_AT", "6", "such as 06:00"),
        ("PAYDUE_LOG_LEVEL", "loud", "none of debug, info, warning, error"),
        ("PAYDUE_STRIPE_ACCOUNT", "foo", "acct_"),
        ("PAYDUE_STRIPE_API_BASE", "localhost:12111", "no address of a server"),
        ("PAYDUE_DATABASE_URL", "sqlite:///missing/paydue.db", "there is no folder"),
    ],
)
async def test_a_value_that_cannot_be_meant_is_answered_in_words(
    paydue: Command, name: str, value: str, said: str
) -> None:
    found = await paydue.having(**{name: value, "PAYDUE_CREATE_DATABASE": "false"})("status")

    assert (found.code, found.out) == (MISUSED, "")
    assert said in found.err
    assert "Traceback" not in found.err


async def test_files_that_cannot_be_read_or_written_are_named(paydue: Command) -> None:
    (paydue.folder / ".env").write_bytes("PAYDUE_CURRENCY=€\n".encode("iso-8859-15"))
    latin = await paydue("status")
    (paydue.folder / ".env").unlink()
    folder = await paydue.having(PAYDUE_DATABASE_URL="sqlite:///missing/x.db")("db", "init")

    assert (latin.code, "the settings cannot be read" in latin.err) == (MISUSED, True)
    assert (folder.code, len(folder.err.splitlines())) == (MISUSED, 1), folder.err
    assert str(paydue.folder / "missing") in folder.err
    assert os.listdir(paydue.folder) == []  # noqa: PTH208


@pytest.mark.parametrize("words", [("--version",), ("paymen",)])
async def test_a_version_and_a_mistyped_word_import_next_to_nothing(words: tuple[str, ...]) -> None:
    lines = (
        "import sys; from app.cli import main\n"
        f"sys.argv = ['paydue', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", lines,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()

    assert out.decode().splitlines()[-1] == "[]"
    assert "Traceback" not in err.decode()
    if words == ("paymen",):
        assert "payment" in err.decode().splitlines()[-1]


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_that_is_interrupted_leaves_nothing_behind(
    tmp_path: Path, name: signal.Signals
) -> None:
    bare = Command(tmp_path, {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"})
    async with asyncio.timeout(wait_limit(60)), bare.started("demo") as process:
        assert process.stdout is not None
        await process.stdout.readline()  # it has begun, and its folder is there
        before = os.listdir(tmp_path)  # noqa: PTH208
        process.send_signal(name)
        _, err = await process.communicate()

    assert before != []
    assert process.returncode in (FAILED, 128 + signal.SIGTERM)
    assert b"Traceback" not in err
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize("columns", ["40", "80"])
async def test_ids_are_never_folded(tmp_path: Path, columns: str) -> None:
    narrow = command(tmp_path, NO_STRIPE).having(COLUMNS=columns, TERM="dumb")
    lines = (
        "from app.cli.terminal import console, table\n"
        f"console().print(table('t', ('received', 'id', 'error'), "
        f"[('2026-11-22 09:30:00Z', 'evt_{'x' * 40}', 'a sentence of some length ' * 9)]))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", lines, env={**narrow.environment, "PYTHONPATH": ":".join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()

    assert f"evt_{'x' * 40}" in out.decode()
    assert out.decode().count("sentence") == 9

"""Mail goes over TLS to the server that the settings name, or it waits and `mail list` says why."""

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.rules.mail_kind import MailKind
from tests.harness import Paydue
from tests.mail_server import MailServer, mail_server
from tests.test_cli import Command, command
from tests.test_mail import Post

pytestmark = pytest.mark.anyio

USER, PASSWORD = "paydue", "correct horse battery staple"
LOGIN = {"PAYDUE_SMTP_USER": USER, "PAYDUE_SMTP_PASSWORD": PASSWORD}
MakeContext = Callable[..., ssl.SSLContext]


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeContext:
    """Makes a server's context with a self-made certificate, which this machine trusts if told."""

    def make(*, name: str = "IP:127.0.0.1", is_trusted: bool = True) -> ssl.SSLContext:
        key, file = tmp_path / "server.key", tmp_path / "server.crt"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=mail.test", "-addext", f"subjectAltName={name}",
             "-keyout", key, "-out", file],
            check=True, capture_output=True,
        )  # fmt: skip
        if is_trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file, key)
        return context

    return make


@pytest.fixture
def run(database_url: str, stripe_url: str, tmp_path: Path) -> Command:
    return command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)


async def sent_by(paydue: Paydue, server: MailServer, **settings: Any) -> Post:
    """A receipt was sent, or tried, once."""
    post = Post(paydue, server)
    await post.switch_on(MailKind.RECEIPT)
    await post.a_paid_invoice()
    await post.send(**settings)
    return post


async def listed(run: Command) -> tuple[str, str]:
    """The state and the reason, as support sees them."""
    (one,) = (await run("mail", "list", "--json")).json()
    shown = await run("mail", "list")
    assert one["state"] in shown.out
    assert PASSWORD not in shown.out + str(one)
    return one["state"], one["error"] or ""


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_is_sent_over_tls_by_a_known_user(
    paydue: Paydue, run: Command, certified: MakeContext, security: str
) -> None:
    context = certified()
    is_implicit = security == "tls"
    async with mail_server(
        tls=context, is_implicit=is_implicit, user=USER, password=PASSWORD
    ) as server:
        await sent_by(paydue, server, PAYDUE_SMTP_SECURITY=security, **LOGIN)

        assert (len(server.mails), server.logins) == (1, 1)
        assert await listed(run) == ("sent", "")


WRONG: dict[str, dict[str, Any]] = {
    "that nobody vouches for": {"is_trusted": False},
    "of another host": {"name": "DNS:other.example"},
}


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_certificate_gets_neither_the_mail_nor_the_password(
    paydue: Paydue, run: Command, certified: MakeContext, security: str, wrong: str
) -> None:
    context = certified(**WRONG[wrong])
    is_implicit = security == "tls"
    async with mail_server(
        tls=context, is_implicit=is_implicit, user=USER, password=PASSWORD
    ) as server:
        await sent_by(paydue, server, PAYDUE_SMTP_SECURITY=security, **LOGIN)

        assert (server.mails, server.logins) == ([], 0)
    state, error = await listed(run)
    assert state == "queued"
    assert "certificate verify failed" in error


async def test_a_server_without_starttls_gets_no_mail_in_the_clear(
    paydue: Paydue, run: Command
) -> None:
    async with mail_server(user=USER, password=PASSWORD) as server:
        await sent_by(paydue, server, PAYDUE_SMTP_SECURITY="starttls", **LOGIN)

        assert (server.mails, server.logins) == ([], 0)
    state, error = await listed(run)
    assert state == "queued"
    assert "STARTTLS" in error


async def test_a_wrong_password_is_said_without_being_quoted_and_the_mail_waits(
    paydue: Paydue, run: Command, certified: MakeContext
) -> None:
    async with mail_server(tls=certified(), user=USER, password="another") as server:
        await sent_by(paydue, server, PAYDUE_SMTP_SECURITY="starttls", **LOGIN)

        assert server.mails == []
        assert server.logins >= 1
    assert await listed(run) == ("queued", "the SMTP server refuses user or password (535)")


ANSWERS: dict[str, tuple[dict[str, str], str, str]] = {
    "greylisted": ({"RCPT": "450 4.2.0 greylisted, come again"}, "queued", "450 4.2.0 greylisted"),
    "full": ({"text": "452 4.2.2 mailbox full"}, "queued", "452 4.2.2 mailbox full"),
    "no mailbox": ({"RCPT": "550 5.1.1 no such user"}, "failed", "550 5.1.1 no such user"),
    "spam": ({"text": "554 5.7.1 looks like spam"}, "failed", "554 5.7.1 looks like spam"),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_the_server_said_is_listed_and_greylisting_ends(
    paydue: Paydue, run: Command, certified: MakeContext, answer: str
) -> None:
    replies, state, said = ANSWERS[answer]
    async with mail_server(tls=certified()) as server:
        server.replies = replies
        post = await sent_by(paydue, server, PAYDUE_SMTP_SECURITY="starttls")
        first = await listed(run)
        server.replies = {}
        await post.let_waits_end()
        await post.send(PAYDUE_SMTP_SECURITY="starttls")
        then = await listed(run)

    assert first[0] == state
    assert first[1].startswith(said)
    assert then[0] == ("sent" if state == "queued" else "failed")
    assert len(server.mails) == (state == "queued")


@pytest.mark.parametrize("step", ["DATA", "text"])
async def test_a_connection_that_is_cut_in_data_leaves_a_mail_for_a_person(
    paydue: Paydue, run: Command, certified: MakeContext, step: str
) -> None:
    async with mail_server(tls=certified()) as server:
        server.drops_at = step
        post = await sent_by(paydue, server, PAYDUE_SMTP_SECURITY="starttls")
        server.drops_at = ""
        await post.let_waits_end()
        await post.send(PAYDUE_SMTP_SECURITY="starttls")

        assert len(server.mails) == (step == "text")
    state, error = await listed(run)
    assert state == "unknown"
    assert error.startswith("no answer after the text: ")

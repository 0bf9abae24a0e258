"""All commands, in the order `paydue --help` lists them, each imported once it is asked for."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click

# Each command's name, its module, and its name there.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("app.cli.demo", "demo"),
    "init": ("app.cli.init_command", "init"),
    "serve": ("app.cli.server_commands", "serve"),
    "worker": ("app.cli.server_commands", "worker"),
    "autopay": ("app.cli.stripe_commands", "autopay"),
    "runs": ("app.cli.run_commands", "runs"),
    "approvals": ("app.cli.approval_commands", "approvals"),
    "limits": ("app.cli.approval_commands", "limits"),
    "links": ("app.cli.pay_link_commands", "links"),
    "pauses": ("app.cli.approval_commands", "pauses"),
    "rules": ("app.cli.autopay_rule_commands", "rules"),
    "mail": ("app.cli.mail_commands", "mail"),
    "alerts": ("app.cli.alert_commands", "alerts"),
    "attempts": ("app.cli.attempt_commands", "attempts"),
    "recurring": ("app.cli.recurring_commands", "recurring"),
    "payment": ("app.cli.payment_commands", "payment"),
    "payments": ("app.cli.payment_list_commands", "payments"),
    "events": ("app.cli.support_commands", "events"),
    "invoice": ("app.cli.invoice_commands", "invoice"),
    "stripe": ("app.cli.stripe_setup_commands", "stripe"),
    "reconcile": ("app.cli.stripe_commands", "reconcile"),
    "payouts": ("app.cli.payout_commands", "payouts"),
    "journal": ("app.cli.journal_commands", "journal"),
    "reports": ("app.cli.report_commands", "reports"),
    "export": ("app.cli.export_commands", "export"),
    "check": ("app.cli.journal_commands", "check"),
    "audit": ("app.cli.audit_commands", "audit"),
    "status": ("app.cli.support_commands", "status"),
    "client": ("app.cli.client_commands", "client"),
    "clients": ("app.cli.client_list_commands", "clients"),
    "purge": ("app.cli.retention_commands", "purge"),
    "access": ("app.cli.setup_commands", "access"),
    "user": ("app.cli.user_commands", "user"),
    "currencies": ("app.cli.currency_commands", "currencies"),
    "import": ("app.cli.setup_commands", "import_file"),
    "db": ("app.cli.database_commands", "db"),
    "doctor": ("app.cli.setup_commands", "doctor"),
    "sandbox": ("app.cli.server_commands", "sandbox"),
}

# Commands that need `app.sandbox`, which the image is built without.
SANDBOX_COMMANDS = frozenset({"demo", "sandbox"})


def names() -> list[str]:
    """The commands that this installation has: the first steps first."""
    has_sandbox = (Path(__file__).parents[1] / "sandbox").is_dir()
    return [name for name in COMMANDS if has_sandbox or name not in SANDBOX_COMMANDS]


def load(name: str) -> click.Command | None:
    """The command of a name, or None where there is none."""
    if name not in names():
        return None
    module, attribute = COMMANDS[name]
    found: click.Command = getattr(import_module(module), attribute)
    return found

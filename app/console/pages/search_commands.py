"""Commands in the box: `pause autopay for acme` leads to the form, whose button does it."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import select

from app.console.language import N_, _
from app.console.pages.search_reads import HITS_MAX, Hit, find_hits, intent_hits
from app.console.pages.search_terms import search_terms
from app.console.pages.wording import ViewerTime
from app.console.people.roles import Role
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoice_payments import InvoicePayment

SHARES = table_of(InvoicePayment)


class Command(NamedTuple):
    """A verb, the group of hits that it acts on, and the form below such a hit's address."""

    verb: str
    group: str
    form: str
    title: str
    icon: str
    role: Role


COMMANDS = (
    Command(
        "pause", N_("Clients"), "pause", N_("Pause autopay of %(target)s…"), "pause", Role.SUPPORT
    ),
    Command(
        "resume", N_("Clients"), "resume", N_("Resume autopay of %(target)s…"), "run", Role.SUPPORT
    ),
    Command("hold", N_("Invoices"), "hold", N_("Hold %(target)s…"), "pause", Role.SUPPORT),
    Command(
        "release",
        N_("Invoices"),
        "release",
        N_("Let autopay charge %(target)s…"),
        "run",
        Role.SUPPORT,
    ),
    Command("note", N_("Invoices"), "note", N_("Note on %(target)s…"), "note", Role.SUPPORT),
    Command("charge", N_("Invoices"), "retry", N_("Charge now %(target)s…"), "bolt", Role.FINANCE),
    Command("retry", N_("Invoices"), "retry", N_("Charge now %(target)s…"), "bolt", Role.FINANCE),
    Command(
        "pay", N_("Invoices"), "pay", N_("Enter a payment of %(target)s…"), "coin", Role.FINANCE
    ),
    Command("void", N_("Invoices"), "void", N_("Void %(target)s…"), "no", Role.FINANCE),
    Command("refund", N_("Payments"), "refund", N_("Refund %(target)s…"), "back", Role.FINANCE),
    Command("assign", N_("Payments"), "assign", N_("Assign %(target)s…"), "doc", Role.FINANCE),
    Command("replay", N_("Events"), "replay", N_("Replay %(target)s…"), "retry", Role.SUPPORT),
)
_BY_VERB = {one.verb: one for one in COMMANDS}
# Words that somebody says between the verb and what it is about.
_BETWEEN = frozenset("autopay for of the now half client invoice payment event".split())


class WantedAct(NamedTuple):
    """A command as it was typed: `refund half of INV-7001`."""

    command: Command
    target: str
    # A part of the amount that the form begins with: `half`, or none.
    part: str = ""


def wanted_act(text: str) -> WantedAct | None:
    """The command that a text is; None for one that names no verb, or nothing to act on."""
    verb, *words = text.split()[:20] or [""]
    command = _BY_VERB.get(verb.lower())
    if command is None:
        return None
    part = ""
    while words and words[0].lower() in _BETWEEN:
        part = "half" if words.pop(0).lower() == "half" else part
    return WantedAct(command, " ".join(words), part) if words else None


async def find_acts(tx: Tx, text: str, role: Role, times: ViewerTime) -> list[Hit]:
    """The forms that the command may mean, for those who may press their button."""
    wanted = wanted_act(text)
    if wanted is None or not role.includes(wanted.command.role):
        return []
    command = wanted.command
    found = await find_hits(tx, search_terms(wanted.target), times)
    hits = [one for one in found if one.group == command.group]
    if command.group == "Payments" and not hits:
        hits = await _paid_with(tx, found, times)
    return [_act(one, command, wanted.part) for one in hits]


async def _paid_with(tx: Tx, found: Sequence[Hit], times: ViewerTime) -> list[Hit]:
    """The payments of the invoices that were found."""
    invoices = [int(one.href.rpartition("/")[2]) for one in found if one.group == "Invoices"]
    intents = await tx.scalars(
        select(SHARES.c.intent_id)
        .where(SHARES.c.invoice_id.in_(invoices), SHARES.c.intent_id.is_not(None))
        .order_by(SHARES.c.id.desc())
        .limit(HITS_MAX)
    )
    return await intent_hits(tx, list(intents), _("A payment of this invoice"), times)


def _act(hit: Hit, command: Command, part: str) -> Hit:
    query = f"?{urlencode({'part': part})}" if part else ""
    return Hit(
        N_("Actions"),
        command.icon,
        f"{hit.href}/{command.form}{query}",
        _(command.title, target=hit.title),
        hit.why,
        hit.state,
    )

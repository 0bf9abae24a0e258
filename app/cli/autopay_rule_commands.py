"""The commands on autopay's rules: listed, added, moved, tested, previewed, exported, imported."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import amount, console, say, say_json, table
from app.errors import InvalidField, NotFound, Refused
from app.halo.engine.codec import codec_of
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.halo.rule_changes import try_rules, write_rules
from app.ledger import autopay_policy, rule_facts
from app.ledger.autopay_policy import RuleRow
from app.ledger.rule_preview import RuleMove, RulePreview, preview
from app.node import open_current_database
from app.rules import calendar
from app.rules.autopay_rule import Decision, RuleConditions
from app.rules.home import home_of
from app.settings import Settings
from app.storage.engines import Tx

WHO = "command line"
# One rule has about thirty fields; RULES_MAX of them fit.
_FILE_MAX = 4 * 1024 * 1024
# Only shown; an export has them, and a new installation gives its own.
_NOT_WRITTEN = ("date_created", "last_modified")


@click.group()
def rules() -> None:
    """Say whether, when and by what invoices are charged: the first rule that is met decides."""


@rules.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as `rules import` takes them.")
def list_rules(*, as_json: bool) -> None:
    """List the rules in their order."""
    settings = settings_and_logs()
    rows = run(_with_database(settings, autopay_policy.load_rule_rows))
    if as_json:
        say_json(_exported(rows), indented=True)
        return
    shown = (
        (
            row.sequence, row.id, row.name, row.action, _conditions(row), _day(row), _method(row),
            "no" if row.inactive else "",
        )
        for row in rows
    )  # fmt: skip
    columns = (">place", ">id", "name", "action", "where", "when", "by", "in use")
    console().print(table("Autopay rules", columns, shown))


@rules.command("export")
def export_rules() -> None:
    """Print all rules as JSON, as `rules import` takes them."""
    settings = settings_and_logs()
    say_json(_exported(run(_with_database(settings, autopay_policy.load_rule_rows))), indented=True)


@rules.command("add")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD=VALUE...")
@click.option("--dry-run", is_flag=True, help="Only show which open invoices it would move.")
def add_rule(fields: Sequence[str], *, dry_run: bool) -> None:
    """Add a rule, such as `name="Large ones" action=ask amount_from=10000`.

    The fields are those of /api/AutopayRule; docs/autopay.md explains them. Without `sequence` the
    rule comes last. The open invoices that it moves are shown.
    """
    settings = settings_and_logs()
    record = dict(_pair(one) for one in fields)
    found = run(_changed(settings, [record], replaces=False, dry_run=dry_run))
    _show_preview(found)
    say("nothing was changed" if dry_run else f"rule {record['name']!r} is added")


@rules.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show which open invoices it would move.")
def import_rules(file: Path, *, dry_run: bool) -> None:
    """Replace all rules by those of FILE, a JSON list as `rules export` prints it."""
    settings = settings_and_logs()
    records = _records(file)
    found = run(_changed(settings, records, replaces=True, dry_run=dry_run))
    _show_preview(found)
    say("nothing was changed" if dry_run else f"{len(records)} rules are in use now")


@rules.command("move")
@click.argument("rule_id", type=int)
@click.argument("place", type=click.IntRange(min=1))
def move_rule(rule_id: int, place: int) -> None:
    """Give the rule RULE_ID the place PLACE, from 1 on. The first rule that is met decides."""
    settings = settings_and_logs()

    async def work() -> None:
        async with open_current_database(settings) as database:
            await database.with_retry(lambda tx: autopay_policy.move_rule(tx, rule_id, place))

    run(work())
    say(f"rule {rule_id} is at place {place}")


@rules.command("remove")
@click.argument("rule_id", type=int)
def remove_rule(rule_id: int) -> None:
    """Delete the rule RULE_ID."""
    settings = settings_and_logs()

    async def delete(tx: Tx) -> None:
        now, home = datetime.now(UTC), home_of(settings)
        await autopay_policy.delete_rule(tx, rule_id, now=now, who=WHO, home=home)

    async def work() -> None:
        async with open_current_database(settings) as database:
            await database.with_retry(delete)

    run(work())
    say(f"rule {rule_id} is deleted")


@rules.command("test")
@click.argument("invoice_id", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test_rule(invoice_id: int, *, as_json: bool) -> None:
    """Say which rule the invoice INVOICE_ID meets, and what that rule decides."""
    settings = settings_and_logs()

    async def decide(tx: Tx) -> Decision:
        policy = await autopay_policy.load_policy(tx)
        facts = await rule_facts.load_facts(tx, [invoice_id], policy.book, settings.timezone)
        if invoice_id not in facts:
            raise NotFound("Invoice", invoice_id)
        today = calendar.business_day(datetime.now(UTC), settings.timezone)
        return policy.book.decide(facts[invoice_id], today)

    found = run(_with_database(settings, decide))
    if as_json:
        day = found.charge_on.isoformat() if found.charge_on else None
        say_json({"rule": found.rule_name, "action": found.action, "charge_on": day})
        return
    by = f"the rule {found.rule_name!r}" if found.rule else "no rule: its flag and its due date"
    on = f", on {found.charge_on}" if found.charge_on else ""
    say(f"invoice {invoice_id}: {found.action}{on}, by {by}")


# --- reading and writing ---------------------------------------------------------------------


async def _with_database(settings: Settings, read: Any) -> Any:
    async with open_current_database(settings) as database, database.snapshot() as tx:
        return await read(tx)


async def _changed(
    settings: Settings, records: Sequence[Mapping[str, Any]], *, replaces: bool, dry_run: bool
) -> RulePreview:
    """The preview of a change, which is made unless it is a dry run."""
    now, home = datetime.now(UTC), home_of(settings)
    parsed = codec_of(AUTOPAY_RULES).parse_request(list(records)) if records else []

    async def write(tx: Tx) -> None:
        await write_rules(tx, parsed, replaces=replaces, now=now, who=WHO, home=home)

    async with open_current_database(settings) as database:
        before, after = await try_rules(
            database, parsed, replaces=replaces, now=now, who=WHO, home=home
        )
        found = await preview(database, before, after, now=now, timezone=settings.timezone)
        if not dry_run:
            await database.with_retry(write)
        return found


def _records(file: Path) -> list[dict[str, Any]]:
    if file.stat().st_size > _FILE_MAX:
        raise Refused(f"{file} is larger than {_FILE_MAX} bytes")
    try:
        found = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InvalidField("file", f"is no JSON: {error}") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidField("file", "is no list of rules")
    # The order is that of the file, and ids are given anew.
    skipped = ("id", "sequence", *_NOT_WRITTEN)
    return [{name: one[name] for name in one if name not in skipped} for one in found]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in AUTOPAY_RULES.fields:
        raise InvalidField(name, f"is no field of a rule; write {name}=VALUE with one of those")
    return name, value


def _exported(rows: Sequence[RuleRow]) -> list[dict[str, Any]]:
    return [
        {name: _plain(value) for name, value in row._asdict().items() if value is not None}
        for row in rows
    ]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | bool) else str(value)


# --- showing ---------------------------------------------------------------------------------


def _conditions(row: RuleRow) -> str:
    names = RuleConditions.__dataclass_fields__
    given = {name: getattr(row, name) for name in names if getattr(row, name) is not None}
    said = ", ".join(f"{name}={_plain(value)}" for name, value in given.items())
    return f"{said or 'any'}{', flagged or not' if row.unflagged else ''}"


def _day(row: RuleRow) -> str:
    parts = [
        f"{row.day_from} date" + (f" {row.days:+d} days" if row.days else ""),
        f"day {row.day_of_month} of a month" if row.day_of_month else "",
        row.weekdays or "",
        f"{row.move_days} off closed days {row.holidays or ''}".strip() if row.move_days else "",
    ]
    return ", ".join(part for part in parts if part)


def _method(row: RuleRow) -> str:
    most = "" if row.card_max is None else f", cards up to {_plain(row.card_max)}"
    return f"{row.payment_method_id or row.charge_method}{most}"


_MOVES = {
    RuleMove.IN: "charged from now on",
    RuleMove.OUT: "charged no longer",
    RuleMove.ASK: "held for an approval",
    RuleMove.DAY: "charged on another day",
}


def _show_preview(found: RulePreview) -> None:
    rows = (
        (_MOVES[move], found.counts[move, currency], amount(total, currency))
        for (move, currency), total in sorted(found.sums.items())
    )
    title = f"{found.looked_at} open invoices, of which this moves {found.counts.total()}"
    console().print(table(title, ("move", ">invoices", ">sum"), rows))

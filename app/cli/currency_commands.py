"""The command that takes daily exchange rates from a file."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.dry_run_end import DryRunEnded
from app.cli.terminal import say
from app.errors import InvalidField, Refused
from app.ledger.exchange_rates import RatesImport, import_daily_rates
from app.node import open_current_database
from app.rules.daily_rates import parse_daily_rates
from app.rules.money import plain
from app.settings import Settings


@click.group()
def currencies() -> None:
    """Keep the exchange rates of currencies."""


@currencies.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what the import would do; change nothing.")
def currencies_import(file: Path, dry_run: bool) -> None:
    """Take daily rates from FILE, a CSV of the European Central Bank's form.

    A row is a day, a column a currency, a cell its units for one euro: `eurofxref.csv` of a day,
    or `eurofxref-hist.csv` of all. They are kept for the currencies that there are, against
    PAYDUE_CURRENCY. The rates of the newest day become the present ones; an invoice of an earlier
    day takes that day's. Invoices that there are keep theirs. Imported again, nothing changes.
    """
    settings = settings_and_logs()
    found = run(_import(settings, file.read_bytes(), dry_run=dry_run))
    would = "would be " if dry_run else ""
    say(f"{found.days} days: {found.new} rates {would}new, {found.changed} {would}changed")
    for code, rate in sorted(found.present.items()):
        say(f"{code.upper()} {would}now {plain(rate)} {settings.currency.upper()}")


async def _import(settings: Settings, raw: bytes, *, dry_run: bool) -> RatesImport:
    try:
        days = parse_daily_rates(raw.decode())
    except UnicodeDecodeError:
        raise InvalidField("file", "is no text in UTF-8") from None
    if not any(one.in_home(settings.currency) for one in days):
        raise Refused(f"no day of the file has a rate of {settings.currency.upper()}")
    found: list[RatesImport] = []
    async with open_current_database(settings) as database:
        with contextlib.suppress(DryRunEnded):
            async with database.transaction() as tx:
                now = datetime.now(UTC)
                found.append(await import_daily_rates(tx, days, home=settings.currency, now=now))
                if dry_run:
                    raise DryRunEnded
    return found[-1]

"""The commands `payments list`, and `payment record` for what came another way than by Stripe."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.csv_output import print_csv
from app.cli.terminal import amount, console, moment, say, say_json, table
from app.ledger import manual_payments
from app.node import open_current_database
from app.payments import lookup
from app.payments.payment_list import STATUSES, PaymentFilter, PaymentRow, iterate_payments
from app.rules import calendar, money
from app.rules.home import home_of
from app.rules.spreadsheet import Cell, amount_cell
from app.settings import Settings
from app.storage.engines import Tx

_CSV_COLUMNS = (
    "date", "status", "amount", "currency", "refunded", "invoice", "client", "method", "reason",
    "payment", "payment_id", "client_id",
)  # fmt: skip
_COLUMNS = ("date", "status", ">amount", "invoice", "client", "reason", "payment")


@click.group()
def payments() -> None:
    """List payments, for support and for a spreadsheet."""


def _day(_: click.Context, __: click.Parameter, given: str | None) -> date | timedelta | None:
    """A day, or days before today."""
    if given is None:
        return None
    known = {"today": timedelta(0), "yesterday": timedelta(days=1)}
    if given in known:
        return known[given]
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise click.BadParameter(f"{given!r} is no day, such as 2026-11-30 or today") from None


@payments.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES),
    help="Only such; may be repeated.",
)
@click.option("--since", callback=_day, help="From this day on: a date, today or yesterday.")
@click.option("--until", callback=_day, help="Up to and with this day.")
@click.option("--client", help="A client's id, a part of its name, or its Stripe customer.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--csv", "as_csv", is_flag=True, help="Print all of them as CSV, whatever the limit.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def payments_list(
    statuses: Sequence[str], since: date | timedelta | None, until: date | timedelta | None,
    client: str | None, limit: int, *, as_csv: bool, as_json: bool,
) -> None:  # fmt: skip
    """Payments, the newest first; one of several invoices has a line for each.

    `unapplied` is money that no invoice has. Days are those of PAYDUE_TIMEZONE.
    """
    settings = settings_and_logs()
    wanted = PaymentFilter(
        statuses, _start(settings, since), _start(settings, until, days=1), client
    )

    if as_csv:
        run(_print_csv(settings, wanted))
        return
    found = run(_found(settings, wanted, limit + 1))
    if as_json:
        say_json([_as_dict(row) for row in found[:limit]], indented=True)
    else:
        title = f"payments ({len(found[:limit])})"
        console().print(table(title, _COLUMNS, _shown(found[:limit])))
    if len(found) > limit:
        say(f"paydue: there are more than these {limit}; see --limit", err=True)


async def _print_csv(settings: Settings, wanted: PaymentFilter) -> None:
    """Row by row: a year has more payments than memory should hold."""
    print_csv([_CSV_COLUMNS])
    async with open_current_database(settings) as database, database.snapshot() as tx:
        async for row in iterate_payments(tx, wanted):
            print_csv([_cells(row)])


async def _found(settings: Settings, wanted: PaymentFilter, limit: int) -> list[PaymentRow]:
    found: list[PaymentRow] = []
    async with open_current_database(settings) as database, database.snapshot() as tx:
        async for row in iterate_payments(tx, wanted):
            found.append(row)
            if len(found) == limit:
                break
    return found


def _start(settings: Settings, day: date | timedelta | None, *, days: int = 0) -> datetime | None:
    """The first moment of a day in the business's time zone, or of one some days after it."""
    if day is None:
        return None
    if isinstance(day, timedelta):
        day = calendar.business_day(datetime.now(UTC), settings.timezone) - day
    zone = calendar.zone(settings.timezone)
    return datetime.combine(day + timedelta(days=days), time(), tzinfo=zone).astimezone(UTC)


def _shown(rows: Sequence[PaymentRow]) -> Iterator[Sequence[object]]:
    for row in rows:
        yield (
            moment(lookup.instant(row.date)), row.status_name, amount(row.amount, row.currency),
            row.invoicenumber or row.invoice_id or "-", row.client_name or "-", row.reason,
            row.intent_id or row.payment_method_name,
        )  # fmt: skip


def _cells(row: PaymentRow) -> Sequence[Cell]:
    return (
        moment(lookup.instant(row.date)), row.status_name, amount_cell(row.amount, row.currency),
        row.currency.upper(), amount_cell(row.amount_refunded, row.currency),
        row.invoicenumber or row.invoice_id, row.client_name, row.payment_method_name, row.reason,
        row.intent_id, row.id, row.client_id,
    )  # fmt: skip


def _as_dict(row: PaymentRow) -> dict[str, object]:
    return {
        **row._asdict(),
        "date": lookup.instant(row.date),
        "status": row.status_name,
        **{
            name: money.text(getattr(row, name), row.currency)
            for name in ("amount", "counted", "amount_refunded")
        },
    }


def _amount(_: click.Context, __: click.Parameter, given: str) -> Decimal:
    try:
        return Decimal(given)
    except InvalidOperation:
        raise click.BadParameter(f"{given!r} is no amount, such as 120.00") from None


@click.command("record")
@click.argument("invoice_id", type=int)
@click.argument("paid", metavar="AMOUNT", callback=_amount)
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="Its day; today.")
@click.option("--method", default="Bank transfer", show_default=True, help="How it was paid.")
@click.option("--reference", help="As it stands on the bank statement.")
def payment_record(
    invoice_id: int, paid: Decimal, day: datetime | None, method: str, reference: str | None
) -> None:
    """Enter AMOUNT that came for the invoice INVOICE_ID another way than through Stripe.

    The amount is of the invoice's currency. Autopay charges what is left, if anything.
    """
    settings = settings_and_logs()
    now = datetime.now(UTC)
    record = {
        "invoice_id": invoice_id, "amount": paid, "date": day.replace(tzinfo=UTC) if day else now,
        "payment_method_name": method, "reference": reference,
    }  # fmt: skip

    async def enter(tx: Tx) -> list[int]:
        home = home_of(settings)
        return await manual_payments.save(tx, [record], now=now, who="command line", home=home)

    async def work() -> list[int]:
        async with open_current_database(settings) as database:
            return await database.with_retry(enter)

    (payment_id,) = run(work())
    say(f"payment {payment_id} of invoice {invoice_id} is entered")

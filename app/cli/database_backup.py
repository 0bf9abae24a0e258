"""A backup written, and one put back: each is verified before it is in its place."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import ConfigurationError, Refused
from app.ledger import autopay_pauses, journal_check, outbox
from app.ledger.autopay_pauses import REASON_MAX
from app.node import open_database, open_node
from app.payments.event_queries import list_events
from app.payments.reconciliation import cursor
from app.payments.reconciliation.reconcile_pass import ReconcileResult
from app.payments.status import unapplied_by_currency
from app.payments.stripe.gateway import NoAnswer, NotAuthorized, StripeRateLimited
from app.settings import Settings
from app.storage import postgres_backup, schema, sqlite_backup
from app.storage.engines import Database, Tx, normalize_url, shown_url
from app.storage.tables.stripe_events import EventState

# Events that wait for a person are named up to here; `paydue events list` has all.
NAMED_MAX = 1000


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A backup: its file, its bytes, its schema, and in how many sums its books disagree."""

    file: str
    bytes: int
    schema: str
    differences: int


async def back_up(settings: Settings, to: Path) -> BackupReport:
    """Write a verified backup to a new file, or to one named by the time in a folder."""
    async with open_database(settings) as database:
        at = await schema.expect_readable(database)
        to = _new_file(to, "db" if database.is_sqlite else "dump")
        with sqlite_backup.workshop(to) as folder:
            part = folder / "backup"
            if database.is_sqlite:
                await sqlite_backup.copy_live(database, part)
                async with open_database(_on_file(settings, part)) as copy:
                    differences = await _differences(copy)
                sqlite_backup.publish(part, to)
            else:
                await postgres_backup.dump(database, part)
                differences = await _differences(database)
                part.rename(to)
    return BackupReport(str(to), to.stat().st_size, at, differences)


def _new_file(to: Path, ending: str) -> Path:
    if to.is_dir():
        to /= f"paydue-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    if to.exists():
        raise Refused(f"{to} is there already; a backup is not written over another")
    if not to.absolute().parent.is_dir():
        raise Refused(f"there is no folder {to.absolute().parent}")
    return to.absolute()


@dataclass(slots=True)
class RestoreReport:
    """A restore: where it is, what Stripe brought back, and what a person has to see to."""

    database: str
    aside: str | None
    schema: str
    differences: int
    # The pause of autopay that a person ends once what was typed by hand is entered again.
    pause_id: int
    # None while Stripe has not been read to its end; until then nothing is charged.
    brought_back: dict[str, Any] | None = None
    not_read: str | None = None
    # Events of money whose invoice or client came after the backup, with the reason.
    waiting: list[dict[str, str | None]] = field(default_factory=list)
    unapplied: dict[str, str] = field(default_factory=dict)

    @property
    def needs_a_person(self) -> bool:
        return bool(self.waiting or self.differences or self.brought_back is None)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def restore(settings: Settings, source: Path, *, replace: bool) -> RestoreReport:
    """Put a backup in the database's place, and read from Stripe what it does not know.

    Until Stripe has been read to its end no run charges anything, however often it is started; and
    autopay is paused, for Stripe does not know what was paid by bank transfer since.
    """
    url = normalize_url(settings.database_url)
    is_sqlite = url.get_backend_name() == "sqlite"
    aside = await _restore_file(settings, source, replace=replace) if is_sqlite else None
    async with open_database(settings) as database:
        if not is_sqlite:
            await postgres_backup.verify(url, source)
            await postgres_backup.restore(database, source)
            await _prepare(database)
        report = RestoreReport(
            shown_url(database.url),
            str(aside) if aside else None,
            schema.head(),
            await _differences(database),
            await _pause_autopay(database, source),
        )
    await _read_stripe(settings, report)
    return report


async def _restore_file(settings: Settings, source: Path, *, replace: bool) -> Path | None:
    target = _place(settings, replace=replace)
    with sqlite_backup.workshop(target) as folder:
        part = folder / "paydue.db"
        sqlite_backup.copy_backup(source, part)
        async with open_database(_on_file(settings, part)) as copy:
            await _prepare(copy)
        sqlite_backup.expect_closed(target)
        aside = sqlite_backup.move_aside(target, datetime.now(UTC))
        sqlite_backup.publish(part, target)
    return aside


def _place(settings: Settings, *, replace: bool) -> Path:
    """Where the database is to be; Refused where something is there, or a process works on it."""
    place = Path(normalize_url(settings.database_url).database or "").absolute()
    if not place.parent.is_dir():
        raise Refused(f"there is no folder {place.parent}")
    if not replace and sqlite_backup.is_there(place):
        raise Refused(f"{place} is there; --replace keeps it, with its WAL, under another name")
    sqlite_backup.expect_closed(place)
    return place


async def _prepare(database: Database) -> None:
    """This version's schema, and the mark that lets nothing be charged before Stripe is read."""
    await schema.expect_known(database)
    await schema.upgrade(database)
    async with database.transaction() as tx:
        await cursor.mark_restored(tx, datetime.now(UTC))
        await outbox.stop_after_restore(tx)


async def _pause_autopay(database: Database, source: Path) -> int:
    """Hold every invoice until a person says that what was typed by hand is there again."""
    reason = f"restored from {source.name}: payments typed since are lost, enter them again first"

    async def work(tx: Tx) -> int:
        return await autopay_pauses.pause(
            tx, client_id=None, invoice_id=None, reason=reason[:REASON_MAX], until=None,
            who="db restore", now=datetime.now(UTC),
        )  # fmt: skip

    return await database.with_retry(work)


async def _read_stripe(settings: Settings, report: RestoreReport) -> None:
    try:
        found = await _caught_up(settings)
    except (ConfigurationError, NoAnswer, NotAuthorized, StripeRateLimited) as error:
        report.not_read = str(error)
    else:
        report.brought_back = found.log_fields()
    async with open_database(settings) as database, database.snapshot() as tx:
        if await cursor.load_restored_at(tx) is not None:
            report.brought_back = None
            report.not_read = report.not_read or "something was passed over; the log names it"
        report.waiting = _named(await list_events(tx, EventState.PARKED, NAMED_MAX))
        report.unapplied = await unapplied_by_currency(tx)


async def _caught_up(settings: Settings) -> ReconcileResult:
    if not settings.api_key:
        raise ConfigurationError("STRIPE_API_KEY is not set; nothing can be asked of Stripe")
    async with open_node(settings) as node, node.gateway:
        return await node.reconciliation().catch_up()


def _named(rows: Sequence[Any]) -> list[dict[str, str | None]]:
    return [
        {"id": one.event_id, "type": one.type, "intent_id": one.intent_id, "error": one.error}
        for one in rows
    ]


async def _differences(database: Database) -> int:
    async with database.snapshot() as tx:
        return len(await journal_check.list_differences(tx))


def _on_file(settings: Settings, file: Path) -> Settings:
    return settings.model_copy(update={"database_url": f"sqlite:///{file.absolute()}"})

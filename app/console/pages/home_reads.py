"""Did today go well, and what waits for a person? Read within bounds, however long the tables."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select

from app.console.language import N_, _, ngettext
from app.console.pages.wording import MINUTES, SECONDS, ShownAmount, Tone, ViewerTime, shown_amount
from app.payments.reconciliation.cursor import load_completed_at
from app.rules import money
from app.rules.attempt import UNRESOLVED, AttemptState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt
from app.storage.tables.clients import Client
from app.storage.tables.cluster import Job
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, StripeEvent

ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(InvoicePayment)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
EVENTS = table_of(StripeEvent)
JOBS = table_of(Job)

# The newest rows that the page adds up: days of a small installation, today of a large one.
SUMMED_MAX = 4_000
CHART_DAYS = 14
# A complete reconciliation that is older than this is a reason to look.
STALE = timedelta(hours=2)


class RunPart(NamedTuple):
    """The attempts of today that ended alike."""

    tone: Tone
    icon: str
    number: int
    text: str
    sums: Sequence[ShownAmount]
    href: str


class SplitPiece(NamedTuple):
    """A piece of the bar that shows how today's attempts are split."""

    tone: Tone
    x: int
    width: int


class TodaysRun(NamedTuple):
    """Today's attempts to charge, by their end."""

    charged: int
    tried: int
    parts: Sequence[RunPart]
    pieces: Sequence[SplitPiece]
    note: str


class HealthSign(NamedTuple):
    """A sign of health in words; a bad one leads to where it is mended."""

    tone: Tone
    icon: str
    text: str
    href: str | None = None


class SetupStep(NamedTuple):
    """One step of the first setup, checked live."""

    is_done: bool
    title: str
    text: str
    command: str = ""


async def load_todays_run(tx: Tx, times: ViewerTime) -> TodaysRun | None:
    """None before the first attempt of the day."""
    columns = (ATTEMPTS.c.business_day, ATTEMPTS.c.state, ATTEMPTS.c.next_try_on)
    more = (ATTEMPTS.c.currency, ATTEMPTS.c.amount_minor)
    newest = select(*columns, *more).order_by(ATTEMPTS.c.id.desc()).limit(SUMMED_MAX).subquery()
    waits = newest.c.next_try_on.is_not(None).label("waits")
    rows = await tx.execute(
        select(newest.c.state, waits, newest.c.currency, func.count(),
               func.sum(newest.c.amount_minor))
        .where(newest.c.business_day == times.today)
        .group_by(newest.c.state, waits, newest.c.currency)
    )  # fmt: skip
    kinds: dict[str, dict[str, tuple[int, int]]] = {}
    for state, is_waiting, currency, count, minor in rows:
        of_kind = kinds.setdefault(_kind(state, is_waiting=bool(is_waiting)), {})
        known = of_kind.get(currency, (0, 0))
        of_kind[currency] = (known[0] + count, known[1] + int(minor))
    return _run(kinds, await _last_run(tx, times)) if kinds else None


def _kind(state: str, *, is_waiting: bool) -> str:
    match AttemptState(state):
        case AttemptState.SUCCEEDED:
            return "succeeded"
        case AttemptState.PROCESSING:
            return "processing"
        case AttemptState.DECLINED if not is_waiting:
            return "declined"
        case AttemptState.CANCELED:
            return "ended"
        case _:
            return "waits"


_PARTS = (
    ("succeeded", Tone.GOOD, "check", N_("succeeded")),
    ("processing", Tone.GO, "clock", N_("processing")),
    ("waits", Tone.WAIT, "retry", N_("tried again later")),
    ("declined", Tone.BAD, "no", N_("declined for good")),
    ("ended", Tone.NONE, "no", N_("ended before money moved")),
)


def _run(kinds: dict[str, dict[str, tuple[int, int]]], note: str) -> TodaysRun:
    parts = []
    for kind, tone, icon, text in _PARTS:
        of_kind = kinds.get(kind)
        if of_kind:
            count = sum(number for number, _ in of_kind.values())
            sums = [
                shown_amount(money.from_minor(minor, currency), currency)
                for currency, (_, minor) in sorted(of_kind.items())
            ]
            parts.append(RunPart(tone, icon, count, text, sums, "/attempts"))
    tried = sum(one.number for one in parts)
    charged = sum(one.number for one in parts if one.tone == Tone.GOOD)
    return TodaysRun(charged, tried, parts, _pieces(parts, tried), note)


def _pieces(parts: Sequence[RunPart], tried: int) -> list[SplitPiece]:
    """Pieces of a bar that is 1000 wide, with a gap of 3 between them; none is too thin to see."""
    pieces, at = [], 0
    for one in parts:
        width = max(round(one.number * 1000 / tried), 6)
        pieces.append(SplitPiece(one.tone, at, width))
        at += width + 3
    return pieces


async def _last_run(tx: Tx, times: ViewerTime) -> str:
    row = (await tx.execute(select(JOBS).where(JOBS.c.name == "autopay"))).one_or_none()
    if row is None or row.finished_at is None:
        return ""
    finished = times.short(row.finished_at)
    if row.started_at is not None and row.finished_at >= row.started_at:
        seconds = (row.finished_at - row.started_at).total_seconds()
        took = MINUTES.of(round(seconds / 60)) if seconds >= 90 else SECONDS.of(round(seconds))
        return _("Last run finished %(time)s, took %(took)s", time=finished, took=took)
    return _("Last run finished %(time)s", time=finished)


# --- health and first steps --------------------------------------------------------------------


async def load_health_signs(tx: Tx, times: ViewerTime) -> list[HealthSign]:
    """Is everything heard, compared and applied?"""
    return [
        *await _last_event(tx, times),
        await _reconciled(tx, times),
        await _parked(tx, times),
        *await _unresolved(tx, times),
    ]


async def _last_event(tx: Tx, times: ViewerTime) -> list[HealthSign]:
    newest = select(EVENTS.c.created_at, EVENTS.c.received_at).order_by(EVENTS.c.id.desc())
    row = (await tx.execute(newest.limit(1))).one_or_none()
    if row is None:
        return [HealthSign(Tone.WAIT, "warn", _("No webhook has come yet"), "/health")]
    return [
        HealthSign(Tone.GOOD, "check", _("Last event %(ago)s ago", ago=times.ago(row.received_at)))
    ]


async def _reconciled(tx: Tx, times: ViewerTime) -> HealthSign:
    at = await load_completed_at(tx)
    if at is None:
        return HealthSign(Tone.WAIT, "warn", _("Never reconciled with Stripe"), "/health")
    if times.now - at > STALE:
        return HealthSign(
            Tone.WAIT,
            "warn",
            _("Reconciled %(ago)s ago; is a worker running?", ago=times.ago(at)),
            "/health",
        )
    return HealthSign(Tone.GOOD, "check", _("Fully reconciled %(ago)s ago", ago=times.ago(at)))


async def _parked(tx: Tx, times: ViewerTime) -> HealthSign:
    columns = (EVENTS.c.received_at,)
    some = select(*columns).where(IS_PARKED_OR_DEAD).limit(1000).subquery()
    count, oldest = (await tx.execute(select(func.count(), func.min(some.c.received_at)))).one()
    if not count:
        return HealthSign(Tone.GOOD, "check", _("All events applied"))
    text = _(
        "%(count)s parked, the oldest %(ago)s",
        count=ngettext("%(num)s event", "%(num)s events", count),
        ago=times.ago(oldest),
    )
    return HealthSign(Tone.WAIT, "warn", text, "/inbox")


async def _unresolved(tx: Tx, times: ViewerTime) -> list[HealthSign]:
    waiting = [state for state in UNRESOLVED if state != AttemptState.PROCESSING]
    count, oldest = (
        await tx.execute(
            select(func.count(), func.min(ATTEMPTS.c.created_at)).where(
                IS_UNRESOLVED, ATTEMPTS.c.state.in_(waiting)
            )
        )
    ).one()
    if not count:
        return []
    text = _(
        "%(count)s without Stripe’s answer, the oldest %(ago)s",
        count=ngettext("%(num)s charge", "%(num)s charges", count),
        ago=times.ago(oldest),
    )
    return [HealthSign(Tone.WAIT, "clock", text, "/attempts?state=unresolved")]


async def load_setup_steps(
    tx: Tx, *, has_key: bool, has_secret: bool, webhook_url: str
) -> list[SetupStep]:
    """The steps from an empty Paydue to the first charge, each with what is true now."""
    heard = await tx.scalar(select(EVENTS.c.id).limit(1))
    client = await tx.scalar(select(CLIENTS.c.id).limit(1))
    with_customer = await tx.scalar(
        select(CLIENTS.c.id).where(CLIENTS.c.stripe_customer_id.is_not(None)).limit(1)
    )
    invoice = await tx.scalar(select(INVOICES.c.id).where(INVOICES.c.id > 0).limit(1))
    worker = await tx.scalar(select(JOBS.c.name).where(JOBS.c.finished_at.is_not(None)).limit(1))
    return [
        SetupStep(
            has_key,
            _("Give Paydue a key of Stripe"),
            _("A restricted key is enough; README says which rights it needs."),
            "STRIPE_API_KEY=…",
        ),
        SetupStep(
            has_secret,
            _("Give Paydue the webhook’s signing secret"),
            _("Without it no webhook can be verified, and none is accepted."),
            "STRIPE_WEBHOOK_SECRET=…",
        ),
        SetupStep(
            heard is not None,
            _("Point Stripe at Paydue"),
            _("In Stripe’s dashboard add an endpoint with this address; send a test event."),
            webhook_url,
        ),
        SetupStep(
            worker is not None,
            _("Start a worker"),
            _(
                "It charges what is due each day, and asks Stripe about what webhooks did "
                "not bring."
            ),
            "paydue worker",
        ),
        SetupStep(
            client is not None and with_customer is not None,
            _("Add clients with their Stripe customers"),
            _("Through the API, as HaloPSA does, or from a file."),
            "paydue import clients.json",
        ),
        SetupStep(
            invoice is not None,
            _("Send the first invoice"),
            _("One with take_auto_payment is charged on its due date."),
            "POST /api/Invoice",
        ),
    ]

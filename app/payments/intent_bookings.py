"""Books one PaymentIntent as Stripe shows it now, because somebody named it."""

import structlog

from app.errors import InvalidField
from app.ledger import settlement
from app.payments.autopay import attempt_reports
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.payments.stripe.stripe_objects import intent_report
from app.rules.claim import Evidence
from app.rules.payment import PaymentReport
from app.storage.engines import Database, Tx

log = structlog.get_logger("paydue.payments")


async def book(database: Database, gateway: Gateway, installation: str, intent_id: str) -> None:
    """Book the intent; its silence books nothing.

    InvalidField when Stripe does not know it, or when it is another installation's.
    """
    try:
        found = await gateway.retrieve(intent_id)
    except RequestRefused as error:
        raise InvalidField("intent_id", f"Stripe does not show {intent_id}: {error}") from error
    except (NoAnswer, NotAuthorized, StripeRateLimited) as error:
        log.warning("intent not shown", intent=intent_id, why=str(error))
        return
    now = database.now()
    report = intent_report(
        found.object,
        at=now.replace(microsecond=0),
        installation=installation,
        response=found.body,
    )
    if report.evidence == Evidence.FOREIGN:
        raise InvalidField("intent_id", f"{intent_id} is another installation's")
    await database.with_retry(lambda tx: _record(tx, report, database))


async def _record(tx: Tx, report: PaymentReport, database: Database) -> None:
    now = database.now()
    await settlement.record(tx, [report], now=now, who="api")
    await attempt_reports.follow_reports(tx, [report], now=now)

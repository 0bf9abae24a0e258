"""The conditions that people and programs are alerted of, and their titles."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class AlertCondition(StrEnum):
    """Each is told when it begins, and again when it is over."""

    RUN_STOPPED = "run_stopped"
    MONEY_UNAPPLIED = "money_unapplied"
    DISPUTE_OPEN = "dispute_open"
    ATTEMPT_UNKNOWN = "attempt_unknown"
    RECONCILIATION_OLD = "reconciliation_old"
    WEBHOOKS_SILENT = "webhooks_silent"
    ENDPOINT_DISABLED = "endpoint_disabled"
    ENDPOINT_LACKS_EVENTS = "endpoint_lacks_events"
    KEY_REFUSED = "key_refused"


# Told once, for it is over as it begins.
RUN_FINISHED = "run_finished"

TITLES: Mapping[str, str] = {
    RUN_FINISHED: "An autopay run has finished",
    AlertCondition.RUN_STOPPED: "An autopay run was stopped and asks for approval",
    AlertCondition.MONEY_UNAPPLIED: "There is money that no invoice has",
    AlertCondition.DISPUTE_OPEN: "A payment is disputed",
    AlertCondition.ATTEMPT_UNKNOWN: "A charge has had no answer for more than an hour",
    AlertCondition.RECONCILIATION_OLD: "Stripe has not been read to its end for two periods",
    AlertCondition.WEBHOOKS_SILENT: "No webhook has come for a day, though charges were made",
    AlertCondition.ENDPOINT_DISABLED: "The webhook endpoint is missing or disabled at Stripe",
    AlertCondition.ENDPOINT_LACKS_EVENTS: "The webhook endpoint does not get all events",
    AlertCondition.KEY_REFUSED: "Stripe refuses the key",
}


class AlertFact(NamedTuple):
    """A condition that holds now; `subject` tells apart several of one condition."""

    condition: AlertCondition
    detail: str
    subject: str = ""

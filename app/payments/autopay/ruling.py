"""All that people decided about an invoice's automatic charge: rule, limits, pause and approval.

An invoice that is read for autopay is read together with the revision of the rules, in one
statement. While nobody has decided anything, that is all; otherwise `Policies.rule` reads the rest
for a page of invoices at a time, in the same transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from app.ledger.approvals import load_current
from app.ledger.autopay_pauses import Pause, load_pauses
from app.ledger.autopay_policy import AutopayPolicy, load_policy
from app.ledger.rule_facts import load_facts
from app.payments.autopay.candidates import Candidate, Ruling, find_candidate
from app.rules import calendar
from app.rules.autopay_rule import days_ahead
from app.settings import Settings
from app.storage.engines import Tx


class Policies:
    """The rules and limits as they are now; they are read again once their revision has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known = AutopayPolicy()

    async def load(self, tx: Tx) -> AutopayPolicy:
        """The policy as it is now."""
        self._known = await load_policy(tx)
        return self._known

    async def rule(
        self, tx: Tx, found: Sequence[Candidate], *, now: datetime, day: date | None
    ) -> list[Candidate]:
        """The candidates, each with what was decided about it; as they are while nothing was."""
        revision = next((one.policy_revision for one in found), None)
        if revision is None and self._settings.autopay_from is None:
            return list(found)
        policy = self._known
        if revision != policy.revision:
            policy = await self.load(tx)
        rulings = await _rulings(tx, found, policy, self._settings, now, day)
        return [replace(one, ruling=rulings.get(one.invoice_id)) for one in found]

    async def rule_by_id(
        self, tx: Tx, found: Mapping[int, Candidate], *, now: datetime, day: date | None
    ) -> dict[int, Candidate]:
        ruled = await self.rule(tx, list(found.values()), now=now, day=day)
        return {one.invoice_id: one for one in ruled}


async def find_ruled(
    tx: Tx, invoice_id: int, settings: Settings, *, now: datetime
) -> Candidate | None:
    """One invoice as it is, unlocked, with what was decided about it."""
    one = await find_candidate(tx, invoice_id)
    if one is None:
        return None
    (ruled,) = await Policies(settings).rule(tx, [one], now=now, day=None)
    return ruled


def horizon(policy: AutopayPolicy, last_day: date) -> date:
    """The latest due day of an invoice that rules may charge by `last_day`."""
    ahead = days_ahead(policy.book.rules)
    if ahead is None or last_day > date.max - timedelta(days=ahead):
        return date.max
    return last_day + timedelta(days=ahead)


async def _rulings(
    tx: Tx,
    found: Sequence[Candidate],
    policy: AutopayPolicy,
    settings: Settings,
    now: datetime,
    day: date | None,
) -> dict[int, Ruling]:
    ids = [one.invoice_id for one in found]
    facts = await load_facts(tx, ids, policy.book, settings.timezone)
    approvals = await load_current(tx, ids)
    clients = [one.client_id for one in found if one.client_id is not None]
    pauses = await load_pauses(tx, clients, ids)
    rulings = {}
    for one in found:
        known = facts.get(one.invoice_id)
        if known is None:
            continue
        today = day or calendar.business_day(now, one.timezone or settings.timezone)
        rulings[one.invoice_id] = Ruling(
            decision=policy.book.decide(known, today),
            limits=policy.limits,
            pause=_pause_of(one, pauses, today),
            approval=approvals.get(one.invoice_id),
            total=known.total,
            made_on=known.invoice_date or known.duedate,
        )
    return rulings


def _pause_of(one: Candidate, pauses: Iterable[Pause], today: date) -> Pause | None:
    for pause in pauses:
        is_its = pause.invoice_id in (None, one.invoice_id) and pause.client_id in (
            None,
            one.client_id,
        )
        if is_its and pause.holds_on(today):
            return pause
    return None

"""The address in the mail of a coming charge by which its reader objects to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.ledger.charge_objections import new_objection_token, record_objection_token
from app.rules import calendar
from app.rules.mail_kind import MailKind
from app.settings import Settings
from app.storage.engines import Record, Tx


@dataclass(frozen=True, slots=True)
class ObjectionOffer:
    """An address that is about to be mailed. It is good once it is recorded."""

    token: str
    url: str
    client_id: int | None
    invoice_ids: Sequence[int]
    charge_on: date
    expires_at: datetime

    async def record(self, tx: Tx, *, now: datetime) -> None:
        """Record it with the mark of the mail, so that no mail has an address without a right."""
        await record_objection_token(
            tx, self.token, self.invoice_ids, client_id=self.client_id, charge_on=self.charge_on,
            expires_at=self.expires_at, now=now,
        )  # fmt: skip


def objection_offer(row: Record, timezone: str, settings: Settings) -> ObjectionOffer | None:
    """An offer for a message, or None: for other kinds, and where an address cannot be made.

    A mail that does not name all its invoices has none: its reader would object to a part.
    """
    facts = row.facts or {}
    if row.kind != MailKind.COMING_CHARGE or not settings.public_url:
        return None
    ids = [one["id"] for one in facts["invoices"]]
    if facts.get("count", len(ids)) > len(ids):
        return None
    token, day = new_objection_token(), date.fromisoformat(facts["charge_on"])
    url = f"{settings.public_url.rstrip('/')}/object/{token}"
    ends_at = calendar.on_day(day + timedelta(days=1), None, timezone)
    return ObjectionOffer(token, url, row.client_id, ids, day, ends_at)

"""Settlement: books reports on PaymentIntents, and shares their money out among invoices.

Every way to pay at Stripe ends here, keyed by the PaymentIntent's id, so that a webhook and our own
charge cannot disagree, whichever comes first. Locks are taken in one order: invoices by id,
payments by intent, money going back by id. The caller holds the transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from app.ledger import allocations, balances, journal, outbox, payment_intents
from app.ledger.allocations import Allocations, Stored
from app.ledger.balances import InvoiceRow
from app.ledger.reversals import (
    LOCK_REVERSALS,
    record_reversals,
    total_back,
    with_refunded_invoices,
)
from app.rules.allocation import NO_CLAIMS, Claims, Key, Share, allocate
from app.rules.claim import Evidence, evidence_for_invoice
from app.rules.payment import (
    FOR_NONE,
    LONG_AGO,
    Payment,
    PaymentReport,
    Reversal,
    claim_ended,
    merge_report,
    payment_from_report,
)
from app.storage.bulk_writes import write_all
from app.storage.driver_errors import LostRace
from app.storage.engines import Tx

ZERO = Decimal(0)


async def record(
    tx: Tx, reports: Sequence[PaymentReport], *, now: datetime, who: str
) -> dict[str, str]:
    """Book a batch of reports on payments. The same batch may come again, in any order.

    Answers the refused ones, by intent, with the reason: their news is kept, and waits.
    """
    if not reports:
        return {}
    intents = sorted({one.intent_id for one in reports})
    known = await payment_intents.find(tx, intents)
    stored = await allocations.load(tx, list(known))
    named = _invoice_ids(known.values(), stored, reports)
    invoices = await balances.lock_invoices(tx, named)
    if known:  # another node may have written between the look and the lock; a new one it refuses
        known = await payment_intents.lock(tx, intents)
        stored = await allocations.load(tx, list(known))
        if not _invoice_ids(known.values(), stored, reports) <= named:
            raise LostRace
    after = _merge_reports(known, reports, await _reversals(tx, intents, reports, now))
    after |= await payment_intents.with_clients(tx, _first_words(known, after))
    planned = {one.intent_id: one.shares for one in reports if one.shares}
    batch = _Batch(known, after, stored, invoices, planned)
    refused = {
        one.intent_id: "no payment is known for this intent yet"
        for one in reports
        if one.intent_id not in after and one.evidence != Evidence.FOREIGN
    }
    refused |= batch.share_out()
    await batch.write(tx, now=now, who=who)
    await attach_unassigned(tx, batch.reopened, now=now, who=who)
    return refused


async def attach_unassigned(tx: Tx, invoice_ids: Sequence[int], *, now: datetime, who: str) -> None:
    """Apply the unapplied money of payments that claim these invoices to what the invoices owe.

    Payments may name an invoice before it exists, before it owes so much, before it has their
    currency or their client, or before money of another payment of it goes back.
    """
    if not invoice_ids:
        return
    found = await payment_intents.find_unapplied_claims(tx, invoice_ids)
    await _share_out_again(tx, found, set(invoice_ids), now=now, who=who)


async def follow_customers(tx: Tx, customers: Collection[str], *, now: datetime, who: str) -> None:
    """Give the payments of these Stripe customers to the clients who have them now.

    Payments may come before anybody has said whose customer it is. What they name of that client
    they pay, and the rest is the client's credit.
    """
    while found := await payment_intents.find_without_client(tx, customers):
        await _share_out_again(tx, found, set(), now=now, who=who)


async def _share_out_again(
    tx: Tx, intents: Sequence[str], invoice_ids: Set[int], *, now: datetime, who: str
) -> None:
    """Share out known payments that no report came of: an invoice or a client has changed."""
    if not intents:
        return
    stored = await allocations.load(tx, intents)
    claimed = _invoice_ids((await payment_intents.find(tx, intents)).values(), stored, ())
    named = claimed | invoice_ids
    invoices = await balances.lock_invoices(tx, named)
    known = await with_refunded_invoices(tx, await payment_intents.lock(tx, intents))
    stored = await allocations.load(tx, list(known))
    if not _invoice_ids(known.values(), stored, ()) <= named:
        raise LostRace
    planned = await payment_intents.load_planned(tx, intents)
    batch = _Batch(known, dict(known), stored, invoices, planned)
    batch.share_out()
    await batch.write(tx, now=now, who=who)


# --- one batch -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Batch:
    """Payments before and after their reports, and the invoices they may pay, all locked."""

    known: Mapping[str, Payment]
    after: dict[str, Payment]
    stored: Stored
    invoices: Mapping[int, InvoiceRow]
    # By intent, the parts of consolidated charges.
    planned: Mapping[str, Mapping[int, Decimal]] = field(default_factory=dict)
    shares: dict[str, dict[Key, Share]] = field(default_factory=dict)
    due: dict[int, Decimal] = field(default_factory=dict)
    lowered: set[int] = field(default_factory=set)

    def share_out(self) -> dict[str, str]:
        """Share each payment out; answer those whose claim cannot be met, with the reason."""
        self.due = {one: balances.amount_due(row) for one, row in self.invoices.items()}
        refused = {}
        # Money that goes back is booked first, so that what it reopens can be paid in this batch.
        for intent in sorted(self.after, key=self._order):
            why = self._share_out(intent)
            if why:
                refused[intent] = why
        return refused

    def _order(self, intent: str) -> tuple[bool, datetime, str]:
        known, after = self.known.get(intent), self.after[intent]
        goes_back = known is not None and known.back != after.back
        return not goes_back, after.state_at, intent

    def _share_out(self, intent: str) -> str | None:
        before = self.stored.of(intent)
        kept = self._right_shares(intent)
        payment = self.after[intent]
        if len(kept) < len(before):
            payment = payment._replace(claimed_invoice_id=None, evidence=None)
        payment, why = self._with_evidence(payment)
        found = allocate(
            total=payment.amount,
            state=payment.state,
            back=payment.back,
            shares=kept,
            claims=self._claims(payment, kept) if why is None else NO_CLAIMS,
            amount_due=self.due,
        )
        for key in before.keys() | found.keys():
            if key is not None:
                lost = _counted(before.get(key)) - _counted(found.get(key))
                self.due[key] += lost
                if lost > 0:
                    self.lowered.add(key)
        self.after[intent] = self._with_client(payment, found)
        self.shares[intent] = found
        return why

    def _right_shares(self, intent: str) -> Mapping[Key, Share]:
        """The shares, without those that Stripe's first word shows to be a person's mistake.

        A person named an invoice in another currency, or of another client than the one who paid.
        """
        shares, payment = self.stored.of(intent), self.after[intent]
        if not _is_first_word(self.known.get(intent), payment):
            return shares
        rows = {key: self.invoices[key] for key in shares if key is not None}
        wrong = {
            key
            for key, row in rows.items()
            if row.currency_iso != payment.currency or not may_be_of_client(payment, row)
        }
        return {key: share for key, share in shares.items() if key not in wrong}

    def _with_evidence(self, payment: Payment) -> tuple[Payment, str | None]:
        """The payment with the evidence for its claim, or the reason why it cannot be met."""
        claimed = payment.claimed_invoice_id
        if claimed in (None, FOR_NONE):
            return payment, None
        invoice = self.invoices.get(claimed or FOR_NONE)
        if invoice is None or invoice.is_recurring_invoice:
            return payment, f"invoice {claimed} does not exist"
        if invoice.currency_iso != payment.currency:
            return payment, other_currency(payment.currency, invoice)
        if payment.evidence is not None:
            return payment, None
        evidence = evidence_for_invoice(
            intent_customer=payment.customer_id,
            client_customer=invoice.client_customer_id,
            amount=payment.amount,
            amount_due=self.due[invoice.id],
        )
        return payment._replace(evidence=evidence) if evidence else payment, None

    def _with_client(self, payment: Payment, shares: Mapping[Key, Share]) -> Payment:
        """Unapplied money is the credit of the client whose invoice the payment is for."""
        if payment.client_id is not None:
            return payment
        clients = {self.invoices[key].client_id for key in shares if key is not None}
        claimed = self.invoices.get(payment.claimed_invoice_id or FOR_NONE)
        if claimed is not None and payment.evidence is not None:
            clients.add(claimed.client_id)
        return payment._replace(client_id=clients.pop()) if len(clients) == 1 else payment

    def _claims(self, payment: Payment, shares: Mapping[Key, Share]) -> Claims:
        """All parts of a consolidated charge, unless a person has given its money to another."""
        planned = self.planned.get(payment.intent_id, {})
        if payment.claimed_invoice_id not in planned:
            return _claims(payment, shares)
        payable = {one: amount for one, amount in planned.items() if self._is_payable(one, payment)}
        return Claims(payable, payment.evidence)

    def _is_payable(self, invoice_id: int, payment: Payment) -> bool:
        invoice = self.invoices.get(invoice_id)
        return (
            invoice is not None
            and not invoice.is_recurring_invoice
            and invoice.currency_iso == payment.currency
        )

    @property
    def reopened(self) -> list[int]:
        """Invoices that money went back of, and that owe something now."""
        return sorted(one for one in self.lowered if self.due[one] > 0)

    async def write(self, tx: Tx, *, now: datetime, who: str) -> None:
        self.after = await payment_intents.with_clients(tx, self.after)
        changed = {
            intent: shares
            for intent, shares in self.shares.items()
            if self.known.get(intent) != self.after[intent] or self.stored.of(intent) != shares
        }
        change = PaymentChange(self.known, self.after, self.stored, changed, self.invoices)
        await write_change(tx, change, now=now, who=who)


class PaymentChange(NamedTuple):
    """Payments before and after, their shares as stored and as they are, the invoices locked."""

    known: Mapping[str, Payment]
    after: Mapping[str, Payment]
    stored: Stored
    shares: Allocations
    invoices: Mapping[int, InvoiceRow]


async def write_change(tx: Tx, change: PaymentChange, *, now: datetime, who: str) -> None:
    """Write payments and their shares, and what follows: balances with their audit, the journal."""
    known, after, stored, shares, invoices = change
    client_of = {one: row.client_id for one, row in invoices.items()}
    writes = payment_intents.writes(known, after, now)
    writes += allocations.writes(after, stored, shares, client_of)
    writes += balances.writes(invoices, stored, shares, allocations.dates(after), now, who)
    writes += await journal.share_writes(tx, after, stored, shares, client_of, now, who)
    writes += outbox.receipt_writes(invoices, after, stored, shares, now)
    await write_all(tx, writes)


def _counted(share: Share | None) -> Decimal:
    return share.counted if share else ZERO


def _claims(payment: Payment, shares: Mapping[Key, Share]) -> Claims:
    """The invoice that a payment claims by evidence: for all that its other shares leave."""
    claimed = payment.claimed_invoice_id
    if claimed in (None, FOR_NONE) or payment.evidence is None:
        return NO_CLAIMS
    assert claimed is not None, "checked above"
    others = sum(
        (share.amount for key, share in shares.items() if key not in (None, claimed)), ZERO
    )
    return Claims({claimed: payment.amount - others}, payment.evidence)


def may_be_of_client(payment: Payment, invoice: InvoiceRow) -> bool:
    """Whether nothing says that another client than the invoice's paid; some share a customer."""
    if payment.client_id in (None, invoice.client_id):
        return True
    return payment.customer_id is not None and payment.customer_id == invoice.client_customer_id


def other_currency(currency: str, invoice: InvoiceRow) -> str:
    return f"the payment is in {currency}, invoice {invoice.id} in {invoice.currency_iso}"


# --- reports ---------------------------------------------------------------------------------


async def _reversals(
    tx: Tx, intents: Sequence[str], reports: Sequence[PaymentReport], now: datetime
) -> dict[str, list[Reversal]]:
    """The reversals of each intent, those of the reports included; most intents have none."""
    locked = await LOCK_REVERSALS.all(tx, intents=intents)
    if not locked and all(one.reversal is None for one in reports):
        return {}
    return await record_reversals(tx, locked, reports, now=now)


def _invoice_ids(
    known: Iterable[Payment], stored: Stored, reports: Iterable[PaymentReport]
) -> set[int]:
    reports = list(reports)
    claimed = {one.claimed_invoice_id for one in known} | {one.invoice_id for one in reports}
    planned = {invoice_id for one in reports for invoice_id in one.shares or ()}
    return stored.invoice_ids | planned | {one for one in claimed if one is not None}


def _first_words(known: Mapping[str, Payment], after: Mapping[str, Payment]) -> dict[str, Payment]:
    return {
        intent: payment
        for intent, payment in after.items()
        if _is_first_word(known.get(intent), payment)
    }


def _is_first_word(known: Payment | None, after: Payment) -> bool:
    """Whether Stripe speaks for the first time of an intent that only a person has named."""
    if known is None or known.evidence != Evidence.PERSON:
        return False
    return known.state_at == LONG_AGO != after.state_at


def _merge_reports(
    known: Mapping[str, Payment],
    reports: Iterable[PaymentReport],
    reversals: Mapping[str, Sequence[Reversal]],
) -> dict[str, Payment]:
    """Each intent's payment after all its reports. A reversal alone makes no payment.

    Nor does another installation's intent on the same Stripe account: its money is not ours,
    whatever a person says of it.
    """
    after = dict(known)
    for one in sorted(reports, key=lambda report: report.reversal is not None):
        before = after.get(one.intent_id)
        if before is not None and one.reversal is None:
            is_claim = before.evidence == Evidence.PERSON and one.evidence == Evidence.FOREIGN
            after[one.intent_id] = merge_report(before, claim_ended(one) if is_claim else one)
        elif before is not None:
            after[one.intent_id] = before
        elif one.reversal is None and one.evidence != Evidence.FOREIGN:
            after[one.intent_id] = payment_from_report(one)
    for intent, back in reversals.items():
        if intent in after:
            payment = after[intent]
            after[intent] = payment._replace(back=total_back(payment, back))
    return after

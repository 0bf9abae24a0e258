"""What people type in: only the books know of it, so an older copy does not."""

from decimal import Decimal

from app.errors import Refused
from app.ledger import assignment
from tests.simulation.world import InvoiceRow, World, now


async def enter_by_hand(
    w: World, row: InvoiceRow, amount: Decimal, note: int | None = None
) -> bool:
    """A payment that came in another way, or a credit note's; False where it is refused."""
    invoice = row.id
    if amount <= 0:
        return False
    entry = assignment.ManualPayment(invoice, amount, now(), credit_note_id=note)
    is_moving = row.payments_pending or await is_under_way(w, invoice)
    try:
        async with w.transaction() as tx:
            await assignment.enter_manual(tx, [entry], now=now(), who="simulation")
    except Refused:
        return False  # a debit is on its way
    assert not is_moving, f"money by hand for invoice {invoice} while another payment is under way"
    w.by_hand[invoice] = w.by_hand.get(invoice, Decimal(0)) + amount
    return True


async def assign_intent(w: World, intent: str, invoice: int) -> bool:
    """A person says what the money of an intent is for, that named nothing."""
    found = await w.look(
        "SELECT id FROM invoice_payment WHERE intent_id = :intent AND invoice_id IS NULL",
        intent=intent,
    )
    if not found:
        return False
    try:
        async with w.transaction() as tx:
            await assignment.assign(tx, found[0][0], invoice, now=now(), who="simulation")
    except Refused:  # another payment of the invoice is still processing
        return False
    w.told_of[intent] = invoice
    w.assigned.add(intent)
    return True


async def is_under_way(w: World, invoice: int) -> bool:
    """Whether a charge of the invoice has not ended."""
    return bool(await w.look(_UNDER_WAY_SQL, invoice=invoice))


_UNDER_WAY_SQL = """
    SELECT id FROM charge_attempt AS one
    WHERE state IN ('open', 'unknown', 'processing') AND (invoice_id = :invoice OR EXISTS (
        SELECT 1 FROM charge_attempt_share WHERE attempt_id = one.id AND invoice_id = :invoice))"""

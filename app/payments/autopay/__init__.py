"""One automatic charge's whole way, in reading order.

    run                the run: unresolved attempts first, then due invoices
    candidates         flagged invoices, each with its client and its newest attempt
    eligibility        the reason to skip an invoice, or none
    holds              payments known to us that an invoice waits for
    attempt_claim      the invoices under their locks, looked at again, and a new attempt
    method_choice      the client's own payment method, or the default at Stripe
    charge             one charge in steps: prepare, close other ways, look again, confirm, book
    charge_endings     booked, declined, refused, withdrawn, or left open
    attempts           charge attempts in the database, changed by the holder of their lease
    attempt_reports    attempts follow what Stripe reports, by whatever way a report comes
    attempt_history    attempts without an answer, declines and tries of a payment method
    leases             who goes on with an attempt, and who may act on a customer
    other_ways         every other payable way, closed before money moves
    unnamed_pages      pages of the customer that name no invoice, waited for
    ending             an attempt that nobody can go on with, ended by hand
    report             outcomes, and the report of a run
    dry_run            the outcomes that a run would have now

`charge` books through `ledger/settlement.py`, as webhooks do.
May import payments/stripe, ledger, storage and rules; never payments/webhook.
"""

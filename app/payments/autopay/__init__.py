"""One automatic charge's whole way, in reading order.

    run                the run: unresolved attempts first, then due invoices
    eligibility        which invoices are charged, and the reason to skip any other
    holds              payments known to us that an invoice waits for
    attempt_claim      the invoices under their locks, looked at again, and a new attempt
    method_choice      the client's own payment method, or the default at Stripe
    charge             one charge in steps: prepare, close other ways, look again, confirm, book
    charge_endings     booked, declined, refused, withdrawn, or left open
    attempts           charge attempts and leases in the database
    other_ways         every other payable way, closed before money moves
    unnamed_pages      pages of the customer that name no invoice, waited for
    ending             an attempt that nobody can go on with, ended by hand
    report             outcomes, and the report of a run
    dry_run            the outcomes that a run would have now

`charge` books through `ledger/settlement.py`, as webhooks do.
May import payments/stripe, ledger, storage and rules; never payments/webhook.
"""

"""One webhook's whole way, in reading order.

    endpoint        the request: size, signature, mode; the answer after the commit
    foreign_events  verified events that are not for us: counted, not stored
    event_types     the table of event types, each with a reason and a reader
    inbox           group commit: events are stored and applied once, in one transaction
    dead_letters    parked events, retried with backoff until they apply or a person must look

`inbox` hands reports to `ledger/settlement.py`, which hands balances to `ledger/balances.py`.
May import payments/stripe, payments/autopay/attempt_reports, ledger, storage and rules.
"""

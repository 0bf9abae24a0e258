"""The parts of a reconciliation, in reading order; `app/payments/reconcile.py` runs them.

    cursor          until when Stripe's events are known here, and when a pass was last complete
    reconcile_pass  one pass: from when it asks, what it has found, what it could not read
    event_pass      the events since the cursor, through the same inbox as webhooks
    object_pass     recent intents, refunds and disputes, and every intent that has not ended
    lost_attempts   attempts that Stripe knows and a restored database does not, written again
    orphans         intents that a lost create of ours made, and nobody goes on with

What Stripe shows and we cannot read is reported and passed over; it never stops its neighbours.
"""

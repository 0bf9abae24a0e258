"""Payments: money through Stripe, in and out.

`webhook` is one event's way in, `autopay` one charge's way out, `stripe` all that speaks to Stripe;
`reconcile` finds what events did not report; `lookup`, `event_queries` and `status` answer support.
May import ledger, storage and rules; never halo. Begin with `webhook/endpoint.py`.
"""

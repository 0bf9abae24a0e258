"""A stand-in for Stripe over real HTTP, for tests and `paydue demo`: no money moves.

It keeps Stripe's promises (states, idempotency keys, signatures, retries), breaks them on request,
and keeps a ledger of the charges that truly succeeded, whatever an answer or an event said.

It imports nothing of `app` outside this package, and only `app.cli` and the tests import it.
Begin with `server.Sandbox`, which is what a test holds. A request goes down through `transport`
into `stripe_api`, which changes `account`; `webhook_delivery` sends the events to the endpoints.
`customer_acts`, `bank_acts` and `stranger_acts` are the deeds of others, which no request asks for.
"""

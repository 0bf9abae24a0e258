"""All that speaks to Stripe.

`gateway` is the only module that imports Stripe's SDK, `rate_limiter` spaces the calls of all
nodes, `stripe_objects` reads Stripe's objects into reports. May import storage and rules. Begin
with `gateway`.
"""

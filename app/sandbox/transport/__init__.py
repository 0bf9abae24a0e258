"""The HTTP side of Stripe's API: from the bytes of a request to the bytes of its answer.

It imports `stripe_api` and `account`. Begin with `request_pipeline`, which names the steps of a
request in their order; `stripe_routes` lists every URL.
"""

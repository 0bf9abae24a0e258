"""Stripe's API as functions of the account and the request's parameters, a module a resource.

It imports `account` and nothing of HTTP. Begin with `payment_intents_api`, then `confirmation`:
only there does a charge succeed.
"""

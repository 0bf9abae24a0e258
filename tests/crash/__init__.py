"""The process dies at every commit and at every call to Stripe; nothing is lost or taken twice."""

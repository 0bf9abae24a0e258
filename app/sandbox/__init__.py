"""A Stripe over real HTTP that keeps Stripe's promises, breaks them on request, and judges."""

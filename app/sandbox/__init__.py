"""A Stripe stand-in over real HTTP that keeps Stripe's promises, breaks them on request, and judges
what was charged."""

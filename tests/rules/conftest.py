"""Hypothesis tries the same cases everywhere; a slow machine is no failure."""

from hypothesis import settings

settings.register_profile("rules", derandomize=True, deadline=None, max_examples=300)
settings.load_profile("rules")

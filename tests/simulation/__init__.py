"""Seeded schedules: what may happen in any order happens in any order, and the money adds up."""

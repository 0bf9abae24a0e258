"""Faults of the place: database away, hung or full, processes stopped and crowded together."""

"""Planted bugs: one-line breakages of the money path, which the simulation has to find."""

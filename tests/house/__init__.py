"""The promises of the house itself: who imports whom, typed rows, and names."""

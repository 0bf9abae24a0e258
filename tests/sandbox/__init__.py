"""The sandbox is the judge of the rest, so its promises are tested with the real SDK."""

"""A dry run does all its work in a transaction, and ends it without a change."""


class DryRunEnded(Exception):
    """Raised as the last thing of a transaction, so that nothing of it is kept."""

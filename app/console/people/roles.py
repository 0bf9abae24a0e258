"""Roles of the console's users, each of which includes those before it."""

from enum import StrEnum

from app.console.language import N_


class Role(StrEnum):
    """The rank of a user: what the lower ones may do, the higher ones may too."""

    VIEWER = "viewer"
    SUPPORT = "support"
    FINANCE = "finance"
    ADMIN = "admin"

    def includes(self, other: str) -> bool:
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(Role(other))


DUTIES = {
    Role.VIEWER: N_("reads everything, with personal data masked"),
    Role.SUPPORT: N_("reads everything, and acts where no money moves: notes, holds, replays"),
    Role.FINANCE: N_("moves money: charges, refunds, credits, assignments"),
    Role.ADMIN: N_("manages users, and does what the others may"),
}

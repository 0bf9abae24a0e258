"""Whether the database keeps what it has committed: PostgreSQL's settings, SQLite's pages."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import text

from app.storage.engines import Tx


class DurabilityRisk(NamedTuple):
    """A way to lose what was acknowledged, its cure, and whether a crash of one host is enough."""

    said: str
    mend: str
    is_bad: bool


# Settings of the session that writes, as a role or the URL may have changed them.
SETTINGS = ("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names")
_STANDBYS = "SELECT count(*) FROM pg_stat_replication"


async def list_risks(tx: Tx) -> list[DurabilityRisk]:
    """The risks of the database that a transaction is open on; an empty list for none."""
    if tx.dialect.name == "sqlite":
        return await _damaged_pages(tx)
    found = {name: str(await tx.scalar(text(f"SHOW {name}"))) for name in SETTINGS}
    return durability_risks(found, standbys=int(await tx.scalar(text(_STANDBYS)) or 0))


def durability_risks(found: Mapping[str, str], *, standbys: int) -> list[DurabilityRisk]:
    """The risks of these settings of PostgreSQL, with so many standbys connected."""
    risks = []
    for name in ("fsync", "full_page_writes"):
        if found[name] == "off":
            said = f"{name} is off: a power cut damages the database"
            risks.append(DurabilityRisk(said, f"set {name} = on", is_bad=True))
    commit, names = found["synchronous_commit"], found["synchronous_standby_names"]
    if commit == "off":
        said = "synchronous_commit is off: a crash loses events that Stripe was told are stored"
        risks.append(DurabilityRisk(said, "set synchronous_commit = on", is_bad=True))
    elif standbys and not names:
        said = "the standby is asynchronous: a failover loses the newest acknowledged events"
        mend = "name it in synchronous_standby_names"
        risks.append(DurabilityRisk(said, mend, is_bad=False))
    elif names and commit == "local":
        said = "synchronous_commit is local: a failover loses the newest acknowledged events"
        risks.append(DurabilityRisk(said, "set it to on or remote_apply", is_bad=False))
    elif names and commit == "remote_write":
        said = "synchronous_commit is remote_write: both hosts losing power loses events"
        risks.append(DurabilityRisk(said, "set it to on or remote_apply", is_bad=False))
    return risks


async def _damaged_pages(tx: Tx) -> list[DurabilityRisk]:
    said = str(await tx.scalar(text("PRAGMA quick_check(1)")))
    if said == "ok":
        return []
    mend = "stop everything, then restore the newest backup: paydue db restore"
    return [DurabilityRisk(f"the database is damaged: {said}", mend, is_bad=True)]

"""The ids that a table gives next: read, and moved beyond those that are taken elsewhere."""

from sqlalchemy import Table, text

from app.storage.engines import Tx


async def last_id(tx: Tx, table: Table) -> int:
    """The largest id that the table has given away, also when its row is gone; 0 for none."""
    if tx.dialect.name == "sqlite":
        statement = "SELECT seq FROM sqlite_sequence WHERE name = :name"
    else:
        statement = "SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)"
    return await tx.scalar(text(statement), {"name": table.name}) or 0


async def skip_ids(tx: Tx, table: Table, until: int) -> None:
    """Let the next row's id be larger than `until`."""
    if await last_id(tx, table) >= until:
        return
    values = {"name": table.name, "until": until}
    if tx.dialect.name != "sqlite":
        reset = "SELECT setval(pg_get_serial_sequence(:name, 'id'), :until)"
        await tx.execute(text(reset), values)
        return
    moved = await tx.execute(
        text("UPDATE sqlite_sequence SET seq = :until WHERE name = :name"), values
    )
    if not moved.rowcount:
        insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :until)"
        await tx.execute(text(insert), values)

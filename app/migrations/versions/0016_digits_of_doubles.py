"""Quantities, prices and rates keep 15 significant digits, as HaloPSA's doubles do.

They were whole millionths. Going back, they are rounded to them.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMNS = {
    "invoice": ["currency_conversion_rate"],
    "invoice_line": ["qty_order", "unit_price", "unit_cost", "discount_perc", "tax_rate"],
    "invoice_prorata": ["quantity", "unitprice", "unitcost"],
    "currency": ["conversion_rate"],
    "tax": ["value"],
    "budget_type": ["defaultrate"],
    "charge_rate": [
        "rate", "rateoverride", "mileage_rate", "minimum", "increment", "oohmultiplier",
        "holidaymultiplier", "weekendmultiplier", "contractmultiplier",
    ],
}  # fmt: skip
# SQLite computes with binary fractions, so the digits are written one by one.
_TO_TEXT = (
    "CASE WHEN {0} < 0 THEN '-' ELSE '' END || (abs({0}) / 1000000) "
    "|| '.' || substr('000000' || (abs({0}) % 1000000), -6)"
)
_TO_MILLIONTHS = "CAST(round(CAST({0} AS REAL) * 1000000) AS INTEGER)"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _redeclare("BIGINT", "TEXT")
        _rewrite(_TO_TEXT)
    else:
        _retype("NUMERIC", "{0}::numeric / 1000000")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _redeclare("TEXT", "BIGINT")
        _rewrite(_TO_MILLIONTHS)
    else:
        _retype("BIGINT", "round({0} * 1000000)::bigint")


def _retype(kind: str, using: str) -> None:
    for table, columns in _COLUMNS.items():
        changes = [
            f"ALTER COLUMN {name} TYPE {kind} USING {using.format(name)}" for name in columns
        ]
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")


def _redeclare(old: str, new: str) -> None:
    """SQLite has no ALTER for a column's type: the declaration is changed in its schema.

    That is SQLite's own procedure for changes that touch no row (lang_altertable.html, "Making
    Other Kinds Of Table Schema Changes"). Columns of a table that others refer to cannot be made
    anew without their references, and by ADD, DROP and RENAME an upgrade takes twice as long.
    """
    bind = op.get_bind()
    op.execute("PRAGMA writable_schema = ON")
    for table, columns in _COLUMNS.items():
        read = sa.text("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = :name")
        declared: str = bind.execute(read, {"name": table}).scalar_one()
        for name in columns:
            declared, count = re.subn(rf"\b{name} {old}\b", f"{name} {new}", declared)
            assert count == 1, f"{table}.{name} is declared once, as {old}"
        write = sa.text("UPDATE sqlite_schema SET sql = :sql WHERE type = 'table' AND name = :name")
        bind.execute(write, {"sql": declared, "name": table})
    version = bind.exec_driver_sql("PRAGMA schema_version").scalar_one()
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")


def _rewrite(value: str) -> None:
    for table, columns in _COLUMNS.items():
        pairs = ", ".join(f"{name} = {value.format(name)}" for name in columns)
        op.execute(f"UPDATE {table} SET {pairs}")  # noqa: S608  names of ours

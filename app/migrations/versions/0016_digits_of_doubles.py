"""Quantities, prices and rates keep 15 significant digits, as HaloPSA's doubles do.

They were whole millionths. Going back, they are rounded to them.
"""

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
        _replace("TEXT", _TO_TEXT)
    else:
        _retype("NUMERIC", "{0}::numeric / 1000000")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _replace("BIGINT", _TO_MILLIONTHS)
    else:
        _retype("BIGINT", "round({0} * 1000000)::bigint")


def _retype(kind: str, using: str) -> None:
    for table, columns in _COLUMNS.items():
        changes = [
            f"ALTER COLUMN {name} TYPE {kind} USING {using.format(name)}" for name in columns
        ]
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")


def _replace(kind: str, value: str) -> None:
    """SQLite has no ALTER for a column's type: a new column takes the place of each.

    A table that others refer to cannot be made anew without their references, and to write into
    SQLite's own schema is forbidden where it is built defensively, as macOS has it.
    """
    for table, columns in _COLUMNS.items():
        nullable = _nullable(table)
        for name in columns:
            rule = "" if nullable[name] else " NOT NULL DEFAULT 0"
            op.execute(f"ALTER TABLE {table} ADD COLUMN new_{name} {kind}{rule}")
        pairs = ", ".join(f"new_{name} = {value.format(name)}" for name in columns)
        op.execute(f"UPDATE {table} SET {pairs}")  # noqa: S608  names of ours
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
            op.execute(f"ALTER TABLE {table} RENAME COLUMN new_{name} TO {name}")


def _nullable(table: str) -> dict[str, bool]:
    found = op.get_bind().exec_driver_sql(f"PRAGMA table_info({table})")
    return {row.name: not row.notnull for row in found}

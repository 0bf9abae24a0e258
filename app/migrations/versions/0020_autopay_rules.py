"""Autopay's rules, limits, pauses, approvals and runs; an attempt names its rule and approval."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
# Of an attempt; those that are there were charged by no rule.
ATTEMPT_COLUMNS = (
    ("rule_name", sa.Text()),
    ("approval_id", BIG_ID),
    ("method_rule", sa.Text()),
    ("is_rule_method", sa.Boolean()),
)
SHARE_COLUMNS = ATTEMPT_COLUMNS[:2]


def upgrade() -> None:
    rules()
    limits_and_pauses()
    approvals()
    runs()
    for name, kind in ATTEMPT_COLUMNS:
        op.add_column("charge_attempt", sa.Column(name, kind, nullable=True))
    for name, kind in SHARE_COLUMNS:
        op.add_column("charge_attempt_share", sa.Column(name, kind, nullable=True))
    # The money of a day, of all clients or of one.
    op.create_index(
        "ix_charge_attempt_business_day",
        "charge_attempt",
        ["business_day", "currency", "client_id"],
    )
    op.create_index(
        "ix_invoice_unflagged_due",
        "invoice",
        ["duedate", "id"],
        sqlite_where=sa.text(
            "take_auto_payment = 0 AND include_in_autopay = 0 AND paymentstatus <> 2"
        ),
        postgresql_where=sa.text(
            "NOT take_auto_payment AND NOT include_in_autopay AND paymentstatus <> 2"
        ),
    )


def rules() -> None:
    op.create_table(
        "autopay_rule",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("inactive", sa.Boolean(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("unflagged", sa.Boolean(), nullable=False),
        *(
            sa.Column(name, BIG_ID)
            for name in (
                "client_id",
                "toplevel_id",
                "contract_id",
                "recurring_invoice_id",
                "sitenumber",
            )
        ),
        sa.Column("billingcategory", sa.Integer()),
        *(
            sa.Column(name, sa.Text())
            for name in ("currency", "order_number", "item_code", "property_name", "property_value")
        ),
        sa.Column("age_from", sa.Integer()),
        sa.Column("age_to", sa.Integer()),
        sa.Column("amount_from", sa.BigInteger()),
        sa.Column("amount_to", sa.BigInteger()),
        sa.Column("day_from", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("day_of_month", sa.Integer()),
        sa.Column("weekdays", sa.Text()),
        sa.Column("move_days", sa.Text()),
        sa.Column("holidays", sa.Text()),
        sa.Column("charge_method", sa.Text(), nullable=False),
        sa.Column("payment_method_id", sa.Text()),
        sa.Column("card_max", sa.BigInteger()),
        sa.Column("consolidate", sa.Boolean()),
        sa.Column("date_created", INSTANT),
        sa.Column("last_modified", INSTANT),
        sa.Column("extra", sa.Text()),
    )


def limits_and_pauses() -> None:
    op.create_table(
        "autopay_limit",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column(
            "client_id", BIG_ID, sa.ForeignKey("client.id", name="fk_autopay_limit_client_id")
        ),
        sa.Column("date_created", INSTANT),
        sa.Column("last_modified", INSTANT),
    )
    op.create_index("ix_autopay_limit_client_id", "autopay_limit", ["client_id"])
    op.create_table(
        "autopay_pause",
        sa.Column("id", BIG_ID, primary_key=True),
        owner("client", "autopay_pause"),
        owner("invoice", "autopay_pause"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.Date()),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("paused_at", INSTANT, nullable=False),
        sa.Column("ended_by", sa.Text()),
        sa.Column("ended_at", INSTANT),
    )
    for name in ("client_id", "invoice_id"):
        partial_index(f"ix_autopay_pause_{name}", "autopay_pause", [name], "ended_at IS NULL")


def approvals() -> None:
    op.create_table(
        "autopay_approval",
        sa.Column("id", BIG_ID, primary_key=True),
        owner("invoice", "autopay_approval", nullable=False),
        sa.Column("client_id", BIG_ID),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rule_name", sa.Text()),
        sa.Column("held_at", INSTANT, nullable=False),
        sa.Column("decided_by", sa.Text()),
        sa.Column("decided_at", INSTANT),
        sa.Column("decision_reason", sa.Text()),
    )
    partial_index(
        "uq_autopay_approval_current",
        "autopay_approval",
        ["invoice_id"],
        "state <> 'lapsed'",
        unique=True,
    )
    op.create_index("ix_autopay_approval_state", "autopay_approval", ["state", "id"])
    op.create_index("ix_autopay_approval_invoice_id", "autopay_approval", ["invoice_id", "id"])


def runs() -> None:
    op.create_table(
        "autopay_run",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("business_day", sa.Date(), nullable=False),
        sa.Column("is_dry", sa.Boolean(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("rules_revision", sa.Integer()),
        sa.Column("counts", sa.Text()),
        sa.Column("sums", sa.Text()),
    )
    op.create_index("ix_autopay_run_business_day", "autopay_run", ["business_day", "id"])
    op.create_table(
        "autopay_run_page",
        sa.Column(
            "run_id",
            BIG_ID,
            sa.ForeignKey("autopay_run.id", name="fk_autopay_run_page_run_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("outcomes", sa.Text(), nullable=False),
    )


def owner(table: str, of: str, *, nullable: bool = True) -> sa.Column[int]:
    """A column that goes with the row it names."""
    name = f"{table}_id"
    key = sa.ForeignKey(f"{table}.id", name=f"fk_{of}_{name}", ondelete="CASCADE")
    return sa.Column(name, BIG_ID, key, nullable=nullable)


def partial_index(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    there = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=there, postgresql_where=there)


def downgrade() -> None:
    op.drop_index("ix_invoice_unflagged_due", "invoice")
    op.drop_index("ix_charge_attempt_business_day", "charge_attempt")
    for name, _ in reversed(SHARE_COLUMNS):
        op.drop_column("charge_attempt_share", name)
    for name, _ in reversed(ATTEMPT_COLUMNS):
        op.drop_column("charge_attempt", name)
    for table in (
        "autopay_run_page", "autopay_run", "autopay_approval", "autopay_pause", "autopay_limit",
        "autopay_rule",
    ):  # fmt: skip
        op.drop_table(table)
    op.execute("DELETE FROM fact WHERE name = 'autopay_revision'")

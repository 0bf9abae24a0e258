"""A PaymentIntent and what it pays are two things: stripe_payment, and the shares of its money.

Until now a row of invoice_payment was both. Each one with an intent gives a row of stripe_payment;
it stays itself as the intent's only share.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
IS_UNAPPLIED = sa.text("invoice_id IS NULL")
HAS_CLAIM = sa.text("claimed_invoice_id IS NOT NULL")
HAS_CHECK = sa.text("check_at IS NOT NULL")

# Columns that move to stripe_payment; the others stay, or are in both.
MOVED = (
    sa.Column("intent_date", INSTANT),
    sa.Column("intent_response", sa.Text()),
    sa.Column("webhook_event_id", sa.Text()),
    sa.Column("webhook_received_date", INSTANT),
    sa.Column("state_at", INSTANT),
    sa.Column("reason", sa.Text()),
    sa.Column("charge_id", sa.Text()),
    sa.Column("stripe_customer_id", sa.Text()),
    sa.Column("claimed_invoice_id", BIG_ID),
    sa.Column("check_at", INSTANT),
    sa.Column("attempt", sa.Integer()),
)
MOVED_NAMES = tuple(one.name for one in MOVED)
COPIED_NAMES = (
    "intent_id",
    "state",
    "amount",
    "currency_iso",
    "amount_refunded",
    "amount_lost",
    "disputed",
    "client_id",
    "payment_method_name",
)


def upgrade() -> None:
    op.create_table(
        "stripe_payment",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("state_at", INSTANT, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_capturable", sa.BigInteger(), nullable=False),
        sa.Column("currency_iso", sa.Text(), nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), nullable=False),
        sa.Column("amount_lost", sa.BigInteger(), nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
        sa.Column("client_id", BIG_ID),
        sa.Column("stripe_customer_id", sa.Text()),
        sa.Column("payment_method_name", sa.Text()),
        sa.Column("charge_id", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("awaits", sa.Text()),
        sa.Column("claimed_invoice_id", BIG_ID),
        sa.Column("evidence", sa.Text()),
        sa.Column("attempt", sa.Integer()),
        sa.Column("intent_date", INSTANT),
        sa.Column("intent_response", sa.Text()),
        sa.Column("webhook_event_id", sa.Text()),
        sa.Column("webhook_received_date", INSTANT),
        sa.Column("check_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_payment")),
    )
    op.add_column("invoice_payment", sa.Column("evidence", sa.Text()))
    copy_intents()
    for name in (
        "uq_invoice_payment_intent_id",
        "ix_invoice_payment_charge_id",
        "ix_invoice_payment_claimed",
        "ix_invoice_payment_check",
    ):
        op.drop_index(name, "invoice_payment")
    with op.batch_alter_table("invoice_payment") as batch:
        for name in MOVED_NAMES:
            batch.drop_column(name)
        batch.create_check_constraint(
            "ck_invoice_payment_counted", "counted >= 0 AND counted <= amount"
        )
    create_indexes()


def copy_intents() -> None:
    """An invoice that a payment was booked to stays its own: evidence that was believed then."""
    moved = ", ".join((*COPIED_NAMES, *MOVED_NAMES))
    op.execute(
        f"INSERT INTO stripe_payment ({moved}, amount_capturable, evidence) "  # noqa: S608  names of this file
        f"SELECT {moved}, 0, "
        "CASE WHEN invoice_id IS NOT NULL OR claimed_invoice_id = 0 THEN "
        " CASE WHEN attempt IS NOT NULL THEN 'attempt' ELSE 'person' END END "
        "FROM invoice_payment WHERE intent_id IS NOT NULL ORDER BY id"
    )
    op.execute(
        "UPDATE invoice_payment SET evidence = CASE WHEN attempt IS NOT NULL THEN 'attempt' "
        "ELSE 'person' END WHERE invoice_id IS NOT NULL"
    )


def create_indexes() -> None:
    op.create_index("uq_stripe_payment_intent_id", "stripe_payment", ["intent_id"], unique=True)
    op.create_index("ix_stripe_payment_charge_id", "stripe_payment", ["charge_id"])
    op.create_index("ix_stripe_payment_customer", "stripe_payment", ["stripe_customer_id", "id"])
    op.create_index(
        "ix_stripe_payment_claimed",
        "stripe_payment",
        ["claimed_invoice_id"],
        sqlite_where=HAS_CLAIM,
        postgresql_where=HAS_CLAIM,
    )
    op.create_index(
        "ix_stripe_payment_check",
        "stripe_payment",
        ["check_at"],
        sqlite_where=HAS_CHECK,
        postgresql_where=HAS_CHECK,
    )
    op.create_index(
        "uq_invoice_payment_intent_invoice",
        "invoice_payment",
        ["intent_id", "invoice_id"],
        unique=True,
    )
    op.create_index(
        "uq_invoice_payment_unapplied",
        "invoice_payment",
        ["intent_id"],
        unique=True,
        sqlite_where=IS_UNAPPLIED,
        postgresql_where=IS_UNAPPLIED,
    )
    op.create_index(
        "ix_invoice_payment_credit",
        "invoice_payment",
        ["client_id"],
        sqlite_where=IS_UNAPPLIED,
        postgresql_where=IS_UNAPPLIED,
    )


def downgrade() -> None:
    """The largest share of an intent becomes its one row; amounts are the whole intent's again."""
    for name in (
        "uq_invoice_payment_intent_invoice",
        "uq_invoice_payment_unapplied",
        "ix_invoice_payment_credit",
    ):
        op.drop_index(name, "invoice_payment")
    with op.batch_alter_table("invoice_payment") as batch:
        batch.drop_constraint("ck_invoice_payment_counted", type_="check")
        for one in MOVED:
            batch.add_column(sa.Column(one.name, one.type))
    op.execute(
        "DELETE FROM invoice_payment WHERE intent_id IS NOT NULL AND EXISTS ("
        " SELECT 1 FROM invoice_payment AS other WHERE other.intent_id = invoice_payment.intent_id"
        " AND (other.invoice_id IS NOT NULL, other.amount, other.id) >"
        " (invoice_payment.invoice_id IS NOT NULL, invoice_payment.amount, invoice_payment.id))"
    )
    restored = ", ".join(f"{name} = stripe_payment.{name}" for name in (*MOVED_NAMES, *AMOUNTS))
    op.execute(
        f"UPDATE invoice_payment SET {restored}, "  # noqa: S608  names of this file
        "counted = CASE WHEN stripe_payment.state = 5 THEN stripe_payment.amount"
        " - stripe_payment.amount_refunded - stripe_payment.amount_lost ELSE 0 END "
        "FROM stripe_payment WHERE stripe_payment.intent_id = invoice_payment.intent_id"
    )
    op.execute("UPDATE invoice_payment SET state_at = date WHERE state_at IS NULL")
    with op.batch_alter_table("invoice_payment") as batch:
        batch.drop_column("evidence")
        batch.alter_column("state_at", existing_type=INSTANT, nullable=False)
    op.create_index("uq_invoice_payment_intent_id", "invoice_payment", ["intent_id"], unique=True)
    op.create_index("ix_invoice_payment_charge_id", "invoice_payment", ["charge_id"])
    unattached = sa.text("invoice_id IS NULL AND claimed_invoice_id IS NOT NULL")
    op.create_index(
        "ix_invoice_payment_claimed",
        "invoice_payment",
        ["claimed_invoice_id"],
        sqlite_where=unattached,
        postgresql_where=unattached,
    )
    op.create_index(
        "ix_invoice_payment_check",
        "invoice_payment",
        ["check_at"],
        sqlite_where=HAS_CHECK,
        postgresql_where=HAS_CHECK,
    )
    op.drop_table("stripe_payment")


AMOUNTS = ("amount", "amount_refunded", "amount_lost", "disputed")

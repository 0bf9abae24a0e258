"""Messages to be sent, in the transaction of what they tell, and promises to pay."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
expands_only = True

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
IS_DUE = sa.text("state IN ('queued', 'sending')")


def upgrade() -> None:
    op.create_table(
        "outbox_message",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("client_id", BIG_ID),
        sa.Column("invoice_id", BIG_ID),
        sa.Column("facts", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("next_try_at", INSTANT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Text()),
        sa.Column("lease_until", INSTANT),
        sa.Column("message_id", sa.Text()),
        sa.Column("recipient", sa.Text()),
        sa.Column("subject", sa.Text()),
        sa.Column("text_body", sa.Text()),
        sa.Column("html_body", sa.Text()),
        sa.Column("sent_at", INSTANT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_message")),
    )
    op.create_index("uq_outbox_message_key", "outbox_message", ["key"], unique=True)
    op.create_index(
        "ix_outbox_message_due",
        "outbox_message",
        ["next_try_at"],
        sqlite_where=IS_DUE,
        postgresql_where=IS_DUE,
    )
    op.create_index("ix_outbox_message_state", "outbox_message", ["state", "id"])
    op.create_index("ix_outbox_message_client_id", "outbox_message", ["client_id", "kind", "id"])
    op.create_index("ix_outbox_message_invoice_id", "outbox_message", ["invoice_id", "id"])
    op.create_table(
        "payment_promise",
        sa.Column(
            "invoice_id",
            BIG_ID,
            sa.ForeignKey(
                "invoice.id", name=op.f("fk_payment_promise_invoice_id"), ondelete="CASCADE"
            ),
            nullable=False,
        ),
        sa.Column("promised_on", sa.Date(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_payment_promise")),
    )
    op.add_column("client", sa.Column("mail_off", sa.Text()))


def downgrade() -> None:
    op.drop_column("client", "mail_off")
    op.drop_table("payment_promise")
    op.drop_table("outbox_message")

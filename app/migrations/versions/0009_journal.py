"""A journal in double entry, opened with today's invoices, payments and balance transactions."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
EXACT = sa.BigInteger()
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

# An invoice of type 0 is owed, one of type 1 or below zero is a credit note; state 5 is succeeded.
# Templates have ids below zero. A debit is positive.
OPENING = """
    WITH living AS (
        SELECT id, client_id, currency_iso,
            CASE WHEN invoicetype = 0 AND total > 0 THEN total ELSE 0 END AS owed,
            CASE WHEN invoicetype = 1 OR total < 0 THEN abs(total) ELSE 0 END AS credit
        FROM invoice WHERE id > 0 AND NOT is_recurring_invoice AND NOT voided
    ), share AS (
        SELECT payment.*, invoice.client_id AS debtor_id
        FROM invoice_payment AS payment LEFT JOIN invoice ON invoice.id = payment.invoice_id
        WHERE payment.state = 5
    ), movement AS (
        SELECT currency_iso, amount, fee, net, CASE
            WHEN type IN ('payout', 'payout_cancel', 'payout_failure', 'topup', 'topup_reversal')
                THEN 'bank'
            WHEN type IN ('stripe_fee', 'stripe_fx_fee', 'tax_fee', 'network_cost') THEN 'fees'
            WHEN substr(source_id, 1, 3) IN ('du_', 'dp_') THEN 'disputes'
            ELSE 'stripe_clearing' END AS other
        FROM balance_transaction
    ), posting (currency_iso, account, client_id, invoice_id, amount) AS (
        SELECT currency_iso, 'receivable', client_id, id, owed FROM living
        UNION ALL SELECT currency_iso, 'credit_notes', NULL, id, -credit FROM living
        UNION ALL SELECT currency_iso, 'income', NULL, NULL, credit - owed FROM living
        UNION ALL SELECT currency_iso, CASE
                WHEN invoice_id IS NOT NULL THEN 'receivable'
                WHEN client_id IS NOT NULL THEN 'client_credit'
                ELSE 'unassigned' END,
            CASE WHEN invoice_id IS NOT NULL THEN debtor_id ELSE client_id END,
            invoice_id, -counted FROM share
        UNION ALL SELECT currency_iso, 'stripe_clearing', NULL, NULL, counted + amount_lost
            FROM share WHERE intent_id IS NOT NULL
        UNION ALL SELECT currency_iso, 'disputes', NULL, NULL, -amount_lost
            FROM share WHERE intent_id IS NOT NULL
        UNION ALL SELECT currency_iso,
            CASE WHEN credit_note_id IS NULL THEN 'cash' ELSE 'credit_notes' END,
            NULL, credit_note_id, counted FROM share WHERE intent_id IS NULL
        UNION ALL SELECT currency_iso, 'stripe_balance', NULL, NULL, net FROM movement
        UNION ALL SELECT currency_iso, 'fees', NULL, NULL, fee FROM movement
        UNION ALL SELECT currency_iso, other, NULL, NULL, -amount FROM movement
    ), opening AS (
        SELECT currency_iso, account, client_id, invoice_id,
            CAST(sum(amount) AS BIGINT) AS amount
        FROM posting GROUP BY currency_iso, account, client_id, invoice_id
        HAVING sum(amount) <> 0
    )"""
ENTRIES = f"""
    INSERT INTO journal_entry (at, kind, currency_iso, source, who)
    {OPENING}
    SELECT DISTINCT :at, 'opening', currency_iso, 'opening', 'migration' FROM opening
    """  # noqa: S608  texts of this file
LINES = f"""
    INSERT INTO journal_line (entry_id, number, account, client_id, invoice_id, amount)
    {OPENING}
    SELECT journal_entry.id,
        row_number() OVER (
            PARTITION BY journal_entry.id
            ORDER BY opening.account, opening.client_id, opening.invoice_id
        ),
        opening.account, opening.client_id, opening.invoice_id, opening.amount
    FROM opening JOIN journal_entry ON journal_entry.currency_iso = opening.currency_iso
    """  # noqa: S608  texts of this file


def upgrade() -> None:
    op.create_table(
        "journal_entry",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency_iso", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_entry")),
    )
    op.create_index("ix_journal_entry_at", "journal_entry", ["at", "id"])
    op.create_table(
        "journal_line",
        sa.Column("entry_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("client_id", BIG_ID, nullable=True),
        sa.Column("invoice_id", BIG_ID, nullable=True),
        sa.Column("amount", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "number", name=op.f("pk_journal_line")),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    connection.execute(sa.text(ENTRIES).bindparams(sa.bindparam("at", _now(connection), INSTANT)))
    connection.execute(sa.text(LINES))


def _now(connection: sa.Connection) -> object:
    now = datetime.now(UTC)
    if connection.dialect.name != "sqlite":
        return now
    return now.isoformat(timespec="microseconds")[:26] + "Z"


def downgrade() -> None:
    op.drop_table("journal_line")
    op.drop_table("journal_entry")

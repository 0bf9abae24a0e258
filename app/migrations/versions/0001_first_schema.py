"""First schema.

A migration says what it did on the day it was released, so it imports nothing of ours: types,
searches and seeds stand here as they were then, whatever becomes of them in the application.
"""

import json
import secrets
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite gives row ids of its own only to INTEGER, PostgreSQL needs BIGINT to hold as many.
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# A price, quantity, rate or total, in millionths.
EXACT = sa.BigInteger()
# A moment in UTC; SQLite keeps text that sorts as time does.
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
# JSON as text, since jsonb would refuse an escaped NUL.
JSON_TEXT = sa.Text()

# Stripe's presentment currencies (https://docs.stripe.com/currencies) with their symbols; names
# after ISO 4217. Ids are the order of the file and never change.
CURRENCIES = Path(__file__).with_name("0001_currencies.json")
# A rate of one, in millionths.
RATE_ONE = 1_000_000
# HaloPSA's short lists: a number names the list. List 11 must not be empty, or
# `Connect-HaloAPI` refuses to connect; nobody documents what it holds.
LOOKUPS = {
    11: ("Default",),
    17: ("Standard", "Out of hours", "Weekend", "Holiday", "Travel", "Mileage"),
    35: ("Travel", "Mileage", "Accommodation", "Meals", "Materials", "Other"),
}
# The columns of each table that are searched for a text anywhere in them.
SEARCHES = {
    "client": ("name",),
    "invoice": (
        "invoicenumber",
        "thirdpartyinvoicenumber",
        "reference",
        "order_number",
        "cust_order_number",
    ),
}


def upgrade() -> None:
    op.create_table(
        "access",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access")),
        sa.UniqueConstraint("client_id", name=op.f("uq_access_client_id")),
    )
    op.create_table(
        "currency",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("conversion_rate", EXACT, nullable=False),
        sa.Column("last_updated", INSTANT, nullable=True),
        sa.Column("history", JSON_TEXT, nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_currency")),
        sa.UniqueConstraint("code", name=op.f("uq_currency_code")),
    )
    op.create_table(
        "customer_turn",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_turn")),
    )
    op.create_table(
        "fact",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fact")),
    )
    op.create_table(
        "invoice_change",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("invoice_id", BIG_ID, nullable=True),
        sa.Column("invoice_line_id", BIG_ID, nullable=True),
        sa.Column(
            "invoice_detail_quantity_id",
            BIG_ID,
            nullable=True,
        ),
        sa.Column(
            "invoice_detail_prorata_id",
            BIG_ID,
            nullable=True,
        ),
        sa.Column("type_id", sa.Integer(), nullable=False),
        sa.Column("field_id", sa.Integer(), nullable=False),
        sa.Column("field_name", sa.Text(), nullable=True),
        sa.Column("old_value", sa.Text(), nullable=True),
        sa.Column("new_value", sa.Text(), nullable=True),
        sa.Column("who", sa.Text(), nullable=True),
        sa.Column("datetime", INSTANT, nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_change")),
    )
    with op.batch_alter_table("invoice_change", schema=None) as batch_op:
        batch_op.create_index("ix_invoice_change_invoice_id", ["invoice_id", "id"], unique=False)
        batch_op.create_index(
            "ix_invoice_change_invoice_line_id",
            ["invoice_line_id"],
            unique=False,
            sqlite_where=sa.text("invoice_line_id IS NOT NULL"),
            postgresql_where=sa.text("invoice_line_id IS NOT NULL"),
        )

    op.create_table(
        "job",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_run_at", INSTANT, nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job")),
    )
    op.create_table(
        "pace",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("free_at_us", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_pace")),
    )
    op.create_table(
        "stripe_event",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_event")),
        sa.UniqueConstraint("event_id", name=op.f("uq_stripe_event_event_id")),
    )
    compress_quickly("stripe_event", "payload")
    with op.batch_alter_table("stripe_event", schema=None) as batch_op:
        batch_op.create_index("ix_stripe_event_intent_id", ["intent_id"], unique=False)
        batch_op.create_index(
            "ix_stripe_event_object_id",
            ["object_id"],
            unique=False,
            sqlite_where=sa.text("object_id IS NOT NULL"),
            postgresql_where=sa.text("object_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_stripe_event_open",
            ["state", "next_try_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('parked', 'dead')"),
            postgresql_where=sa.text("state IN ('parked', 'dead')"),
        )

    op.create_table(
        "stripe_reversal",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("amount", EXACT, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_reversal")),
    )
    with op.batch_alter_table("stripe_reversal", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_stripe_reversal_intent_id"), ["intent_id"], unique=False
        )

    op.create_table(
        "access_token",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("access_id", BIG_ID, nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["access_id"], ["access.id"], name=op.f("fk_access_token_access_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_access_token")),
    )
    with op.batch_alter_table("access_token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_access_token_access_id"), ["access_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_access_token_expires_at"), ["expires_at"], unique=False
        )

    op.create_table(
        "kept_answer",
        sa.Column("access_id", BIG_ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["access_id"], ["access.id"], name=op.f("fk_kept_answer_access_id")
        ),
        sa.PrimaryKeyConstraint("access_id", "key", name=op.f("pk_kept_answer")),
    )
    with op.batch_alter_table("kept_answer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_kept_answer_kept_at"), ["kept_at"], unique=False)

    op.create_table(
        "client",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("toplevel_id", BIG_ID, nullable=True),
        sa.Column("inactive", sa.Boolean(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("currency_code", BIG_ID, nullable=True),
        sa.Column("stripe_customer_id", sa.Text(), nullable=True),
        sa.Column("stripe_payment_method_id", sa.Text(), nullable=True),
        sa.Column("stripe_payment_method_name", sa.Text(), nullable=True),
        sa.Column("stripe_saved_method_id", sa.Text(), nullable=True),
        sa.Column("date_created", INSTANT, nullable=True),
        sa.Column("last_modified", INSTANT, nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["currency_code"], ["currency.id"], name=op.f("fk_client_currency_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    with op.batch_alter_table("client", schema=None) as batch_op:
        batch_op.create_index("ix_client_name", ["name"], unique=False)
        batch_op.create_index("ix_client_toplevel_id", ["toplevel_id"], unique=False)
        batch_op.create_index("ix_client_stripe_customer_id", ["stripe_customer_id"], unique=False)
        batch_op.create_index(
            "ix_client_stripe_payment_method_id", ["stripe_payment_method_id"], unique=False
        )

    op.create_table(
        "invoice",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("client_id", BIG_ID, nullable=True),
        sa.Column("invoicenumber", sa.Text(), nullable=True),
        sa.Column("thirdpartyinvoicenumber", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("order_number", sa.Text(), nullable=True),
        sa.Column("cust_order_number", sa.Text(), nullable=True),
        sa.Column("notes_1", sa.Text(), nullable=True),
        sa.Column("notes_2", sa.Text(), nullable=True),
        sa.Column("notes_3", sa.Text(), nullable=True),
        sa.Column("internal_note", sa.Text(), nullable=True),
        sa.Column("contract_id", BIG_ID, nullable=True),
        sa.Column("ticket_id", BIG_ID, nullable=True),
        sa.Column("salesorder_id", BIG_ID, nullable=True),
        sa.Column("purchaseorder_id", BIG_ID, nullable=True),
        sa.Column("sitenumber", BIG_ID, nullable=True),
        sa.Column("uid", BIG_ID, nullable=True),
        sa.Column("billingcategory", sa.Integer(), nullable=True),
        sa.Column("invoicetype", sa.Integer(), nullable=False),
        sa.Column("approval_status", sa.Integer(), nullable=False),
        sa.Column("approvalagentid", BIG_ID, nullable=True),
        sa.Column("reviewrequired", sa.Boolean(), nullable=False),
        sa.Column("xeroid", sa.Text(), nullable=True),
        sa.Column("qboid", BIG_ID, nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("is_recurring_invoice", sa.Boolean(), nullable=False),
        sa.Column(
            "recurring_invoice_id",
            BIG_ID,
            nullable=True,
        ),
        sa.Column("made_for", sa.Date(), nullable=True),
        sa.Column("startdate", INSTANT, nullable=True),
        sa.Column("enddate", INSTANT, nullable=True),
        sa.Column("lastcreated", INSTANT, nullable=True),
        sa.Column("nextcreationdate", INSTANT, nullable=True),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("voided", sa.Boolean(), nullable=False),
        sa.Column("invoice_date", INSTANT, nullable=True),
        sa.Column("duedate", sa.Date(), nullable=True),
        sa.Column("dateposted", INSTANT, nullable=True),
        sa.Column("datesent", INSTANT, nullable=True),
        sa.Column("datepaid", INSTANT, nullable=True),
        sa.Column("date_created", INSTANT, nullable=True),
        sa.Column("last_modified", INSTANT, nullable=True),
        sa.Column("currency_code", BIG_ID, nullable=True),
        sa.Column("currency_iso", sa.Text(), nullable=False),
        sa.Column("currency_conversion_rate", EXACT, nullable=False),
        sa.Column("total", EXACT, nullable=False),
        sa.Column("tax_total", EXACT, nullable=False),
        sa.Column("revenue", EXACT, nullable=False),
        sa.Column("amountpaid", EXACT, nullable=False),
        sa.Column("amountdue", EXACT, nullable=False),
        sa.Column("paymentstatus", sa.Integer(), nullable=False),
        sa.Column("payments_pending", sa.Integer(), nullable=False),
        sa.Column("payments_reversed", sa.Integer(), nullable=False),
        sa.Column("take_auto_payment", sa.Boolean(), nullable=False),
        sa.Column("include_in_autopay", sa.Boolean(), nullable=False),
        sa.Column("change_seq", sa.Integer(), nullable=False),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_invoice_client_id")),
        sa.ForeignKeyConstraint(
            ["currency_code"], ["currency.id"], name=op.f("fk_invoice_currency_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("invoice", schema=None) as batch_op:
        batch_op.create_index(
            "ix_invoice_autopay_due",
            ["duedate", "id"],
            unique=False,
            sqlite_where=sa.text(
                "(take_auto_payment = 1 OR include_in_autopay = 1) AND paymentstatus <> 2"
            ),
            postgresql_where=sa.text(
                "(take_auto_payment OR include_in_autopay) AND paymentstatus <> 2"
            ),
        )
        batch_op.create_index("ix_invoice_client_id", ["client_id", "id"], unique=False)
        batch_op.create_index("ix_invoice_duedate", ["duedate", "id"], unique=False)
        batch_op.create_index("ix_invoice_invoice_date", ["invoice_date", "id"], unique=False)
        batch_op.create_index("ix_invoice_invoicenumber", ["invoicenumber"], unique=False)
        batch_op.create_index(
            "ix_invoice_paymentstatus", ["paymentstatus", "invoice_date", "id"], unique=False
        )
        batch_op.create_index("ix_invoice_total", ["total"], unique=False)
        batch_op.create_index("ix_invoice_datepaid", ["datepaid"], unique=False)
        batch_op.create_index(
            "ix_invoice_thirdpartyinvoicenumber",
            ["thirdpartyinvoicenumber"],
            unique=False,
            sqlite_where=sa.text("thirdpartyinvoicenumber IS NOT NULL"),
            postgresql_where=sa.text("thirdpartyinvoicenumber IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_invoice_xeroid",
            ["xeroid"],
            unique=False,
            sqlite_where=sa.text("xeroid IS NOT NULL"),
            postgresql_where=sa.text("xeroid IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_invoice_qboid",
            ["qboid"],
            unique=False,
            sqlite_where=sa.text("qboid IS NOT NULL"),
            postgresql_where=sa.text("qboid IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_invoice_made_for",
            ["recurring_invoice_id", "made_for"],
            unique=True,
            sqlite_where=sa.text("recurring_invoice_id IS NOT NULL"),
            postgresql_where=sa.text("recurring_invoice_id IS NOT NULL"),
        )

    op.create_table(
        "invoice_viewer",
        sa.Column(
            "invoice_id",
            BIG_ID,
            autoincrement=False,
            nullable=False,
        ),
        sa.Column(
            "access_id",
            BIG_ID,
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", "access_id", name=op.f("pk_invoice_viewer")),
    )
    with op.batch_alter_table("invoice_viewer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invoice_viewer_seen_at"), ["seen_at"], unique=False)

    op.create_table(
        "recurring_number",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("given_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recurring_number")),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "charge_attempt",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("invoice_id", BIG_ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("business_day", sa.Date(), nullable=False),
        sa.Column("amount_minor", BIG_ID, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("payment_method_id", sa.Text(), nullable=True),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("replaces_intent_id", sa.Text(), nullable=True),
        sa.Column("charge_before", sa.Text(), nullable=True),
        sa.Column("creates", sa.Integer(), nullable=False),
        sa.Column("create_params", JSON_TEXT, nullable=True),
        sa.Column("confirm_params", JSON_TEXT, nullable=True),
        sa.Column("confirm_sent_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("check_at", INSTANT, nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("charge_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("decline_code", sa.Text(), nullable=True),
        sa.Column("advice_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("next_try_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_charge_attempt_invoice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_attempt")),
        sa.UniqueConstraint(
            "invoice_id", "number", name=op.f("uq_charge_attempt_invoice_id_number")
        ),
    )
    with op.batch_alter_table("charge_attempt", schema=None) as batch_op:
        batch_op.create_index(
            "ix_charge_attempt_check",
            ["check_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('open', 'unknown', 'processing')"),
            postgresql_where=sa.text("state IN ('open', 'unknown', 'processing')"),
        )
        batch_op.create_index("ix_charge_attempt_intent_id", ["intent_id"], unique=False)
        batch_op.create_index(
            "ix_charge_attempt_payment_method_id",
            ["payment_method_id", "finished_at"],
            unique=False,
        )
        batch_op.create_index(
            "uq_charge_attempt_unresolved",
            ["invoice_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('open', 'unknown', 'processing')"),
            postgresql_where=sa.text("state IN ('open', 'unknown', 'processing')"),
        )

    op.create_table(
        "invoice_line",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("ihid", BIG_ID, nullable=False),
        sa.Column("sequenceid", sa.Integer(), nullable=False),
        sa.Column("item_code", sa.Text(), nullable=True),
        sa.Column("item_shortdescription", sa.Text(), nullable=True),
        sa.Column("item_longdescription", sa.Text(), nullable=True),
        sa.Column("nominal_code", sa.Text(), nullable=True),
        sa.Column("tax_code", sa.Text(), nullable=True),
        sa.Column("qty_order", EXACT, nullable=False),
        sa.Column("unit_price", EXACT, nullable=False),
        sa.Column("unit_cost", EXACT, nullable=False),
        sa.Column("discount_perc", EXACT, nullable=False),
        sa.Column("tax_rate", EXACT, nullable=False),
        sa.Column("isinactive", sa.Boolean(), nullable=False),
        sa.Column("asset_id", BIG_ID, nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["ihid"], ["invoice.id"], name=op.f("fk_invoice_line_ihid"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_line")),
    )
    with op.batch_alter_table("invoice_line", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invoice_line_ihid"), ["ihid"], unique=False)
        batch_op.create_index(
            "ix_invoice_line_asset_id",
            ["asset_id"],
            unique=False,
            sqlite_where=sa.text("asset_id IS NOT NULL"),
            postgresql_where=sa.text("asset_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_invoice_line_tax_code",
            ["tax_code"],
            unique=False,
            sqlite_where=sa.text("tax_code IS NOT NULL"),
            postgresql_where=sa.text("tax_code IS NOT NULL"),
        )

    op.create_table(
        "invoice_payment",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("invoice_id", BIG_ID, nullable=True),
        sa.Column("client_id", BIG_ID, nullable=True),
        sa.Column("date", INSTANT, nullable=False),
        sa.Column("amount", EXACT, nullable=False),
        sa.Column("method", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("thirdpartyid", sa.Text(), nullable=True),
        sa.Column("credit_note_id", BIG_ID, nullable=True),
        sa.Column("payment_method", sa.Integer(), nullable=True),
        sa.Column("payment_method_name", sa.Text(), nullable=True),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("dateposted", INSTANT, nullable=True),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("intent_date", INSTANT, nullable=True),
        sa.Column("intent_response", sa.Text(), nullable=True),
        sa.Column("webhook_event_id", sa.Text(), nullable=True),
        sa.Column("webhook_received_date", INSTANT, nullable=True),
        sa.Column("currency_iso", sa.Text(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("state_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("charge_id", sa.Text(), nullable=True),
        sa.Column("stripe_customer_id", sa.Text(), nullable=True),
        sa.Column(
            "claimed_invoice_id",
            BIG_ID,
            nullable=True,
        ),
        sa.Column("check_at", INSTANT, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("amount_refunded", EXACT, nullable=False),
        sa.Column("amount_lost", EXACT, nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
        sa.Column("counted", EXACT, nullable=False),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_invoice_payment_invoice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_payment")),
    )
    with op.batch_alter_table("invoice_payment", schema=None) as batch_op:
        batch_op.create_index("ix_invoice_payment_charge_id", ["charge_id"], unique=False)
        batch_op.create_index(
            "ix_invoice_payment_credit_note_id",
            ["credit_note_id"],
            unique=False,
            sqlite_where=sa.text("credit_note_id IS NOT NULL"),
            postgresql_where=sa.text("credit_note_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_invoice_payment_claimed",
            ["claimed_invoice_id"],
            unique=False,
            sqlite_where=sa.text("invoice_id IS NULL AND claimed_invoice_id IS NOT NULL"),
            postgresql_where=sa.text("invoice_id IS NULL AND claimed_invoice_id IS NOT NULL"),
        )
        batch_op.create_index("ix_invoice_payment_client_id", ["client_id", "id"], unique=False)
        batch_op.create_index("ix_invoice_payment_invoice_id", ["invoice_id", "id"], unique=False)
        batch_op.create_index(
            "ix_invoice_payment_check",
            ["check_at"],
            unique=False,
            sqlite_where=sa.text("check_at IS NOT NULL"),
            postgresql_where=sa.text("check_at IS NOT NULL"),
        )
        batch_op.create_index("uq_invoice_payment_intent_id", ["intent_id"], unique=True)

    catalogue()
    create_searches()
    seed()


def catalogue() -> None:
    op.create_table(
        "budget_type",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("defaultrate", EXACT, nullable=True),
        sa.Column("chargerate", sa.Integer(), nullable=True),
        sa.Column("ticket_id", sa.Integer(), nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_type")),
    )
    op.create_table(
        "cost_centre",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("chargeable", sa.Boolean(), nullable=False),
        sa.Column("addr1", sa.Text(), nullable=True),
        sa.Column("addr2", sa.Text(), nullable=True),
        sa.Column("addr3", sa.Text(), nullable=True),
        sa.Column("addr4", sa.Text(), nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cost_centre")),
    )
    op.create_table(
        "lookup",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("lookupid", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lookup")),
    )
    with op.batch_alter_table("lookup", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lookup_lookupid"), ["lookupid"], unique=False)

    op.create_table(
        "tax",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("value", EXACT, nullable=False),
        sa.Column("is_composite", sa.Boolean(), nullable=False),
        sa.Column("category_code", sa.Text(), nullable=True),
        sa.Column("xero_tenant_id", sa.Text(), nullable=True),
        sa.Column("kashflow_tenant_id", sa.Integer(), nullable=True),
        sa.Column("qbo_company_id", sa.Text(), nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax")),
    )
    op.create_table(
        "composite_tax",
        sa.Column("tax_id", BIG_ID, nullable=False),
        sa.Column("linked_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(["linked_id"], ["tax.id"], name=op.f("fk_composite_tax_linked_id")),
        sa.ForeignKeyConstraint(
            ["tax_id"], ["tax.id"], name=op.f("fk_composite_tax_tax_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tax_id", "linked_id", name=op.f("pk_composite_tax")),
    )
    with op.batch_alter_table("composite_tax", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_composite_tax_linked_id"), ["linked_id"], unique=False)

    op.create_table(
        "tax_rule",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("taxid", BIG_ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(["taxid"], ["tax.id"], name=op.f("fk_tax_rule_taxid")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_rule")),
    )
    with op.batch_alter_table("tax_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tax_rule_taxid"), ["taxid"], unique=False)

    op.create_table(
        "charge_rate",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("area", BIG_ID, nullable=True),
        sa.Column("contract_id", BIG_ID, nullable=False),
        sa.Column("charge_id", BIG_ID, nullable=False),
        sa.Column("org", sa.Integer(), nullable=False),
        sa.Column("startdate", INSTANT, nullable=True),
        sa.Column("expirydate", INSTANT, nullable=True),
        sa.Column("rate", EXACT, nullable=False),
        sa.Column("rateoverride", EXACT, nullable=True),
        sa.Column("mileage_rate", EXACT, nullable=True),
        sa.Column("minimum", EXACT, nullable=True),
        sa.Column("increment", EXACT, nullable=True),
        sa.Column("oohmultiplier", EXACT, nullable=True),
        sa.Column("holidaymultiplier", EXACT, nullable=True),
        sa.Column("weekendmultiplier", EXACT, nullable=True),
        sa.Column("contractmultiplier", EXACT, nullable=True),
        sa.Column("use_for_travel", sa.Boolean(), nullable=False),
        sa.Column("use_for_mileage", sa.Boolean(), nullable=False),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(["area"], ["client.id"], name=op.f("fk_charge_rate_area")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_rate")),
    )
    with op.batch_alter_table("charge_rate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_charge_rate_area"), ["area"], unique=False)

    op.create_table(
        "site",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("client_id", BIG_ID, nullable=False),
        sa.Column("inactive", sa.Boolean(), nullable=False),
        sa.Column("phonenumber", sa.Text(), nullable=True),
        sa.Column("date_created", INSTANT, nullable=True),
        sa.Column("last_modified", INSTANT, nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_site_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
    )
    with op.batch_alter_table("site", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_site_client_id"), ["client_id"], unique=False)

    op.create_table(
        "tax_rule_condition",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("tax_rule_id", BIG_ID, nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("value_type", sa.Integer(), nullable=True),
        sa.Column("value_bool", sa.Boolean(), nullable=True),
        sa.Column("value_display", sa.Text(), nullable=True),
        sa.Column("value_lookup", JSON_TEXT, nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tax_rule_id"],
            ["tax_rule.id"],
            name=op.f("fk_tax_rule_condition_tax_rule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_rule_condition")),
    )
    with op.batch_alter_table("tax_rule_condition", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tax_rule_condition_tax_rule_id"), ["tax_rule_id"], unique=False
        )

    op.create_table(
        "expense",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("agent_id", sa.Integer(), nullable=True),
        sa.Column("fault_id", sa.Integer(), nullable=True),
        sa.Column("actionnumber", sa.Integer(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("amount", EXACT, nullable=False),
        sa.Column("lookup_id", BIG_ID, nullable=True),
        sa.Column("date_added", INSTANT, nullable=True),
        sa.Column("date_reimbursed", INSTANT, nullable=True),
        sa.Column("date_invoiced", INSTANT, nullable=True),
        sa.Column("invoiceable", sa.Boolean(), nullable=False),
        sa.Column("ihid", BIG_ID, nullable=True),
        sa.Column("client_id", BIG_ID, nullable=True),
        sa.Column(
            "client_to_invoice_to_id",
            BIG_ID,
            nullable=True,
        ),
        sa.Column("site_id", BIG_ID, nullable=True),
        sa.Column("reviewed", sa.Boolean(), nullable=False),
        sa.Column("reviewed_agent_id", sa.Integer(), nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_expense_client_id")),
        sa.ForeignKeyConstraint(
            ["client_to_invoice_to_id"],
            ["client.id"],
            name=op.f("fk_expense_client_to_invoice_to_id"),
        ),
        sa.ForeignKeyConstraint(["ihid"], ["invoice.id"], name=op.f("fk_expense_ihid")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_expense_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expense")),
    )
    with op.batch_alter_table("expense", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_expense_client_id"), ["client_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_expense_client_to_invoice_to_id"),
            ["client_to_invoice_to_id"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_expense_ihid"), ["ihid"], unique=False)
        batch_op.create_index(batch_op.f("ix_expense_site_id"), ["site_id"], unique=False)

    op.create_table(
        "invoice_prorata",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("invoicedetailid", BIG_ID, nullable=False),
        sa.Column("invoice_id", BIG_ID, nullable=False),
        sa.Column(
            "recurring_invoice_id",
            BIG_ID,
            nullable=True,
        ),
        sa.Column("client_id", BIG_ID, nullable=True),
        sa.Column("site_id", BIG_ID, nullable=True),
        sa.Column("date", INSTANT, nullable=True),
        sa.Column("quantity", EXACT, nullable=True),
        sa.Column("unitprice", EXACT, nullable=True),
        sa.Column("unitcost", EXACT, nullable=True),
        sa.Column("shortdescription", sa.Text(), nullable=True),
        sa.Column("longdescription", sa.Text(), nullable=True),
        sa.Column("prorata_next_invoice", sa.Boolean(), nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["invoicedetailid"],
            ["invoice_line.id"],
            name=op.f("fk_invoice_prorata_invoicedetailid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_prorata")),
    )
    with op.batch_alter_table("invoice_prorata", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_invoice_prorata_invoicedetailid"), ["invoicedetailid"], unique=False
        )


def compress_quickly(table: str, column: str) -> None:
    """PostgreSQL compresses what is longer than 2 kB; its own default takes ten times lz4's time."""
    if op.get_bind().dialect.name != "postgresql":
        return
    knows_lz4 = sa.text(
        "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    )
    if op.get_bind().scalar(knows_lz4):
        op.execute(sa.text(f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION lz4"))


def create_searches() -> None:
    """A text is found anywhere in some columns by trigrams, on either engine."""
    if op.get_bind().dialect.name == "sqlite":
        for table, columns in SEARCHES.items():
            create_fts(table, columns)
    elif may_have_trigrams():
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        for table, columns in SEARCHES.items():
            parts = (f"coalesce({table}.{column}, '')" for column in columns)
            # A line break keeps one column's end from another's start.
            joined = " || '\n' || ".join(parts)
            op.execute(
                f"CREATE INDEX ix_{table}_search ON {table} USING gin (({joined}) gin_trgm_ops)"
            )


def may_have_trigrams() -> bool:
    """Whoever owns the database may make this extension, where it is installed at all."""
    known = sa.text(
        "SELECT has_database_privilege(current_database(), 'CREATE') "
        "AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')"
    )
    return bool(op.get_bind().scalar(known))


def create_fts(table: str, columns: tuple[str, ...]) -> None:
    """An FTS5 table beside the table, and triggers that only changes of these columns set off."""
    search, names = f"{table}_search", ", ".join(columns)
    old, new = (", ".join(f"{row}.{one}" for one in columns) for row in ("old", "new"))
    remove = (
        f"INSERT INTO {search} ({search}, rowid, {names}) "  # noqa: S608  names of this file
        f"VALUES ('delete', old.id, {old});"
    )
    add = f"INSERT INTO {search} (rowid, {names}) VALUES (new.id, {new});"  # noqa: S608
    op.execute(
        f"CREATE VIRTUAL TABLE {search} USING fts5({names}, content='{table}', "
        "content_rowid='id', tokenize='trigram')"
    )
    triggers = (("INSERT", add), ("DELETE", remove), (f"UPDATE OF {names}", remove + add))
    for event, work in triggers:
        trigger = f"{search}_{event.split()[0].lower()}"
        op.execute(f"CREATE TRIGGER {trigger} AFTER {event} ON {table} BEGIN {work} END")


def seed() -> None:
    currency = sa.table(
        "currency", *(sa.column(n) for n in ("code", "symbol", "name", "conversion_rate"))
    )
    known = json.loads(CURRENCIES.read_text(encoding="utf-8"))
    op.bulk_insert(currency, [{**one, "conversion_rate": RATE_ONE} for one in known])
    lookup = sa.table("lookup", sa.column("lookupid"), sa.column("name"))
    op.bulk_insert(
        lookup,
        [{"lookupid": number, "name": name} for number, names in LOOKUPS.items() for name in names],
    )
    # The name that keeps this database's idempotency keys apart from any other's.
    fact = sa.table("fact", sa.column("name"), sa.column("value"))
    op.bulk_insert(fact, [{"name": "installation", "value": secrets.token_hex(4)}])


def downgrade() -> None:
    drop_searches()
    drop_catalogue()
    with op.batch_alter_table("invoice_payment", schema=None) as batch_op:
        batch_op.drop_index("uq_invoice_payment_intent_id")
        batch_op.drop_index(
            "ix_invoice_payment_credit_note_id",
            sqlite_where=sa.text("credit_note_id IS NOT NULL"),
            postgresql_where=sa.text("credit_note_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_invoice_payment_check",
            sqlite_where=sa.text("check_at IS NOT NULL"),
            postgresql_where=sa.text("check_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_invoice_payment_invoice_id")
        batch_op.drop_index("ix_invoice_payment_client_id")
        batch_op.drop_index(
            "ix_invoice_payment_claimed",
            sqlite_where=sa.text("invoice_id IS NULL AND claimed_invoice_id IS NOT NULL"),
            postgresql_where=sa.text("invoice_id IS NULL AND claimed_invoice_id IS NOT NULL"),
        )
        batch_op.drop_index("ix_invoice_payment_charge_id")

    op.drop_table("invoice_payment")
    with op.batch_alter_table("invoice_line", schema=None) as batch_op:
        batch_op.drop_index("ix_invoice_line_tax_code")
        batch_op.drop_index(
            "ix_invoice_line_asset_id",
            sqlite_where=sa.text("asset_id IS NOT NULL"),
            postgresql_where=sa.text("asset_id IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_invoice_line_ihid"))

    op.drop_table("invoice_line")
    with op.batch_alter_table("charge_attempt", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_charge_attempt_unresolved",
            sqlite_where=sa.text("state IN ('open', 'unknown', 'processing')"),
            postgresql_where=sa.text("state IN ('open', 'unknown', 'processing')"),
        )
        batch_op.drop_index("ix_charge_attempt_payment_method_id")
        batch_op.drop_index("ix_charge_attempt_intent_id")
        batch_op.drop_index(
            "ix_charge_attempt_check",
            sqlite_where=sa.text("state IN ('open', 'unknown', 'processing')"),
            postgresql_where=sa.text("state IN ('open', 'unknown', 'processing')"),
        )

    op.drop_table("charge_attempt")
    with op.batch_alter_table("invoice", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_invoice_made_for",
            sqlite_where=sa.text("recurring_invoice_id IS NOT NULL"),
            postgresql_where=sa.text("recurring_invoice_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_invoice_qboid",
            sqlite_where=sa.text("qboid IS NOT NULL"),
            postgresql_where=sa.text("qboid IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_invoice_xeroid",
            sqlite_where=sa.text("xeroid IS NOT NULL"),
            postgresql_where=sa.text("xeroid IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_invoice_thirdpartyinvoicenumber",
            sqlite_where=sa.text("thirdpartyinvoicenumber IS NOT NULL"),
            postgresql_where=sa.text("thirdpartyinvoicenumber IS NOT NULL"),
        )
        batch_op.drop_index("ix_invoice_datepaid")
        batch_op.drop_index("ix_invoice_total")
        batch_op.drop_index("ix_invoice_paymentstatus")
        batch_op.drop_index("ix_invoice_invoicenumber")
        batch_op.drop_index("ix_invoice_invoice_date")
        batch_op.drop_index("ix_invoice_duedate")
        batch_op.drop_index("ix_invoice_client_id")
        batch_op.drop_index(
            "ix_invoice_autopay_due",
            sqlite_where=sa.text(
                "(take_auto_payment = 1 OR include_in_autopay = 1) AND paymentstatus <> 2"
            ),
            postgresql_where=sa.text(
                "(take_auto_payment OR include_in_autopay) AND paymentstatus <> 2"
            ),
        )

    op.drop_table("invoice")
    op.drop_table("recurring_number")
    with op.batch_alter_table("invoice_viewer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_invoice_viewer_seen_at"))

    op.drop_table("invoice_viewer")
    with op.batch_alter_table("client", schema=None) as batch_op:
        batch_op.drop_index("ix_client_stripe_payment_method_id")
        batch_op.drop_index("ix_client_stripe_customer_id")
        batch_op.drop_index("ix_client_toplevel_id")
        batch_op.drop_index("ix_client_name")

    op.drop_table("client")
    with op.batch_alter_table("kept_answer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_kept_answer_kept_at"))

    op.drop_table("kept_answer")
    with op.batch_alter_table("access_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_access_token_expires_at"))
        batch_op.drop_index(batch_op.f("ix_access_token_access_id"))

    op.drop_table("access_token")
    with op.batch_alter_table("stripe_reversal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_stripe_reversal_intent_id"))

    op.drop_table("stripe_reversal")
    with op.batch_alter_table("stripe_event", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_stripe_event_open",
            sqlite_where=sa.text("state IN ('parked', 'dead')"),
            postgresql_where=sa.text("state IN ('parked', 'dead')"),
        )
        batch_op.drop_index(
            "ix_stripe_event_object_id",
            sqlite_where=sa.text("object_id IS NOT NULL"),
            postgresql_where=sa.text("object_id IS NOT NULL"),
        )
        batch_op.drop_index("ix_stripe_event_intent_id")

    op.drop_table("stripe_event")
    op.drop_table("pace")
    op.drop_table("job")
    with op.batch_alter_table("invoice_change", schema=None) as batch_op:
        batch_op.drop_index("ix_invoice_change_invoice_line_id")
        batch_op.drop_index("ix_invoice_change_invoice_id")

    op.drop_table("invoice_change")
    op.drop_table("fact")
    op.drop_table("customer_turn")
    op.drop_table("currency")
    op.drop_table("access")


def drop_searches() -> None:
    """An index goes with its table; a table of FTS5 does not."""
    if op.get_bind().dialect.name == "sqlite":
        for table in SEARCHES:
            op.drop_table(f"{table}_search")


def drop_catalogue() -> None:
    with op.batch_alter_table("invoice_prorata", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_invoice_prorata_invoicedetailid"))

    op.drop_table("invoice_prorata")
    with op.batch_alter_table("expense", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_expense_site_id"))
        batch_op.drop_index(batch_op.f("ix_expense_ihid"))
        batch_op.drop_index(batch_op.f("ix_expense_client_to_invoice_to_id"))
        batch_op.drop_index(batch_op.f("ix_expense_client_id"))

    op.drop_table("expense")
    with op.batch_alter_table("tax_rule_condition", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tax_rule_condition_tax_rule_id"))

    op.drop_table("tax_rule_condition")
    with op.batch_alter_table("site", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_site_client_id"))

    op.drop_table("site")
    with op.batch_alter_table("charge_rate", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_charge_rate_area"))

    op.drop_table("charge_rate")
    with op.batch_alter_table("tax_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tax_rule_taxid"))

    op.drop_table("tax_rule")
    with op.batch_alter_table("composite_tax", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_composite_tax_linked_id"))

    op.drop_table("composite_tax")
    op.drop_table("tax")
    with op.batch_alter_table("lookup", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lookup_lookupid"))

    op.drop_table("lookup")
    op.drop_table("cost_centre")
    op.drop_table("budget_type")

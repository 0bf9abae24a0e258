"""People who use the console: users, sessions, second factors, and what they did to sign in."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.create_table(
        "console_user",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("password_set_at", INSTANT, nullable=True),
        sa.Column("totp_secret", sa.Text(), nullable=True),
        sa.Column("totp_since", INSTANT, nullable=True),
        sa.Column("totp_step", BIG_ID, nullable=True),
        sa.Column("oidc_identity", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_user")),
        sa.UniqueConstraint("login", name=op.f("uq_console_user_login")),
        sa.UniqueConstraint("oidc_identity", name=op.f("uq_console_user_oidc_identity")),
    )
    op.create_table(
        "console_session",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        _user("console_session"),
        sa.Column("signed_in_by", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("authenticated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_console_session_token_hash")),
    )
    op.create_index("ix_console_session_user_id", "console_session", ["user_id"])
    op.create_table(
        "console_one_time_token",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        _user("console_one_time_token", nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_console_one_time_token")),
    )
    for column in ("user_id", "expires_at"):
        op.create_index(
            op.f(f"ix_console_one_time_token_{column}"), "console_one_time_token", [column]
        )
    op.create_table(
        "console_recovery_code",
        sa.Column("code_hash", sa.Text(), nullable=False),
        _user("console_recovery_code"),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_console_recovery_code")),
    )
    op.create_index(op.f("ix_console_recovery_code_user_id"), "console_recovery_code", ["user_id"])
    op.create_table(
        "console_passkey",
        sa.Column("id", BIG_ID, nullable=False),
        _user("console_passkey"),
        sa.Column("credential_id", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_passkey")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_console_passkey_credential_id")),
    )
    op.create_index(op.f("ix_console_passkey_user_id"), "console_passkey", ["user_id"])
    op.create_table(
        "console_failed_sign_ins",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_console_failed_sign_ins")),
    )
    op.create_index(
        op.f("ix_console_failed_sign_ins_failed_at"), "console_failed_sign_ins", ["failed_at"]
    )
    op.create_table(
        "console_user_event",
        sa.Column("id", BIG_ID, nullable=False),
        _user("console_user_event"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_user_event")),
    )
    op.create_index("ix_console_user_event_user_id", "console_user_event", ["user_id", "id"])


def _user(table: str, *, nullable: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("console_user.id", name=op.f(f"fk_{table}_user_id"))
    return sa.Column("user_id", BIG_ID, key, nullable=nullable)


def downgrade() -> None:
    for name in (
        "console_user_event", "console_failed_sign_ins", "console_passkey",
        "console_recovery_code", "console_one_time_token", "console_session", "console_user",
    ):  # fmt: skip
        op.drop_table(name)

"""A decline keeps who said it and the version of the method; refusals of requests are apart.

A method that Stripe had saved was written as the client's own. It is known by standing in both
columns, and stays where it belongs alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Stripe's codes for a request that it refuses as it stands; none of them is a bank's word.
REFUSALS = (
    "amount_too_large",
    "amount_too_small",
    "parameter_invalid_empty",
    "parameter_invalid_integer",
    "parameter_missing",
    "parameter_unknown",
    "refused",
    "resource_missing",
)
STRIPES_OWN = ("highest_risk_level", "requires_action")

ATTEMPTS = sa.table(
    "charge_attempt",
    *(
        sa.column(one, sa.Text())
        for one in ("state", "code", "decline_code", "decline_source", "reason")
    ),
    sa.column("network_forbids", sa.Boolean()),
)
CLIENTS = sa.table(
    "client",
    sa.column("stripe_payment_method_id", sa.Text()),
    sa.column("stripe_saved_method_id", sa.Text()),
)
IS_REFUSED = sa.text("state = 'refused'")


def upgrade() -> None:
    op.add_column("charge_attempt", sa.Column("payment_method_version", sa.Text(), nullable=True))
    op.add_column("charge_attempt", sa.Column("decline_source", sa.Text(), nullable=True))
    op.add_column("charge_attempt", sa.Column("network_forbids", sa.Boolean(), nullable=True))
    op.create_index(
        "ix_charge_attempt_refused",
        "charge_attempt",
        ["invoice_id"],
        sqlite_where=IS_REFUSED,
        postgresql_where=IS_REFUSED,
    )
    # A client's stripe_saved_method_id is looked for when a method is detached.
    op.create_index("ix_client_stripe_saved_method_id", "client", ["stripe_saved_method_id"])
    op.execute(
        sa.update(ATTEMPTS)
        .where(
            ATTEMPTS.c.state == "declined",
            ATTEMPTS.c.decline_code.is_(None),
            ATTEMPTS.c.code.in_(REFUSALS),
        )
        .values(state="refused", decline_source="request")
    )
    why = sa.func.coalesce(ATTEMPTS.c.decline_code, ATTEMPTS.c.code, "")
    source = sa.case((why.in_(STRIPES_OWN), "stripe"), else_="network")
    op.execute(
        sa.update(ATTEMPTS).where(ATTEMPTS.c.state == "declined").values(decline_source=source)
    )
    op.execute(
        sa.update(ATTEMPTS)
        .where(ATTEMPTS.c.reason.like("%the card network forbids another try"))
        .values(network_forbids=sa.true())
    )
    op.execute(
        sa.update(CLIENTS)
        .where(CLIENTS.c.stripe_payment_method_id == CLIENTS.c.stripe_saved_method_id)
        .values(stripe_payment_method_id=None)
    )


def downgrade() -> None:
    chosen = sa.func.coalesce(CLIENTS.c.stripe_payment_method_id, CLIENTS.c.stripe_saved_method_id)
    op.execute(sa.update(CLIENTS).values(stripe_payment_method_id=chosen))
    op.execute(sa.update(ATTEMPTS).where(ATTEMPTS.c.state == "refused").values(state="declined"))
    op.drop_index("ix_client_stripe_saved_method_id", "client")
    op.drop_index("ix_charge_attempt_refused", "charge_attempt")
    op.drop_column("charge_attempt", "network_forbids")
    op.drop_column("charge_attempt", "decline_source")
    op.drop_column("charge_attempt", "payment_method_version")

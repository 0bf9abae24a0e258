"""State that the nodes coordinate by: job leases, customer leases, request slots, settings."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Ref, Row


class Job(Row):
    """A scheduled job. The holder of its lease runs it; the token fences off a late holder."""

    __tablename__ = "job"

    name: Mapped[str] = mapped_column(primary_key=True)
    next_run_at: Mapped[datetime]
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    lease_holder: Mapped[str | None]  # host and process, for people
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    succeeded_at: Mapped[datetime | None]  # the newest end that was neither a failure nor a stop
    result: Mapped[str | None]


class CustomerLease(Row):
    """A lease that allows one mutation at a time per Stripe customer, over all nodes."""

    __tablename__ = "customer_turn"

    customer_id: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str]
    until: Mapped[datetime]


class RateLimitSlot(Row):
    """The next free moment of a Stripe endpoint, in microseconds since the epoch."""

    __tablename__ = "pace"

    endpoint: Mapped[str] = mapped_column(primary_key=True)
    free_at_us: Mapped[Ref]


# The name of the value that lists the kinds of mail which are switched on, comma-separated.
MAIL_KINDS = "mail_kinds"


class InstallationValue(Row):
    """A single value of this installation: its id, the reconciliation cursor."""

    __tablename__ = "fact"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]

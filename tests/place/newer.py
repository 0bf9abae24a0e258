"""A newer version of Paydue: a copy of this one with one more migration."""

import shutil
from pathlib import Path

import app

REVISION = "9001"
MIGRATION = '''"""A column, a table and an index of the next version."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
expands_only = {expands_only}


def upgrade() -> None:
    op.add_column("invoice", sa.Column("of_the_next_version", sa.Text(), nullable=True))
    op.add_column(
        "stripe_event", sa.Column("seen", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table("next_version", sa.Column("id", sa.Integer(), primary_key=True))
    op.create_index("ix_invoice_of_the_next_version", "invoice", ["of_the_next_version"])


def downgrade() -> None:
    op.drop_index("ix_invoice_of_the_next_version", "invoice")
    op.drop_table("next_version")
    op.drop_column("stripe_event", "seen")
    op.drop_column("invoice", "of_the_next_version")
'''


def newer_version(folder: Path, *, before: str, expands_only: bool) -> Path:
    """The folder to put on PYTHONPATH, in which `app` is the newer version."""
    root = folder / "newer"
    source = Path(app.__file__).parent
    shutil.copytree(source, root / "app", ignore=shutil.ignore_patterns("__pycache__"))
    text = MIGRATION.format(revision=REVISION, before=before, expands_only=expands_only)
    (root / "app" / "migrations" / "versions" / f"{REVISION}_next_version.py").write_text(text)
    return root

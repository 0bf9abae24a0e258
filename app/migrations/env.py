"""Runs migrations inside the transaction that app.storage.schema opened."""

from alembic import context

from app.storage.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=False,
    compare_type=False,
)
context.run_migrations()

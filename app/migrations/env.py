"""Runs migrations inside the transaction that app.data.schema opened."""

from alembic import context

from app.data.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=False,
    compare_type=False,
    user_module_prefix="columns.",
)
context.run_migrations()

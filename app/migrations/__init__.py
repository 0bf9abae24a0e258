"""Alembic migrations. `storage/schema.py` runs them; a migration imports nothing of `app`."""

"""How Alembic meets the database: on the connection that `engine.records.database.migrate` hands over."""

from alembic import context

from engine.records.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

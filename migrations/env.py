"""Alembic environment: always runs on the connection `portal.schema` hands over, as the owner of the tables."""

from alembic import context

from portal.kernel.db import Base
from portal.schema import included

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, include_object=included, compare_type=True)
with context.begin_transaction():
    context.run_migrations()

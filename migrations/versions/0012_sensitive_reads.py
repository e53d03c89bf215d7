"""Reads of sensitive data stand in the sealed history"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index("ix_audit_entry_reads", "audit_entry", ["id"], postgresql_where=sa.text("op = 'read'"))
    op.create_index(
        "ix_audit_entry_read_people",
        "audit_entry",
        [sa.text("(new -> 'people')")],
        postgresql_using="gin",
        postgresql_where=sa.text("op = 'read'"),
    )

"""Imports that hire people are approved by a second person"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"

STATES = "'waiting', 'checked', 'submitted', 'running', 'done', 'rejected', 'refused', 'failed', 'cancelled'"


def upgrade() -> None:
    op.add_column("lowcode_import_run", sa.Column("needs_approval", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("lowcode_import_run", sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("lowcode_import_run", sa.Column("decided_by", sa.Integer(), nullable=True))
    op.add_column("lowcode_import_run", sa.Column("decision_note", sa.Text(), nullable=True))
    op.create_foreign_key(None, "lowcode_import_run", "ab_user", ["decided_by"], ["id"])
    op.create_index(op.f("ix_lowcode_import_run_decided_by"), "lowcode_import_run", ["decided_by"], unique=False)
    op.drop_column("lowcode_import_run", "reported")
    op.drop_constraint("lowcode_import_run_state_known", "lowcode_import_run")
    op.create_check_constraint("lowcode_import_run_state_known", "lowcode_import_run", f"state in ({STATES})")
    op.add_column(
        "lowcode_import_file",
        sa.Column("private", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    )
    # what was checked before may hold private values and was found out without asking whether two people are needed
    op.execute("update lowcode_import_run set state = 'cancelled', ended_at = now() where state in ('waiting', 'checked', 'running')")
    op.execute("delete from lowcode_import_row")

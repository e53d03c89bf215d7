"""Mergers of departments: asked for by one person, approved by another"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "hr_merger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("into_id", sa.BigInteger(), nullable=False),
        sa.Column("from_day", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="submitted", nullable=False),
        sa.Column("decided_by", sa.Integer(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("decision_note", sa.Text(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("headships", postgresql.JSONB(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "created_by", sa.BigInteger(), server_default=sa.text("nullif(current_setting('app.me', true), '')::bigint"), nullable=True
        ),
        sa.Column("archived_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("custom", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("state in ('submitted', 'approved', 'rejected', 'cancelled')", name="hr_merger_state_known"),
        sa.ForeignKeyConstraint(["decided_by"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["department_id"], ["hr_department.id"]),
        sa.ForeignKeyConstraint(["into_id"], ["hr_department.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_hr_merger_decided_by"), "hr_merger", ["decided_by"], unique=False)
    op.create_index(op.f("ix_hr_merger_department_id"), "hr_merger", ["department_id"], unique=False)
    op.create_index(op.f("ix_hr_merger_into_id"), "hr_merger", ["into_id"], unique=False)
    op.create_index(
        "hr_merger_open",
        "hr_merger",
        ["department_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('submitted', 'approved') AND archived_at IS NULL"),
    )

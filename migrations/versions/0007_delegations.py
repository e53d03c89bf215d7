"""Delegations of visibility for a period"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    me = sa.text("nullif(current_setting('app.me', true), '')::bigint")
    op.create_table(
        "security_delegation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("giver_id", sa.Integer(), server_default=me, nullable=False),
        sa.Column("deputy_id", sa.Integer(), nullable=False),
        sa.Column("from_day", sa.Date(), nullable=False),
        sa.Column("to_day", sa.Date(), nullable=False),
        sa.Column("projects", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("people", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("todos", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by_id", sa.Integer(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), server_default=me, nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("custom", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("to_day > from_day", name="security_delegation_ordered"),
        sa.CheckConstraint("giver_id <> deputy_id", name="security_delegation_other"),
        sa.CheckConstraint("projects or people or todos", name="security_delegation_something"),
        sa.ForeignKeyConstraint(["giver_id"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["deputy_id"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["ended_by_id"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("giver_id", "deputy_id", "ended_by_id"):
        op.create_index(op.f(f"ix_security_delegation_{column}"), "security_delegation", [column], unique=False)
    op.create_index(
        "security_delegation_deputy", "security_delegation", ["deputy_id"],
        postgresql_where=sa.text("ended_at is null and archived_at is null"),
    )  # fmt: skip

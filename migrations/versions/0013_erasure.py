"""Erasure of personal data, and legal holds against it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"


def _record() -> list[sa.Column]:
    me = sa.text("nullif(current_setting('app.me', true), '')::bigint")
    return [
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.BigInteger(), server_default=me, nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    ]


def upgrade() -> None:
    op.create_table(
        "security_erasure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("ab_user.id"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("decided_by", sa.Integer(), sa.ForeignKey("ab_user.id"), nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("values_erased", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), server_default="proposed", nullable=False),
        *_record(),
        sa.CheckConstraint("state in ('proposed', 'approved', 'refused', 'withdrawn', 'erased')", name="security_erasure_state_known"),
    )
    op.create_index(op.f("ix_security_erasure_person_id"), "security_erasure", ["person_id"])
    op.create_index(op.f("ix_security_erasure_decided_by"), "security_erasure", ["decided_by"])
    op.create_table(
        "security_legal_hold",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("ab_user.id"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("lifted_by", sa.Integer(), sa.ForeignKey("ab_user.id"), nullable=True),
        sa.Column("lift_note", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="held", nullable=False),
        *_record(),
        sa.CheckConstraint("state in ('held', 'lifted')", name="security_legal_hold_state_known"),
    )
    op.create_index(op.f("ix_security_legal_hold_person_id"), "security_legal_hold", ["person_id"])
    op.create_index(op.f("ix_security_legal_hold_lifted_by"), "security_legal_hold", ["lifted_by"])
    op.execute(
        """insert into security_role_scope (role_id, scope) select id, 'personal_data' from ab_role
            where name in ('hr', 'legal', 'security_admin', 'auditor') on conflict do nothing"""
    )

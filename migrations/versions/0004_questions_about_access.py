"""Questions about access: who asked who sees what"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "security_question",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("record_type", sa.Text(), nullable=True),
        sa.Column("record_id", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "created_by", sa.BigInteger(), server_default=sa.text("nullif(current_setting('app.me', true), '')::bigint"), nullable=True
        ),
        sa.Column("archived_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_security_question_person_id"), "security_question", ["person_id"], unique=False)
    op.create_index("security_question_record", "security_question", ["record_type", "record_id"], unique=False)
    # roles of the product get their scopes when they are made; these may exist already
    op.execute(
        """insert into security_role_scope (role_id, scope) select id, 'explain' from ab_role where name in ('security_admin', 'auditor')
           on conflict do nothing"""
    )

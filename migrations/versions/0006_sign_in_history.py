"""Sign-in history: read by people, with the way, the reason and who ended a session; emergency access"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    me = sa.text("nullif(current_setting('app.me', true), '')::bigint")
    op.add_column("security_signin", sa.Column("way", sa.Text(), nullable=True))
    op.add_column("security_signin", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("security_signin", sa.Column("by_id", sa.Integer(), nullable=True))
    op.add_column("security_signin", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column("security_signin", sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False))
    op.add_column("security_signin", sa.Column("created_by", sa.BigInteger(), server_default=me, nullable=True))
    op.add_column("security_signin", sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    custom = sa.Column("custom", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False)
    op.add_column("security_signin", custom)
    op.create_foreign_key(None, "security_signin", "ab_user", ["by_id"], ["id"])
    op.create_index(op.f("ix_security_signin_by_id"), "security_signin", ["by_id"], unique=False)
    op.create_index("ix_security_signin_at", "security_signin", [sa.literal_column("at desc"), sa.literal_column("id desc")])
    op.create_table(
        "security_emergency",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_security_emergency_user_id"), "security_emergency", ["user_id"], unique=False)
    # roles of a portal that is in use already; a new one gets them with its roles
    op.execute(
        """insert into security_role_scope (role_id, scope) select r.id, 'security' from ab_role r
           join security_role i on i.role_id = r.id and i.built_in
           where r.name in ('system_admin', 'security_admin', 'auditor') on conflict do nothing"""
    )

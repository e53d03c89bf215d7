"""Application catalogue: applications in categories, clients of Keycloak, who opened what"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"


def common() -> list[sa.Column]:
    """What every record has."""
    me = sa.text("nullif(current_setting('app.me', true), '')::bigint")
    return [
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), server_default=me, nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("custom", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "applications_category",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", postgresql.JSONB(), nullable=False),
        sa.Column("position", sa.Integer(), server_default="100", nullable=False),
        *common(),
        sa.PrimaryKeyConstraint("id"),
    )
    live = sa.text("archived_at IS NULL")
    op.create_index("applications_category_code_live", "applications_category", ["code"], unique=True, postgresql_where=live)
    op.create_table(
        "applications_application",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", postgresql.JSONB(), nullable=False),
        sa.Column("description", postgresql.JSONB(), nullable=True),
        sa.Column("category_id", sa.BigInteger(), nullable=False),
        sa.Column("icon", sa.Text(), server_default="apps", nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("roles", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("position", sa.Integer(), server_default="100", nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        *common(),
        sa.CheckConstraint("state in ('active', 'closed')", name="applications_application_state_known"),
        sa.CheckConstraint(
            r"url ~* '^https?://[^/?#@[:space:]\\]+([/?#]|$)' and url !~ '[[:space:][:cntrl:]\\]'", name="applications_application_url_web"
        ),
        sa.ForeignKeyConstraint(["category_id"], ["applications_category.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_applications_application_category_id"), "applications_application", ["category_id"], unique=False)
    op.create_table(
        "applications_launch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("application_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        *common(),
        sa.ForeignKeyConstraint(["application_id"], ["applications_application.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    newest = sa.literal_column("at desc")
    op.create_index("ix_applications_launch_application", "applications_launch", ["application_id", newest])
    op.create_index("ix_applications_launch_user", "applications_launch", ["user_id", newest])
    op.create_index("ix_applications_launch_at", "applications_launch", [newest, sa.literal_column("id desc")])
    op.create_table(
        "applications_client",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("client_id"),
    )

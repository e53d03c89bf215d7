"""Rare report lines: lists narrowed by state or category"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index(
        "dailyreport_line_unconfirmed",
        "dailyreport_line",
        ["state", sa.literal_column("day desc"), sa.literal_column("id desc")],
        postgresql_where=sa.text("state <> 'confirmed'"),
    )
    op.create_index(
        "dailyreport_line_category_day_id",
        "dailyreport_line",
        ["category", sa.literal_column("day desc"), sa.literal_column("id desc")],
        postgresql_where=sa.text("category is not null"),
    )

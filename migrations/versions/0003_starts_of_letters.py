"""Starts of letters: work that ends its worker is counted"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("kernel_outbox", sa.Column("starts", sa.Integer(), server_default="0", nullable=False))

"""Places planned for many people at once hang together"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("hr_assignment", sa.Column("plan", sa.Text(), nullable=True))
    op.add_column("hr_assignment", sa.Column("replaces_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(None, "hr_assignment", "hr_assignment", ["replaces_id"], ["id"])
    op.create_index(op.f("ix_hr_assignment_plan"), "hr_assignment", ["plan"], unique=False)
    op.create_index(op.f("ix_hr_assignment_replaces_id"), "hr_assignment", ["replaces_id"], unique=False)

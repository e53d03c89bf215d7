"""Sealed history: entries are chained by hashes, so that nothing is altered unseen"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("audit_entry", sa.Column("salt", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=True))
    op.add_column("audit_entry", sa.Column("residue", postgresql.JSONB(), nullable=True))
    op.create_index("ix_audit_entry_actor", "audit_entry", ["actor", "id"])
    op.create_index("ix_audit_entry_txid", "audit_entry", ["txid", "id"])
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"], postgresql_using="brin")
    op.create_table(
        "security_audit_seal",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("security_audit_seal_entry", "security_audit_seal", ["entry_id"], unique=True)
    op.create_table(
        "security_audit_check",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), server_default="", nullable=False),
        sa.Column("unsealed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sound", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("problems", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_kind", sa.Text(), server_default="", nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=True),
        sa.Column("first_entry", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("security_audit_check_what", "security_audit_check", ["what", "id"])

"""Accounts switched off at Keycloak are asked about; nobody acts in the history for somebody else"""

from alembic import op

revision = "0017"
down_revision = "0016"

KINDS, STATES = "security_difference_kind_known", "security_difference_state_known"


def upgrade() -> None:
    op.drop_constraint(KINDS, "security_difference")
    op.create_check_constraint(KINDS, "security_difference", "kind in ('account', 'double', 'group', 'off', 'left', 'role')")
    op.drop_constraint(STATES, "security_difference")
    op.create_check_constraint(STATES, "security_difference", "state in ('open', 'linked', 'ignored', 'disabled', 'enabled', 'gone')")
    op.drop_column("audit_entry", "deputy_for")  # deputies see and never act, so it was always empty; the seal goes on counting it as that

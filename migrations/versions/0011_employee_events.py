"""Changes of employees: prepared by one person, approved by another"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "hr_employee_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("number", sa.Text(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("state", sa.Text(), server_default="draft", nullable=False),
        sa.Column(
            "entity_id", sa.BigInteger(), server_default=sa.text("nullif(current_setting('app.entity', true), '')::bigint"), nullable=False
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("employee_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.Integer(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("department_id", sa.BigInteger(), nullable=True),
        sa.Column("post_id", sa.BigInteger(), nullable=True),
        sa.Column("manager_id", sa.Integer(), nullable=True),
        sa.Column("employment_type", sa.Text(), nullable=True),
        sa.Column("regular_on", sa.Date(), nullable=True),
        sa.Column("employee_number", sa.Text(), nullable=True),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("work_email", sa.Text(), nullable=True),
        sa.Column("work_phone", sa.Text(), nullable=True),
        sa.Column("from_department_id", sa.BigInteger(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("from_post_id", sa.BigInteger(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("from_manager_id", sa.Integer(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("from_employment_type", sa.Text(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("before_day", sa.Date(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("assignment_id", sa.BigInteger(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("submitted_by", sa.Integer(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("decided_by", sa.Integer(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("decision_note", sa.Text(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("approved_on", sa.Date(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "created_by", sa.BigInteger(), server_default=sa.text("nullif(current_setting('app.me', true), '')::bigint"), nullable=True
        ),
        sa.Column("archived_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("kind = 'hire' OR employee_id IS NOT NULL", name="hr_employee_event_about_somebody"),
        sa.CheckConstraint(
            "kind IN ('hire', 'regularise', 'transfer', 'promotion', 'leave', 'rehire', 'correction')", name="hr_employee_event_kind_known"
        ),
        sa.CheckConstraint(
            "state in ('draft', 'submitted', 'approved', 'effective', 'rejected', 'cancelled')", name="hr_employee_event_state_known"
        ),
        sa.ForeignKeyConstraint(["assignment_id"], ["hr_assignment.id"]),
        sa.ForeignKeyConstraint(["decided_by"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["department_id"], ["hr_department.id"]),
        sa.ForeignKeyConstraint(["employee_id"], ["hr_employee.id"]),
        sa.ForeignKeyConstraint(["entity_id"], ["kernel_entity.id"]),
        sa.ForeignKeyConstraint(["from_department_id"], ["hr_department.id"]),
        sa.ForeignKeyConstraint(["from_manager_id"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["from_post_id"], ["hr_post.id"]),
        sa.ForeignKeyConstraint(["manager_id"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["post_id"], ["hr_post.id"]),
        sa.ForeignKeyConstraint(["submitted_by"], ["ab_user.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("hr_employee_event_number", "hr_employee_event", ["entity_id", "number"], unique=True)
    op.create_index("hr_employee_event_waiting", "hr_employee_event", ["state", "effective_on"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_assignment_id"), "hr_employee_event", ["assignment_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_decided_by"), "hr_employee_event", ["decided_by"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_department_id"), "hr_employee_event", ["department_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_employee_id"), "hr_employee_event", ["employee_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_entity_id"), "hr_employee_event", ["entity_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_from_department_id"), "hr_employee_event", ["from_department_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_from_manager_id"), "hr_employee_event", ["from_manager_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_from_post_id"), "hr_employee_event", ["from_post_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_manager_id"), "hr_employee_event", ["manager_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_post_id"), "hr_employee_event", ["post_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_submitted_by"), "hr_employee_event", ["submitted_by"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_user_id"), "hr_employee_event", ["user_id"], unique=False)
    op.create_table(
        "hr_employee_event_grade",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Integer(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("grade_id", sa.BigInteger(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("from_grade_id", sa.BigInteger(), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "created_by", sa.BigInteger(), server_default=sa.text("nullif(current_setting('app.me', true), '')::bigint"), nullable=True
        ),
        sa.Column("archived_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue(), nullable=True),
        sa.Column("custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["hr_employee_event.id"]),
        sa.ForeignKeyConstraint(["from_grade_id"], ["hr_grade.id"]),
        sa.ForeignKeyConstraint(["grade_id"], ["hr_grade.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["ab_user.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_index(op.f("ix_hr_employee_event_grade_from_grade_id"), "hr_employee_event_grade", ["from_grade_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_grade_grade_id"), "hr_employee_event_grade", ["grade_id"], unique=False)
    op.create_index(op.f("ix_hr_employee_event_grade_user_id"), "hr_employee_event_grade", ["user_id"], unique=False)
    # roles of a portal that is in use already; a new one gets them with its roles
    op.execute(
        """insert into security_role_scope (role_id, scope) select r.id, 'staff_approval' from ab_role r
           join security_role i on i.role_id = r.id and i.built_in
           where r.name in ('hr', 'leader') on conflict do nothing"""
    )

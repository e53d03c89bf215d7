"""Changes of employees (人事变动): prepared by one person, approved by another, in effect from a day on."""

from datetime import date
from typing import Any

from sqlalchemy import CheckConstraint, FetchedValue, ForeignKey, Index, Text, and_, false, or_
from sqlalchemy.orm import Mapped, mapped_column, relationship

from modules.hr.models.organisation import Department
from modules.hr.models.people import Assignment, Employee, Employment
from modules.hr.models.posts import Grade, Post
from portal.kernel.columns import BY_ACTION
from portal.kernel.document import Document, Record, User
from portal.kernel.errors import Refusal
from portal.kernel.i18n import _, _l

_LATER: dict[str, Any] = {"server_default": FetchedValue()}


class EmployeeEvent(Document):
    """One step of somebody's life here: hired, made regular, transferred, promoted, left, hired again, or an entry put right.

    `from_…` is the place before, noted when it is submitted and again when it is approved. The grades are in `EmployeeEventGrade`.
    """

    __tablename__ = "hr_employee_event"
    __label__ = _l("Employee change")
    __label_plural__ = _l("Employee changes")
    STATES = ("draft", "submitted", "approved", "effective", "rejected", "cancelled")
    KINDS = {
        "hire": _l("Hire"),
        "regularise": _l("Make regular"),
        "transfer": _l("Transfer"),
        "promotion": _l("Promotion"),
        "leave": _l("Departure"),
        "rehire": _l("Rehire"),
        "correction": _l("Correction of an entry"),
    }
    kind: Mapped[str] = mapped_column(Text, info={"label": _l("Kind"), "choices": KINDS})
    name: Mapped[str] = mapped_column(Text, info={"label": _l("Person"), "kind": "text", "max_length": 100})
    employee_id: Mapped[int | None] = mapped_column(ForeignKey(Employee.id), index=True, info={"label": _l("Employee")})
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, **_LATER, info={"label": _l("Account"), "lookup": "employees", **BY_ACTION}
    )
    effective_on: Mapped[date] = mapped_column(info={"label": _l("Takes effect on")})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": _l("Reason"), "multiline": True})

    department_id: Mapped[int | None] = mapped_column(ForeignKey(Department.id), index=True, info={"label": _l("Department")})
    post_id: Mapped[int | None] = mapped_column(ForeignKey(Post.id), index=True, info={"label": _l("Post")})
    manager_id: Mapped[int | None] = mapped_column(ForeignKey(User.id), index=True, info={"label": _l("Manager"), "lookup": "employees"})
    employment_type: Mapped[str | None] = mapped_column(Text, info={"label": _l("Employment type"), "choices": Employment.TYPES})
    regular_on: Mapped[date | None] = mapped_column(info={"label": _l("Regular from")})
    employee_number: Mapped[str | None] = mapped_column(Text, info={"label": _l("Employee number"), "max_length": 40})
    username: Mapped[str | None] = mapped_column(Text, info={"label": _l("Account name"), "max_length": 64})
    work_email: Mapped[str | None] = mapped_column(Text, info={"label": _l("Work e-mail"), "personal": "hr.contact"})
    work_phone: Mapped[str | None] = mapped_column(Text, info={"label": _l("Work phone"), "max_length": 40, "personal": "hr.contact"})

    from_department_id: Mapped[int | None] = mapped_column(
        ForeignKey(Department.id), index=True, **_LATER, info={"label": _l("Department before"), **BY_ACTION}
    )
    from_post_id: Mapped[int | None] = mapped_column(
        ForeignKey(Post.id), index=True, **_LATER, info={"label": _l("Post before"), **BY_ACTION}
    )
    from_manager_id: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, **_LATER, info={"label": _l("Manager before"), "lookup": "employees", **BY_ACTION}
    )
    from_employment_type: Mapped[str | None] = mapped_column(
        Text, **_LATER, info={"label": _l("Employment type before"), "choices": Employment.TYPES, **BY_ACTION}
    )
    before_day: Mapped[date | None] = mapped_column(**_LATER, info={"label": _l("Day planned before"), "internal": True, **BY_ACTION})
    assignment_id: Mapped[int | None] = mapped_column(
        ForeignKey(Assignment.id), index=True, **_LATER, info={"label": _l("Assignment"), "internal": True, **BY_ACTION}
    )
    submitted_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, **_LATER, info={"label": _l("Submitted by"), "lookup": "employees", **BY_ACTION}
    )
    decided_by: Mapped[int | None] = mapped_column(
        ForeignKey(User.id), index=True, **_LATER, info={"label": _l("Decided by"), "lookup": "employees", **BY_ACTION}
    )
    decision_note: Mapped[str | None] = mapped_column(Text, **_LATER, info={"label": _l("Answer"), **BY_ACTION})
    approved_on: Mapped[date | None] = mapped_column(**_LATER, info={"label": _l("Approved on"), **BY_ACTION})

    employee: Mapped[Employee | None] = relationship(foreign_keys=employee_id)

    __table_args__ = (
        CheckConstraint(
            "kind IN ('hire', 'regularise', 'transfer', 'promotion', 'leave', 'rehire', 'correction')", name="hr_employee_event_kind_known"
        ),
        CheckConstraint("kind = 'hire' OR employee_id IS NOT NULL", name="hr_employee_event_about_somebody"),
        Index("hr_employee_event_waiting", "state", "effective_on"),
    )

    def see(c: Any, v: Any) -> Any:
        """HR, but what concerns themselves only once it is approved or when they prepared it; approvers from the submission on; after the
        approval the person, the heads above the person today and, for some time, those of both departments."""
        others = c.user_id.is_distinct_from(v.me)
        return or_(
            and_(v.holds("staff_admin"), or_(others, c.created_by == v.me)),
            and_(v.holds("staff_approval"), others, c.state != "draft"),
            and_(c.approved_on.is_not(None), or_(v.has("staff", c.user_id), v.has("headed_changes", c.id))),
        )

    def change(c: Any, v: Any) -> Any:
        return and_(c.created_by == v.me, v.holds("staff_admin"))

    def before_archive(self, ctx: Any) -> None:
        """What was asked for stays; what is not wanted any more is cancelled."""
        if self.state not in ("draft", "cancelled"):
            raise Refusal(_("Cancel the change first."), code="wrong_state")

    def __str__(self) -> str:
        return f"{EmployeeEvent.KINDS.get(self.kind, '')} · {self.name}"


class EmployeeEventGrade(Record):
    """The grade a change proposes and the one before: read by those who may read the person's grade, and by who decides."""

    __tablename__ = "hr_employee_event_grade"
    __label__ = _l("Grade of an employee change")
    __label_plural__ = _l("Grades of employee changes")
    __root__ = "event_id"
    event_id: Mapped[int] = mapped_column(ForeignKey(EmployeeEvent.id), unique=True, info={"label": _l("Employee change"), **BY_ACTION})
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id), index=True, **_LATER, info={"label": _l("Account"), **BY_ACTION})
    grade_id: Mapped[int | None] = mapped_column(ForeignKey(Grade.id), index=True, **_LATER, info={"label": _l("Grade"), **BY_ACTION})
    from_grade_id: Mapped[int | None] = mapped_column(
        ForeignKey(Grade.id), index=True, **_LATER, info={"label": _l("Grade before"), **BY_ACTION}
    )

    event: Mapped[EmployeeEvent] = relationship()

    def see(c: Any, v: Any) -> Any:
        return and_(v.sees(EmployeeEvent, c.event_id), or_(v.holds("staff_admin"), v.holds("staff_approval"), v.has("staff", c.user_id)))

    def change(c: Any, v: Any) -> Any:
        return false()  # with its change, by actions only

    def __str__(self) -> str:
        return str(EmployeeEventGrade.__label__)
